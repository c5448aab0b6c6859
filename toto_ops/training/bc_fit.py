"""One training of a cloned policy from one seed: epochs, early stopping, checkpoints, resumption."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from toto_ops.configuration import StrictModel
from toto_ops.errors import StorageError
from toto_ops.policies.cloned import ClonedPolicy
from toto_ops.storage.refusals import named_refusals
from toto_ops.training.bc_config import BehaviourCloningConfig
from toto_ops.training.bc_loss import CloningLoss, epoch_order
from toto_ops.training.checkpoints import (
    load_checkpoint,
    model_tensors,
    restore_training,
    save_checkpoint,
    training_tensors,
)
from toto_ops.training.offline_dataset import OfflineDataset
from toto_ops.training.overfitting import Overfitting

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


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


class EpochScores(StrictModel):
    """What one epoch came to."""

    train: Score
    validation: Score

    @property
    def overfitting(self) -> Overfitting:
        """How far train and validation had come apart."""
        return Overfitting(self.train.accuracy - self.validation.accuracy, self.validation.loss - self.train.loss)


class Progress(StrictModel):
    """How far a training has come; stored with its weights, so that it goes on from there and nowhere else.

    Attributes
    ----------
    work
        Identity of the training: data, configuration, code version and seed.
    epochs
        Scores of every finished epoch.
    """

    work: str
    epochs: tuple[EpochScores, ...] = ()

    @property
    def best(self) -> int:
        """The epoch with the lowest validation loss, the first of equals."""
        return min(range(len(self.epochs)), key=lambda epoch: self.epochs[epoch].validation.loss)

    def finished(self, config: BehaviourCloningConfig) -> bool:
        """Whether all epochs are done, or patience is."""
        done = len(self.epochs)
        return done >= config.epochs or (done > 0 and done - 1 - self.best >= config.patience)


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
    progress: Progress

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
    lesson = lesson.standardised_by(policy)
    progress = _resume(folder / "last.safetensors", lesson.work, policy, optimizer)
    with named_refusals(str(folder)), _fresh_curves(folder / "tensorboard") as curves:
        for epoch, scores in enumerate(progress.epochs):
            _draw(curves, epoch, scores)
        while not progress.finished(config):
            epoch = len(progress.epochs)
            _train_epoch(policy, optimizer, loss, lesson, epoch)
            scores = EpochScores(train=_score(policy, loss, lesson.train), validation=_score(policy, loss, lesson.validation))
            progress = progress.model_copy(update={"epochs": (*progress.epochs, scores)})
            if progress.best == epoch:
                save_checkpoint(folder / "best.safetensors", training_tensors(policy, optimizer), progress)
            save_checkpoint(folder / "last.safetensors", training_tensors(policy, optimizer), progress)
            _draw(curves, epoch, scores)
    _restore_best(folder / "best.safetensors", policy, progress)
    return Fit(lesson.seed, policy.eval(), progress)


def seeded(seed: int, *stage: int) -> int:
    """A torch seed of its own for each stage of a training, so that no two stages share random numbers."""
    return int(np.random.SeedSequence([seed, *stage]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _train_epoch(policy: ClonedPolicy, optimizer: torch.optim.Optimizer, loss: CloningLoss, lesson: Lesson, epoch: int) -> None:
    config, samples = lesson.config, lesson.train
    policy.train()
    torch.manual_seed(seeded(lesson.seed, 1, epoch))
    for group in optimizer.param_groups:
        group["lr"] = 0.5 * config.learning_rate * (1.0 + math.cos(math.pi * epoch / config.epochs))
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


def _fresh_curves(folder: Path) -> SummaryWriter:
    """Curves to be drawn again from the checkpoint, since a killed run may have drawn too little or too much.

    Its files go: TensorBoard reads what is left in the order of their names, in which process and number stand as text.
    One that is open is told by `purge_step` to forget what it has read.
    """
    from torch.utils.tensorboard import SummaryWriter

    for drawn in folder.glob("events.out.tfevents.*"):
        drawn.unlink(missing_ok=True)
    return SummaryWriter(str(folder), purge_step=0)


def _draw(curves: SummaryWriter, epoch: int, scores: EpochScores) -> None:
    for span, score in (("train", scores.train), ("validation", scores.validation)):
        curves.add_scalar(f"loss/{span}", score.loss, epoch)
        curves.add_scalar(f"accuracy/{span}", score.accuracy, epoch)


def _resume(path: Path, work: str, policy: ClonedPolicy, optimizer: torch.optim.Optimizer) -> Progress:
    stored = load_checkpoint(path, Progress)
    if stored is None or stored[1].work != work:
        return Progress(work=work)
    tensors, progress = stored
    restore_training(tensors, policy, optimizer)
    return progress


def _restore_best(path: Path, policy: ClonedPolicy, progress: Progress) -> None:
    stored = load_checkpoint(path, Progress)
    # Two trainings of the same work share a folder: the slower one may have put its own best so far here.
    if stored is None or stored[1] != progress.model_copy(update={"epochs": progress.epochs[: progress.best + 1]}):
        raise StorageError(
            f"does not hold the best epoch ({progress.best + 1}) of this training",
            where=str(path),
            remedy="let one retraining of a universe finish before another starts, then retrain",
        )
    policy.load_state_dict(model_tensors(stored[0]))
