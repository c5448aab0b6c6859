"""One cloning: it learns a rule, stops in time, and a killed training ends with the weights it would have had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.training.lessons import QUICK, RULES, make_dataset, make_panel, shuffled
from toto_ops.errors import StorageError
from toto_ops.learning import epochs
from toto_ops.learning.checkpoints import load_checkpoint, save_checkpoint
from toto_ops.learning.epochs import Progress
from toto_ops.learning.reproducible import reproducible
from toto_ops.learning.seeds import seeded
from toto_ops.policies.cloned import ClonedPolicy
from toto_ops.training import bc_fit
from toto_ops.training.bc_config import BehaviourCloningConfig
from toto_ops.training.bc_fit import EpochScores, Fit, Lesson, Samples, fit


def lesson(config: BehaviourCloningConfig = QUICK, *, seed: int = 0, work: str = "w", nonsense: bool = False) -> Lesson:
    decisions = [make_dataset(make_panel(300), column) for column in range(2)]
    known = [shuffled(part) for part in decisions] if nonsense else decisions
    unseen = make_dataset(make_panel(150, seed=9), 0, seed=9)
    return Lesson(Samples.of(known), Samples.of([unseen]), config, seed, work)


def majority(taught: Lesson) -> float:
    """Accuracy on validation of always giving the commonest answer."""
    return float(torch.bincount(taught.validation.actions).max() / len(taught.validation.actions))


def train(folder: Path, taught: Lesson) -> Fit:
    config = taught.config
    with reproducible():
        torch.manual_seed(seeded(taught.seed, 0))
        policy = ClonedPolicy(
            hidden=config.hidden, layers=config.layers, dropout=config.dropout, w_max=RULES.w_max, may_short=False
        )
        return fit(policy, taught, folder)


def same_weights(one: Fit, two: Fit) -> bool:
    first, second = one.policy.state_dict(), two.policy.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_it_learns_the_teachers_rule(tmp_path: Path) -> None:
    taught = lesson(QUICK.model_copy(update={"epochs": 15, "patience": 15}))
    trained = train(tmp_path, taught)
    assert trained.best.validation.accuracy > majority(taught) + 0.25
    assert trained.best.validation.loss < trained.progress.epochs[0].validation.loss


def test_it_finds_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    taught = lesson(nonsense=True)
    assert train(tmp_path, taught).best.validation.accuracy < majority(taught) + 0.05


def test_the_policy_it_returns_has_the_weights_of_the_best_epoch_and_draws_no_dropout(tmp_path: Path) -> None:
    trained = train(tmp_path, lesson())
    stored = load_checkpoint(tmp_path / "best.safetensors", Progress[EpochScores])
    assert stored is not None
    assert stored[1].epochs == trained.progress.epochs[: trained.progress.best + 1]
    assert not trained.policy.training
    assert min(epoch.validation.loss for epoch in trained.progress.epochs) == trained.best.validation.loss


def test_the_scaler_knows_the_train_span_alone(tmp_path: Path) -> None:
    taught = lesson()
    trained = train(tmp_path, taught)
    torch.testing.assert_close(trained.policy.mean, taught.train.states.mean(0), atol=1e-5, rtol=0)


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(tmp_path: Path) -> None:
    first, again = (train(tmp_path / name, lesson()) for name in ("one", "two"))
    assert same_weights(first, again)
    assert first.progress == again.progress
    assert not same_weights(first, train(tmp_path / "three", lesson(seed=1)))


@pytest.mark.parametrize("saves", [1, 2, 5, 8])
def test_a_killed_training_ends_with_the_weights_it_would_have_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: int
) -> None:
    """The kill comes after the n-th write, so also between the `best` and the `last` of one epoch."""
    whole = train(tmp_path / "whole", lesson())
    done = 0

    def killing(*arguments: Any) -> None:
        nonlocal done
        if done == saves:
            raise KeyboardInterrupt
        done += 1
        save_checkpoint(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(epochs, "save_checkpoint", killing)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed", lesson())
    resumed = train(tmp_path / "killed", lesson())
    assert same_weights(resumed, whole)
    assert resumed.progress == whole.progress
    for name in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_finished_training_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train(tmp_path, lesson())

    def never(*_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(bc_fit, "_train_epoch", never)
    assert same_weights(train(tmp_path, lesson()), first)


def test_checkpoints_of_other_work_are_not_resumed_from(tmp_path: Path) -> None:
    train(tmp_path / "used", lesson(nonsense=True, work="other data"))
    assert same_weights(train(tmp_path / "used", lesson()), train(tmp_path / "fresh", lesson()))


def test_a_damaged_checkpoint_stops_the_training(tmp_path: Path) -> None:
    (tmp_path / "last.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(StorageError, match="delete the file"):
        train(tmp_path, lesson())


def test_a_best_checkpoint_of_a_slower_twin_is_not_taken_for_the_best(tmp_path: Path) -> None:
    trained = train(tmp_path, lesson())
    stored = load_checkpoint(tmp_path / "best.safetensors", Progress[EpochScores])
    assert stored is not None
    assert trained.progress.best > 0
    early = stored[1].model_copy(update={"epochs": stored[1].epochs[:1]})
    save_checkpoint(tmp_path / "best.safetensors", stored[0], early)
    with pytest.raises(StorageError, match="does not hold the best epoch"):
        train(tmp_path, lesson())


def test_it_stops_once_the_validation_loss_has_not_fallen_for_so_long(tmp_path: Path) -> None:
    config = QUICK.model_copy(update={"epochs": 60, "patience": 3, "learning_rate": 0.05})
    trained = train(tmp_path, lesson(config, nonsense=True))
    assert len(trained.progress.epochs) == trained.progress.best + 1 + 3 < 60


def test_learning_noise_by_heart_is_called_overfitting(tmp_path: Path) -> None:
    config = BehaviourCloningConfig(hidden=128, epochs=25, patience=25, batch=32, learning_rate=0.01, dropout=0.0, noise=0.0)
    trained = train(tmp_path, lesson(config, nonsense=True))
    assert trained.progress.epochs[-1].overfitting.detected
    assert trained.progress.epochs[-1].overfitting.accuracy_gap > 0.1


@pytest.mark.parametrize("imbalance", ["weighted", "focal", "oversample"])
def test_every_remedy_for_rare_actions_still_learns_the_rule(tmp_path: Path, imbalance: str) -> None:
    taught = lesson(QUICK.model_copy(update={"epochs": 12, "patience": 12, "imbalance": imbalance}))
    assert train(tmp_path, taught).best.validation.accuracy > majority(taught) + 0.2


def test_a_loss_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="learning_rate"):
        train(tmp_path, lesson(QUICK.model_copy(update={"learning_rate": 1e30})))


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    curves = EventAccumulator(str(folder / "tensorboard"))
    curves.Reload()
    return [(event.step, event.value) for event in curves.Scalars(name)]


def test_tensorboard_has_every_epoch_of_both_spans(tmp_path: Path) -> None:
    trained = train(tmp_path, lesson())
    for span in ("train", "validation"):
        for name in ("loss", "accuracy"):
            expected = [getattr(getattr(epoch, span), name) for epoch in trained.progress.epochs]
            steps, values = zip(*curve(tmp_path, f"{name}/{span}"), strict=True)
            assert list(steps) == list(range(len(expected)))
            assert list(values) == pytest.approx(expected)


def test_tensorboard_has_every_epoch_once_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(bc_fit, "_train_epoch", killed_in_epoch(3))
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, lesson())
    # Two runs of the same second are read in the order of process number and count as text: 10 before 9.
    (drawn,) = (tmp_path / "tensorboard").iterdir()
    drawn.rename(drawn.with_name("events.out.tfevents.9999999999.host.9.9"))
    trained = train(tmp_path, lesson())
    assert [step for step, _ in curve(tmp_path, "loss/validation")] == list(range(len(trained.progress.epochs)))


def killed_in_epoch(last: int) -> Any:
    train_epoch = bc_fit._train_epoch

    def killing(*arguments: Any) -> None:
        if arguments[-1] == last:
            raise KeyboardInterrupt
        train_epoch(*arguments)

    return killing


def test_stages_of_a_training_share_no_random_numbers() -> None:
    seeds = {seeded(seed, 1, epoch) for seed in range(10) for epoch in range(20)} | {seeded(seed, 0) for seed in range(10)}
    assert len(seeds) == 10 * 20 + 10
    assert all(0 <= value < 2**63 for value in seeds)
