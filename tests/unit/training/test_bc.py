"""The cloning line end to end: every seed is a trial, the best imitator is returned, and test bars are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.training.lessons import QUICK, RULES, SYMBOLS, make_dataset, make_inputs, make_panel
from toto_ops.errors import InsufficientDataError, LookAheadError
from toto_ops.policies.contract import load_policy
from toto_ops.simulation.backtest import backtest
from toto_ops.training.bc import train_behaviour_cloning
from toto_ops.training.line import TrainedPolicy, TrainingInputs
from toto_ops.training.lines import line


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> TrainingInputs:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def trained(inputs: TrainingInputs, tmp_path_factory: pytest.TempPathFactory) -> TrainedPolicy:
    return line("bc").train(inputs, QUICK, tmp_path_factory.mktemp("checkpoints"))


def test_the_pupil_decides_much_as_its_teacher_does(trained: TrainedPolicy) -> None:
    metrics = trained.manifest.metrics
    assert metrics["validation_accuracy"] > metrics["validation_majority_share"] + 0.10
    assert metrics["validation_macro_f1"] > 0.6
    assert metrics["train_accuracy"] - metrics["validation_accuracy"] == pytest.approx(metrics["accuracy_gap"])


def test_every_seed_is_a_trial_with_its_validation_returns(inputs: TrainingInputs, trained: TrainedPolicy) -> None:
    trials = {trial.seed: trial for trial in inputs.ledger.trials()}
    assert set(trials) == set(QUICK.seeds)
    span = inputs.splits.validation
    chosen = trials[trained.manifest.seed]  # type: ignore[index]
    expected = backtest(inputs.panel.between(span.after, span.until), trained.policy, RULES)
    assert chosen.returns == pytest.approx(expected.returns.tolist(), abs=1e-12)
    assert [moment.replace(tzinfo=None) for moment in chosen.timestamps] == expected.open_time[1:].tolist()
    assert all(span.after < moment <= span.until for moment in chosen.timestamps)
    assert len({trial.config_hash for trial in trials.values()}) == 1


def test_the_seed_is_chosen_by_validation_loss(inputs: TrainingInputs, trained: TrainedPolicy) -> None:
    losses = {trial.seed: trial.metrics["validation_loss"] for trial in inputs.ledger.trials()}
    assert trained.manifest.seed == min(losses, key=lambda seed: losses[seed])
    assert trained.manifest.metrics["validation_loss"] == min(losses.values())


def test_the_manifest_says_what_the_policy_is_and_knows(inputs: TrainingInputs, trained: TrainedPolicy) -> None:
    manifest = trained.manifest
    assert (manifest.kind, manifest.line, manifest.universe) == ("bc", "bc", inputs.universe)
    assert manifest.symbols == SYMBOLS
    assert manifest.knows_until == inputs.splits.validation.until
    assert (manifest.inputs_hash, manifest.data_hash, manifest.code_version) == ("a" * 16, "d" * 16, "1")
    assert manifest.architecture == {"hidden": 16, "layers": 1, "dropout": 0.1, "w_max": 0.5, "may_short": False}


def test_what_is_stored_decides_as_what_was_trained(inputs: TrainingInputs, trained: TrainedPolicy, tmp_path: Path) -> None:
    trained.policy.save(tmp_path, trained.manifest)
    stored, _ = load_policy(tmp_path)
    assert np.array_equal(
        backtest(inputs.panel, stored.act, RULES).equity, backtest(inputs.panel, trained.policy.act, RULES).equity
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_training_again_gives_the_same_policy_and_no_new_trial(
    inputs: TrainingInputs, trained: TrainedPolicy, tmp_path: Path, threads: int
) -> None:
    before = {trial.trial_id: trial.created_at for trial in inputs.ledger.trials()}
    present = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.rand(17)
    try:
        again = train_behaviour_cloning(inputs, QUICK, tmp_path)
    finally:
        torch.set_num_threads(present)
    first, second = trained.policy.state_dict(), again.policy.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert again.manifest == trained.manifest
    assert {trial.trial_id: trial.created_at for trial in inputs.ledger.trials()} == before


def test_random_numbers_and_threads_of_the_caller_are_left_alone(inputs: TrainingInputs, tmp_path: Path) -> None:
    torch.manual_seed(3)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train_behaviour_cloning(inputs, QUICK.model_copy(update={"epochs": 1}), tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_decisions_of_the_validation_span_do_not_reach_the_weights(inputs: TrainingInputs, tmp_path: Path) -> None:
    """Other validation decisions may change which epoch is best, but not what any epoch learnt."""
    config = QUICK.model_copy(update={"epochs": 1, "seeds": (0,)})
    boundary = np.datetime64(inputs.splits.validation.after.replace(tzinfo=None), "us")
    datasets = {
        symbol: replace(part, actions=np.where(part.close_time > boundary, 2 - part.actions, part.actions))
        for symbol, part in inputs.datasets.items()
    }
    other = replace(inputs, datasets=datasets, inputs_hash="b" * 16)
    first = train_behaviour_cloning(inputs, config, tmp_path / "one").policy.state_dict()
    second = train_behaviour_cloning(other, config, tmp_path / "two").policy.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_panel_with_test_bars_is_refused(inputs: TrainingInputs, tmp_path: Path) -> None:
    with pytest.raises(LookAheadError, match="test span"):
        train_behaviour_cloning(replace(inputs, panel=make_panel()), QUICK, tmp_path)


def test_decisions_taken_on_test_bars_are_refused(inputs: TrainingInputs, tmp_path: Path) -> None:
    datasets = {**inputs.datasets, "AAA": make_dataset(make_panel(), 0)}
    with pytest.raises(LookAheadError, match="test span"):
        train_behaviour_cloning(replace(inputs, datasets=datasets), QUICK, tmp_path)


@pytest.mark.parametrize("span", ["train", "validation"])
def test_a_span_without_decisions_is_an_error_that_names_it(inputs: TrainingInputs, tmp_path: Path, span: str) -> None:
    chosen = getattr(inputs.splits, span)
    datasets = {}
    for symbol, part in inputs.datasets.items():
        until = np.datetime64(chosen.until.replace(tzinfo=None), "us")
        after = np.datetime64(chosen.after.replace(tzinfo=None), "us")
        keep = (part.close_time <= after) | (part.close_time > until)
        datasets[symbol] = replace(
            part,
            states=part.states[keep],
            actions=part.actions[keep],
            strengths=part.strengths[keep],
            close_time=part.close_time[keep],
        )
    with pytest.raises(InsufficientDataError, match=f"{span} span"):
        train_behaviour_cloning(replace(inputs, datasets=datasets), QUICK, tmp_path)
