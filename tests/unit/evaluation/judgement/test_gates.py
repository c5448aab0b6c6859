from __future__ import annotations

import pytest

from toto_ops.configuration import Settings
from toto_ops.errors import ConfigError
from toto_ops.evaluation.judgement.gates import (
    Aim,
    BenchmarkGates,
    GateConfig,
    ImitationGates,
    LuckGates,
    PlausibilityAlarm,
    load_gates,
)
from toto_ops.universes import load_universes


def test_the_gates_file_holds_what_the_design_requires(universe):
    gates = load_gates(Settings(), universe)
    assert (gates.minimum_sharpe, gates.minimum_return, gates.maximum_drawdown) == (1.0, 0.05, 0.20)
    assert gates.luck == LuckGates(minimum_deflated_sharpe=0.95, maximum_overfitting_probability=0.5)
    assert gates.benchmark == BenchmarkGates(margin=0.0, level=0.90)
    assert gates.imitation == ImitationGates(
        minimum_accuracy=0.70, margin_over_majority=0.10, minimum_macro_f1=0.60, maximum_gap=0.10
    )
    assert gates.champion.minimum_bars == 60
    assert gates.plausibility == PlausibilityAlarm(maximum_oracle_share=0.5, maximum_excess_sharpe=8.0)


def test_the_targets_of_a_good_policy_are_the_agreed_ones(universe):
    targets = load_gates(Settings(), universe).targets
    assert (targets.win_rate, targets.profit_factor) == (Aim(low=0.40, high=0.50), Aim(low=1.2, high=1.8))
    assert (targets.max_drawdown, targets.sharpe) == (Aim(high=0.25), Aim(low=1.0))


def test_the_file_says_what_the_defaults_say(universe):
    assert load_gates(Settings(), universe) == GateConfig()


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
    (tmp_path / "gates.yaml").write_text("schema_version: 2\nminimal_sharpe: 2\n")
    with pytest.raises(ConfigError, match=r"gates\.yaml.*minimal_sharpe"):
        load_gates(Settings(config_dir=tmp_path), universe)


def test_a_file_of_the_first_version_keeps_its_margin_and_takes_the_new_gates(tmp_path, universe):
    (tmp_path / "gates.yaml").write_text("schema_version: 1\nminimum_sharpe: 1.5\nbenchmark_margin: 0.03\n")
    gates = load_gates(Settings(config_dir=tmp_path), universe)
    assert (gates.minimum_sharpe, gates.benchmark.margin) == (1.5, 0.03)
    assert gates.luck == LuckGates()


def test_a_file_that_speaks_of_the_margin_in_two_versions_is_refused_with_the_way_out(tmp_path, universe):
    both = "schema_version: 1\nbenchmark_margin: 0.03\nbenchmark: {level: 0.8}\n"
    (tmp_path / "gates.yaml").write_text(both)
    with pytest.raises(ConfigError, match=r"gates\.yaml: `benchmark_margin` is of version 1 .*say `schema_version: 2`"):
        load_gates(Settings(config_dir=tmp_path), universe)


def test_in_a_combined_universe_every_count_of_bars_is_of_its_slowest_market():
    universes = load_universes(Settings())
    alone, joined = (load_gates(Settings(), universes.universe(name)) for name in ("stocks", "multi"))
    assert (alone.minimum_test_bars, alone.minimum_held_bars, alone.champion.minimum_bars) == (60, 30, 60)
    # 2.45 rows from one session of New York to the next.
    assert (joined.minimum_test_bars, joined.minimum_held_bars, joined.champion.minimum_bars) == (147, 74, 147)
    assert joined.bootstrap.block_length == pytest.approx(49.0)
    assert (joined.luck, joined.bootstrap.seed, joined.champion.level) == (alone.luck, alone.bootstrap.seed, alone.champion.level)


def test_a_range_that_holds_nothing_is_refused():
    with pytest.raises(ValueError, match="ends"):
        Aim(low=0.5, high=0.4)
