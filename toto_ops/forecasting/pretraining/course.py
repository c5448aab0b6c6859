"""The epochs of a pretraining: steps along a half cosine, and the loss of both spans after each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from toto_ops.forecasting.config import PretrainingConfig
from toto_ops.forecasting.pretraining.learners import Learner
from toto_ops.forecasting.pretraining.samples import dense_loss, random_walk_loss
from toto_ops.forecasting.pretraining.series_source import SeriesSource
from toto_ops.forecasting.pretraining.windows import Batch, Window, batches
from toto_ops.forecasting.series import VARIATES
from toto_ops.learning.epochs import Progress, Scores
from toto_ops.learning.schedules import half_cosine
from toto_ops.learning.seeds import seeded

SCORED_AT_ONCE = 16
"""Windows in a batch that is measured."""


class EpochScores(Scores):
    """Quantile loss of either span after an epoch, without dropout and augmentation. Epoch 0 is before the first step."""

    train: float
    validation: float

    @property
    def criterion(self) -> float:
        return self.validation

    def __str__(self) -> str:
        return f"quantile loss {self.train:.5f} on train, {self.validation:.5f} on validation"

    def curves(self) -> dict[str, float]:
        return {"loss/train": self.train, "loss/validation": self.validation}


@dataclass(frozen=True)
class Lessons:
    """The windows of one pretraining.

    Attributes
    ----------
    train
        Windows that are learnt from.
    train_scored, validation
        Those the two losses are measured on: every bar of a span once.
    """

    source: SeriesSource
    train: Sequence[Window]
    train_scored: Sequence[Window]
    validation: Sequence[Window]

    def measured(self, windows: Sequence[Window]) -> Iterable[Batch]:
        """Batches of windows, in their order."""
        return batches(self.source, windows, SCORED_AT_ONCE)


class PretrainingCourse:
    """Epoch 0 takes no step: what the network says untrained stands first among the epochs, and is best if nothing beats it."""

    progress = Progress[EpochScores]

    def __init__(
        self, learner: Learner, optimizer: torch.optim.Optimizer, lessons: Lessons, config: PretrainingConfig, work: str
    ) -> None:
        self.work, self.epochs, self.patience = work, config.epochs + 1, config.patience
        self._learner, self._optimizer, self._lessons, self._config = learner, optimizer, lessons, config
        self._rates = [float(group["lr"]) for group in optimizer.param_groups]
        self._steps = math.ceil(len(lessons.train) / config.batch)

    def train_epoch(self, epoch: int) -> None:
        if epoch == 0:
            return
        module, seed = self._learner.module, self._config.seed
        module.train()
        torch.manual_seed(seeded(seed, 1, epoch))
        taught = batches(self._lessons.source, self._lessons.train, self._config.batch, order=seeded(seed, 2, epoch))
        for step, batch in enumerate(taught, start=(epoch - 1) * self._steps):
            total, outcomes = dense_loss(*self._learner.teach(batch))
            if not outcomes:
                continue
            self._schedule(step)
            self._optimizer.zero_grad()
            (total / outcomes).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(module.parameters(), self._config.gradient_clip)
            self._optimizer.step()

    def score(self) -> EpochScores:
        self._learner.module.eval()
        return EpochScores(train=self._loss(self._lessons.train_scored), validation=self._loss(self._lessons.validation))

    def _schedule(self, step: int) -> None:
        share = half_cosine(step, self._config.epochs * self._steps)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share

    def _loss(self, windows: Sequence[Window]) -> float:
        value = mean_loss(dense_loss(*self._learner.measure(batch)) for batch in self._lessons.measured(windows))
        if not math.isfinite(value):
            raise FloatingPointError(f"the quantile loss is {value}: lower pretraining.learning_rate or look for extreme bars")
        return value


def random_walk_score(learner: Learner, lessons: Lessons) -> float:
    """Validation loss of the random walk with the latest volatility, over the same forecasts."""
    return mean_loss(random_walk_loss(learner.measure(batch)[1]) for batch in lessons.measured(lessons.validation))


def variate_scores(learner: Learner, lessons: Lessons) -> dict[str, tuple[float, float]]:
    """Validation loss of each variate alone, and that of the random walk: returns are harder to foretell than ranges."""
    learner.module.eval()
    # Sums alone are kept: the quantiles of millions of bars would not fit into memory.
    losses: dict[str, list[tuple[torch.Tensor, int]]] = {name: [] for name in VARIATES}
    of_random_walk: dict[str, list[tuple[torch.Tensor, int]]] = {name: [] for name in VARIATES}
    for batch in lessons.measured(lessons.validation):
        quantiles, targets = learner.measure(batch)
        for variate, name in enumerate(VARIATES):
            losses[name].append(dense_loss(quantiles[:, variate], targets[:, variate]))
            of_random_walk[name].append(random_walk_loss(targets[:, variate]))
    return {name: (mean_loss(losses[name]), mean_loss(of_random_walk[name])) for name in VARIATES}


def mean_loss(parts: Iterable[tuple[torch.Tensor, int]]) -> float:
    """The mean over all outcomes of the losses of several batches."""
    total, outcomes = 0.0, 0
    for part, count in parts:
        total, outcomes = total + float(part), outcomes + count
    return total / outcomes if outcomes else math.nan
