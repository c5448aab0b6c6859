"""Training by epochs: the weights of the best epoch, and going on after a kill as if there had been none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from toto_ops.learning import epochs
from toto_ops.learning.checkpoints import load_checkpoint
from toto_ops.learning.epochs import Progress, Scores, run_epochs


class Distance(Scores):
    value: float

    @property
    def criterion(self) -> float:
        return self.value

    def curves(self) -> dict[str, float]:
        return {"distance": self.value}


class Walk:
    """One weight that is moved by each epoch as the script says; the criterion is its distance from 0."""

    progress = Progress[Distance]

    def __init__(self, steps: tuple[float, ...], patience: int = 99, work: str = "walk") -> None:
        self.work, self.epochs, self.patience = work, len(steps), patience
        self.steps, self.trained = steps, list[int]()
        self.model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.model.weight)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1.0, momentum=0.5)

    def train_epoch(self, epoch: int) -> None:
        self.trained.append(epoch)
        self.model.train()
        self.model.weight.grad = torch.full_like(self.model.weight, -self.steps[epoch])
        self.optimizer.step()

    def score(self) -> Distance:
        return Distance(value=abs(float(self.model.weight.detach())))

    def run(self, folder: Path) -> Progress[Distance]:
        return run_epochs(self, self.model, self.optimizer, folder)


STEPS = (3.0, -2.0, -1.0, 2.0, 0.5)


def test_the_model_is_left_with_the_weights_of_the_best_epoch_in_eval_mode(tmp_path: Path) -> None:
    walk = Walk(STEPS)
    progress = walk.run(tmp_path)
    assert len(progress.epochs) == 5
    assert abs(float(walk.model.weight.detach())) == progress.epochs[progress.best].value == min(e.value for e in progress.epochs)
    assert not walk.model.training


def test_of_equal_epochs_the_first_is_best(tmp_path: Path) -> None:
    assert Walk((0.0, 0.0, 0.0)).run(tmp_path).best == 0


def test_patience_counts_epochs_without_a_better_one(tmp_path: Path) -> None:
    assert len(Walk((1.0, 1.0, 1.0, 1.0, 1.0, 1.0), patience=2).run(tmp_path).epochs) == 3


@pytest.mark.parametrize("killed_before", range(5))
def test_a_killed_run_goes_on_after_its_last_finished_epoch_with_the_state_of_its_optimizer(
    tmp_path: Path, killed_before: int
) -> None:
    whole = Walk(STEPS)
    expected = whole.run(tmp_path / "whole")
    killed = Walk(STEPS)
    train_epoch = killed.train_epoch

    def dying(epoch: int) -> None:
        if epoch == killed_before:
            raise KeyboardInterrupt
        train_epoch(epoch)

    killed.train_epoch = dying  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        killed.run(tmp_path / "killed")
    resumed = Walk(STEPS)
    assert resumed.run(tmp_path / "killed") == expected
    assert resumed.trained == list(range(killed_before, 5))
    assert torch.equal(resumed.model.weight, whole.model.weight)


def test_a_finished_run_is_read_back_without_training(tmp_path: Path) -> None:
    first, again = Walk(STEPS), Walk(STEPS)
    assert first.run(tmp_path) == again.run(tmp_path)
    assert again.trained == []
    assert torch.equal(again.model.weight, first.model.weight)


def test_other_work_in_the_same_folder_begins_anew(tmp_path: Path) -> None:
    Walk(STEPS).run(tmp_path)
    other = Walk((1.0, 2.0), work="other")
    other.run(tmp_path)
    assert other.trained == [0, 1]


def test_best_and_last_hold_what_they_say(tmp_path: Path) -> None:
    progress = Walk(STEPS).run(tmp_path)
    for name, done in (("best", progress.best + 1), ("last", 5)):
        stored = load_checkpoint(tmp_path / f"{name}.safetensors", Progress[Distance])
        assert stored is not None
        tensors, stored_progress = stored
        assert stored_progress.epochs == progress.epochs[:done]
        assert abs(float(tensors["model.weight"])) == stored_progress.epochs[-1].value


def test_whoever_watches_is_told_of_each_epoch_once(tmp_path: Path) -> None:
    told: list[tuple[int, float]] = []
    walk = Walk(STEPS)
    progress = epochs.run_epochs(
        walk, walk.model, walk.optimizer, tmp_path, lambda epoch, scores: told.append((epoch, scores.value))
    )
    assert told == [(epoch, scores.value) for epoch, scores in enumerate(progress.epochs)]
