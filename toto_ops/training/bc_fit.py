"""One training of a cloned policy from one seed: epochs, early stopping, checkpoints, resumption."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from toto_ops.configuration import StrictModel
from toto_ops.learning.epochs import Progress, Scores, run_epochs
from toto_ops.learning.schedules import half_cosine
from toto_ops.learning.seeds import seeded
from toto_ops.policies.cloned import ClonedPolicy
from toto_ops.training.bc_config import BehaviourCloningConfig
from toto_ops.training.bc_loss import CloningLoss, epoch_order
from toto_ops.training.offline_dataset import OfflineDataset
from toto_ops.training.overfitting import Overfitting


class Samples(NamedTuple):
    """Decisions to imitate: states `[N, 34]` float32, actions `[N]` int64, strengths `[N]` float32."""

    states: Tensor
    actions: Tensor
    strengths: Tensor

    @classmethod
    def of(cls, datasets: Iterable[OfflineDataset]) -> Samples:
        """All decisions of several symbols, one symbol after the other."""
        parts = list(datasets)
        return cls(
            torch.from_numpy(np.concatenate([part.states for part in parts])),
            torch.from_numpy(np.concatenate([part.actions for part in parts])),
            torch.from_numpy(np.concatenate([part.strengths for part in parts])),
        )


class Score(StrictModel):
    """Loss and accuracy over a span, measured without dropout and noise."""

    loss: float
    accuracy: float


class EpochScores(Scores):
    """What one epoch came to."""

    train: Score
    validation: Score

    @property
    def criterion(self) -> float:
        return self.validation.loss

    @property
    def overfitting(self) -> Overfitting:
        """How far train and validation had come apart."""
        return Overfitting(self.train.accuracy - self.validation.accuracy, self.validation.loss - self.train.loss)

    def curves(self) -> dict[str, float]:
        spans = (("train", self.train), ("validation", self.validation))
        return {
            f"{name}/{span}": value
            for span, score in spans
            for name, value in (("loss", score.loss), ("accuracy", score.accuracy))
        }


@dataclass(frozen=True)
class Lesson:
    """What one training is about.

    Attributes
    ----------
    train, validation
        Raw decisions of either span.
    work
        Identity of this training: what its checkpoints are keyed by.
    """

    train: Samples
    validation: Samples
    config: BehaviourCloningConfig
    seed: int
    work: str

    def standardised_by(self, policy: ClonedPolicy) -> Lesson:
        """The same with states as the trunk takes them, so that no epoch standardises them again."""
        spans = {name: getattr(self, name) for name in ("train", "validation")}
        return replace(self, **{name: span._replace(states=policy.standardise(span.states)) for name, span in spans.items()})


@dataclass(frozen=True)
class Fit:
    """A finished training from one seed.

    Attributes
    ----------
    policy
        With the weights of the best epoch, ready to decide.
    """

    seed: int
    policy: ClonedPolicy
    progress: Progress[EpochScores]

    @property
    def best(self) -> EpochScores:
        """Scores of the epoch whose weights the policy has."""
        return self.progress.epochs[self.progress.best]


def fit(policy: ClonedPolicy, lesson: Lesson, folder: Path) -> Fit:
    """Train until the validation loss stops falling; `best` and `last` checkpoints are kept in `folder`.

    A training that was killed goes on after its last finished epoch and ends with the very weights it would have had:
    the randomness of an epoch depends on seed and epoch alone, never on how the process got there. Checkpoints of
    other work are not resumed from.

    Parameters
    ----------
    policy
        Untrained, its weights drawn from the lesson's seed; it is trained in place.

    Raises
    ------
    StorageError
        If a checkpoint is there but damaged, or the disk is full or read-only.
    FloatingPointError
        If the loss stops being a finite number.
    """
    config = lesson.config
    optimizer = torch.optim.AdamW(policy.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    loss = CloningLoss(config, lesson.train.actions)
    policy.fit_scaler(lesson.train.states)
    course = CloningCourse(policy, optimizer, loss, lesson.standardised_by(policy))
    return Fit(lesson.seed, policy, run_epochs(course, policy, optimizer, folder))


class CloningCourse:
    """The epochs of one training."""

    progress = Progress[EpochScores]

    def __init__(self, policy: ClonedPolicy, optimizer: torch.optim.Optimizer, loss: CloningLoss, lesson: Lesson) -> None:
        self.work, self.epochs, self.patience = lesson.work, lesson.config.epochs, lesson.config.patience
        self._policy, self._optimizer, self._loss, self._lesson = policy, optimizer, loss, lesson

    def train_epoch(self, epoch: int) -> None:
        _train_epoch(self._policy, self._optimizer, self._loss, self._lesson, epoch)

    def score(self) -> EpochScores:
        return EpochScores(
            train=_score(self._policy, self._loss, self._lesson.train),
            validation=_score(self._policy, self._loss, self._lesson.validation),
        )


def _train_epoch(policy: ClonedPolicy, optimizer: torch.optim.Optimizer, loss: CloningLoss, lesson: Lesson, epoch: int) -> None:
    config, samples = lesson.config, lesson.train
    policy.train()
    torch.manual_seed(seeded(lesson.seed, 1, epoch))
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * half_cosine(epoch, config.epochs)
    for chosen in torch.split(epoch_order(samples.actions, config, torch.default_generator), config.batch):
        states = samples.states[chosen]
        logits, strength = policy.heads(states + config.noise * torch.randn_like(states))
        batch_loss = loss(logits, strength, samples.actions[chosen], samples.strengths[chosen])
        optimizer.zero_grad()
        batch_loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _score(policy: ClonedPolicy, loss: CloningLoss, samples: Samples) -> Score:
    policy.eval()
    with torch.no_grad():
        logits, strength = policy.heads(samples.states)
        value = float(loss(logits, strength, samples.actions, samples.strengths))
    if not math.isfinite(value):
        raise FloatingPointError(f"the cloning loss is {value}: lower learning_rate or look for extreme features")
    return Score(loss=value, accuracy=float((logits.argmax(dim=-1) == samples.actions).double().mean()))
