"""Train by epochs until the validation loss stops falling, with checkpoints, curves and resumption."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import torch
from torch import nn

from toto_ops.configuration import StrictModel
from toto_ops.errors import StorageError
from toto_ops.learning.checkpoints import (
    load_checkpoint,
    model_tensors,
    restore_training,
    save_checkpoint,
    training_tensors,
)
from toto_ops.storage.refusals import named_refusals

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Scores(StrictModel):
    """What one epoch came to."""

    @property
    @abstractmethod
    def criterion(self) -> float:
        """What the best epoch has least of."""

    @abstractmethod
    def curves(self) -> Mapping[str, float]:
        """Values by the name of the curve they are points of, such as `loss/train`."""


ScoresT = TypeVar("ScoresT", bound=Scores)


class Progress(StrictModel, Generic[ScoresT]):
    """How far a training has come; stored with its weights, so that it goes on from there and nowhere else.

    Attributes
    ----------
    work
        Identity of the training: data, configuration, code version and seed.
    epochs
        Scores of every finished epoch.
    """

    work: str
    epochs: tuple[ScoresT, ...] = ()

    @property
    def best(self) -> int:
        """The epoch with the lowest criterion, the first of equals."""
        return min(range(len(self.epochs)), key=lambda epoch: self.epochs[epoch].criterion)

    def finished(self, epochs: int, patience: int) -> bool:
        """Whether all epochs are done, or patience is."""
        done = len(self.epochs)
        return done >= epochs or (done > 0 and done - 1 - self.best >= patience)


class Course(Protocol[ScoresT]):
    """A training, epoch by epoch.

    Attributes
    ----------
    work
        Identity of this training: what its checkpoints are keyed by.
    epochs, patience
        How many at most, and how many without a better one.
    """

    work: str
    epochs: int
    patience: int

    @property
    def progress(self) -> type[Progress[ScoresT]]:
        """Concrete type of the progress, for reading it back: `Progress[ItsScores]`."""

    def train_epoch(self, epoch: int) -> None:
        """Take the steps of one epoch; its randomness depends on seed and epoch alone."""

    def score(self) -> ScoresT:
        """Measure the model as it is, without dropout and noise."""


def run_epochs(
    course: Course[ScoresT],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    folder: Path,
    on_epoch: Callable[[int, ScoresT], None] | None = None,
) -> Progress[ScoresT]:
    """Train until the criterion stops falling, and leave `model` with the weights of the best epoch, in eval mode.

    `best` and `last` checkpoints are kept in `folder`. A training that was killed goes on after its last finished epoch and
    ends with the very weights it would have had. Checkpoints of other work are not resumed from.

    Parameters
    ----------
    on_epoch
        Told the number and scores of each epoch as it is finished, not of those done before a kill.

    Raises
    ------
    StorageError
        If a checkpoint is there but damaged, or the disk is full or read-only.
    """
    progress = _resume(course, folder / "last.safetensors", model, optimizer)
    with named_refusals(str(folder)), _fresh_curves(folder / "tensorboard") as curves:
        for epoch, scores in enumerate(progress.epochs):
            _draw(curves, epoch, scores)
        while not progress.finished(course.epochs, course.patience):
            epoch = len(progress.epochs)
            course.train_epoch(epoch)
            scores = course.score()
            progress = progress.model_copy(update={"epochs": (*progress.epochs, scores)})
            if progress.best == epoch:
                save_checkpoint(folder / "best.safetensors", training_tensors(model, optimizer), progress)
            save_checkpoint(folder / "last.safetensors", training_tensors(model, optimizer), progress)
            _draw(curves, epoch, scores)
            if on_epoch is not None:
                on_epoch(epoch, scores)
    _restore_best(course, folder / "best.safetensors", model, progress)
    model.eval()
    return progress


def _fresh_curves(folder: Path) -> SummaryWriter:
    """Curves to be drawn again from the checkpoint, since a killed run may have drawn too little or too much.

    Its files go: TensorBoard reads what is left in the order of their names, in which process and number stand as text.
    One that is open is told by `purge_step` to forget what it has read.
    """
    from torch.utils.tensorboard import SummaryWriter

    for drawn in folder.glob("events.out.tfevents.*"):
        drawn.unlink(missing_ok=True)
    return SummaryWriter(str(folder), purge_step=0)


def _draw(curves: SummaryWriter, epoch: int, scores: Scores) -> None:
    for name, value in scores.curves().items():
        curves.add_scalar(name, value, epoch)


def _resume(course: Course[ScoresT], path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress[ScoresT]:
    stored = load_checkpoint(path, course.progress)
    if stored is None or stored[1].work != course.work:
        return course.progress(work=course.work)
    tensors, progress = stored
    restore_training(tensors, model, optimizer)
    return progress


def _restore_best(course: Course[ScoresT], path: Path, model: nn.Module, progress: Progress[ScoresT]) -> None:
    stored = load_checkpoint(path, course.progress)
    # Two trainings of the same work share a folder: the slower one may have put its own best so far here.
    if stored is None or stored[1] != progress.model_copy(update={"epochs": progress.epochs[: progress.best + 1]}):
        raise StorageError(
            f"does not hold the best epoch ({progress.best + 1}) of this training",
            where=str(path),
            remedy="let one retraining of a universe finish before another starts, then retrain",
        )
    model.load_state_dict(model_tensors(stored[0]))
