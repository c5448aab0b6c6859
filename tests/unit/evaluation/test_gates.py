from __future__ import annotations

import pytest

from toto_ops.configuration import Settings
from toto_ops.errors import ConfigError
from toto_ops.evaluation.bootstrap import Estimate
from toto_ops.evaluation.evidence import ChampionComparison, DirectionalResult, ImitationResult
from toto_ops.evaluation.gates import (
    ChampionGates,
    GateConfig,
    ImitationGates,
    champion_criterion,
    criterion,
    directional_criterion,
    imitation_criteria,
    load_gates,
)


def test_the_gates_file_holds_what_the_design_requires(universe):
    gates = load_gates(Settings(), universe)
    assert (gates.minimum_sharpe, gates.minimum_return, gates.maximum_drawdown) == (1.0, 0.05, 0.20)
    assert gates.imitation == ImitationGates(
        minimum_accuracy=0.70, margin_over_majority=0.10, minimum_macro_f1=0.60, maximum_gap=0.10
    )
    assert gates.champion.minimum_bars == 60


def test_a_universe_overrides_single_gates(universe):
    own = universe.model_copy(update={"gates": {"minimum_sharpe": 0.5, "imitation": {"maximum_gap": 0.2}}})
    gates = load_gates(Settings(), own)
    assert gates.minimum_sharpe == 0.5
    assert gates.imitation.maximum_gap == 0.2
    assert gates.imitation.minimum_accuracy == 0.70


def test_a_misspelt_override_names_the_universe_and_the_key(universe):
    own = universe.model_copy(update={"gates": {"imitation": {"minimun_accuracy": 0.5}}})
    with pytest.raises(ConfigError, match=r"universes\.controls\.gates.*imitation\.minimun_accuracy"):
        load_gates(Settings(), own)


def test_a_misspelt_key_in_the_file_names_the_file(tmp_path, universe):
    (tmp_path / "gates.yaml").write_text("schema_version: 1\nminimal_sharpe: 2\n")
    with pytest.raises(ConfigError, match=r"gates\.yaml.*minimal_sharpe"):
        load_gates(Settings(config_dir=tmp_path), universe)


@pytest.mark.parametrize(
    ("measured", "relation", "required", "verdict"),
    [
        (1.0, ">=", 1.0, "pass"),
        (0.999, ">=", 1.0, "fail"),
        (0.20, "<=", 0.20, "pass"),
        (0.21, "<=", 0.20, "fail"),
        (0.5, ">", 0.5, "fail"),
        (0.51, ">", 0.5, "pass"),
        (None, ">=", 1.0, "fail"),
        (1.0, ">", None, "fail"),
    ],
)
def test_the_boundary_belongs_to_the_side_it_should(measured, relation, required, verdict):
    assert criterion("gate", measured, relation, required).verdict == verdict


def imitation_result(**changes) -> ImitationResult:
    good = {
        "accuracy": Estimate(value=0.80),
        "macro_f1": Estimate(value=0.70),
        "majority_share": 0.60,
        "train_accuracy": 0.85,
        "validation_accuracy": 0.80,
        "gap": Estimate(value=0.05),
        "decisions": 500,
    }
    return ImitationResult(**(good | changes))


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({}, []),
        ({"accuracy": Estimate(value=0.69), "majority_share": 0.4}, ["imitation accuracy"]),
        ({"majority_share": 0.75}, ["imitation accuracy against majority class"]),
        ({"macro_f1": Estimate(value=0.59)}, ["imitation macro-F1"]),
        ({"gap": Estimate(value=0.11)}, ["accuracy gap train to validation"]),
    ],
)
def test_each_imitation_gate_stops_what_it_is_there_for(changes, failing):
    criteria = imitation_criteria(imitation_result(**changes), ImitationGates())
    assert [one.name for one in criteria if one.verdict == "fail"] == failing


def test_directional_accuracy_must_beat_the_base_rate_by_its_lower_bound():
    lucky = DirectionalResult(accuracy=Estimate(value=0.58, low=0.50, high=0.66), base_rate=0.54, positions=90)
    sure = DirectionalResult(accuracy=Estimate(value=0.58, low=0.55, high=0.61), base_rate=0.54, positions=900)
    assert directional_criterion(lucky).verdict == "fail"
    assert directional_criterion(sure).verdict == "pass"


def comparison(low: float) -> ChampionComparison:
    return ChampionComparison(champion="bc", bars=100, difference=Estimate(value=low + 0.3, low=low, high=low + 0.6))


def test_a_challenger_may_be_worse_than_the_champion_by_the_margin_and_no_more():
    gates = ChampionGates(sharpe_margin=0.5)
    assert champion_criterion(comparison(-0.49), gates).verdict == "pass"
    assert champion_criterion(comparison(-0.51), gates).verdict == "fail"


def test_too_few_unseen_bars_neither_pass_nor_block():
    insufficient = champion_criterion(ChampionComparison(champion="bc", bars=59), ChampionGates())
    assert insufficient.verdict == "insufficient"
    assert insufficient.passed
    assert "59" in insufficient.note


def test_an_undefined_difference_of_sharpe_ratios_blocks():
    undefined = ChampionComparison(champion="bc", bars=100, difference=Estimate(value=None))
    assert champion_criterion(undefined, ChampionGates()).verdict == "fail"


def test_the_defaults_in_code_are_those_of_the_file(universe):
    assert load_gates(Settings(), universe) == GateConfig()
