"""Each criterion: what it stops, what it lets through, and on which side of the line its boundary lies."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from toto_ops.evaluation.findings.documents import (
    ChampionComparison,
    DirectionalResult,
    ImitationResult,
    Plausibility,
    StressResult,
    VolatilityMatching,
)
from toto_ops.evaluation.judgement.criteria import (
    BENCHMARK_FLOOR,
    CONFIRMATION,
    DEFLATED_SHARPE,
    DETECTABLE_SHARPE,
    EXCESS_SHARPE,
    ORACLE_SHARE,
    OVERFITTING,
    PROBABILISTIC_SHARPE,
    Confirmation,
    SpanLength,
    absolute_criteria,
    benchmark_criterion,
    champion_criterion,
    contamination_criterion,
    criterion,
    directional_criterion,
    imitation_criteria,
    informing_criteria,
    luck_criteria,
    plausibility_alarms,
)
from toto_ops.evaluation.judgement.evidence import verdict_of
from toto_ops.evaluation.judgement.gates import (
    BenchmarkGates,
    ChampionGates,
    GateConfig,
    ImitationGates,
    PlausibilityAlarm,
)
from toto_ops.evaluation.reports.figures import measured_in_brief, required
from toto_ops.evaluation.statistics.bootstrap import Estimate
from toto_ops.evaluation.statistics.overfitting_probability import OverfittingProbability
from toto_ops.evaluation.statistics.paired import PairedDifference
from toto_ops.evaluation.statistics.performance import Performance
from toto_ops.evaluation.statistics.significance import Significance


def performance(**figures: float | None) -> Performance:
    """A performance whose other figures are 0."""
    return Performance(**{name: Estimate(value=figures.get(name, 0.0)) for name in Performance.model_fields})


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
    assert criterion("gate", Estimate(value=measured), relation, required).verdict == verdict


@pytest.mark.parametrize(
    ("main", "breaker_off", "length", "failing"),
    [
        ({}, {}, SpanLength(60, 30), []),
        ({"sharpe": 0.9}, {}, SpanLength(60, 30), ["Sharpe ratio"]),
        ({"total_return": 0.04}, {}, SpanLength(60, 30), ["total return"]),
        ({"max_drawdown": 0.9}, {}, SpanLength(60, 30), []),
        ({}, {"max_drawdown": 0.21}, SpanLength(60, 30), ["maximum drawdown"]),
        ({}, {}, SpanLength(59, 30), ["test bars"]),
        ({}, {}, SpanLength(60, 29), ["test bars with a position"]),
    ],
)
def test_each_absolute_gate_stops_what_it_is_there_for(main, breaker_off, length, failing):
    good = {"sharpe": 1.0, "total_return": 0.05, "max_drawdown": 0.20}
    criteria = absolute_criteria(performance(**good | main), performance(**good | breaker_off), length, GateConfig())
    assert [one.name for one in criteria if one.verdict == "fail"] == failing


def significance(**changes) -> Significance:
    figures = {
        "bars": 300,
        "sharpe": 2.0,
        "skew": 0.0,
        "kurtosis": 3.0,
        "probabilistic_sharpe": 0.99,
        "trials": 9,
        "effective_trials": 4,
        "earlier_openings": 2,
        "trial_deviation": 0.5,
        "expected_maximum_sharpe": 0.8,
        "deflated_sharpe": 0.96,
        "minimum_track_record": 200.0,
        "minimum_detectable_sharpe": 2.7,
    }
    return Significance(**figures | changes)


def overfitting(probability: float | None, note: str = "") -> OverfittingProbability:
    return OverfittingProbability(trials=4, effective_trials=3, bars=120, combinations=12870, probability=probability, note=note)


@pytest.mark.parametrize(
    ("deflated", "confirmed", "overfitted", "verdicts"),
    [
        (0.95, 0.95, 0.5, ("pass", "pass", "pass")),
        (0.94, 0.95, 0.5, ("fail", "pass", "pass")),
        (0.95, 0.94, 0.5, ("pass", "fail", "pass")),
        (0.95, 0.95, 0.51, ("pass", "pass", "fail")),
        (0.95, 0.95, None, ("pass", "pass", "insufficient")),
    ],
)
def test_luck_stops_a_sharpe_ratio_that_the_best_of_many_would_show(deflated, confirmed, overfitted, verdicts):
    confirmation = Confirmation(confirmed, held=30)
    criteria = luck_criteria(significance(deflated_sharpe=deflated), confirmation, overfitting(overfitted), GateConfig())
    assert tuple(one.name for one in criteria) == (DEFLATED_SHARPE, CONFIRMATION, OVERFITTING)
    assert tuple(one.verdict for one in criteria) == verdicts


def test_a_few_bars_confirm_nothing():
    """One bar that won, among a thousand without a position, has a probabilistic Sharpe ratio of 0.97."""
    _, confirmed, _ = luck_criteria(significance(), Confirmation(0.97, held=29), overfitting(None), GateConfig())
    assert confirmed.verdict == "fail"
    assert "held in 29, at least 30 are asked for" in confirmed.note


def test_the_note_of_the_deflated_ratio_says_what_was_counted():
    chosen = overfitting(None, "insufficient: nothing was chosen")
    deflated, _, _ = luck_criteria(significance(), Confirmation(0.99, held=30), chosen, GateConfig())
    assert "effective trials: 4, earlier looks at these bars: 2" in deflated.note
    assert "0.80" in deflated.note


def matching(*, matched: bool = True) -> VolatilityMatching:
    return VolatilityMatching(scale=0.7, target=0.2, realised=0.2 if matched else 0.1, matched=matched)


def above_matched(low: float | None) -> PairedDifference:
    growth = Estimate(value=0.2, low=low, high=0.4)
    return PairedDifference(against="matched", bars=300, mean_log_return=growth, sharpe=growth)


@pytest.mark.parametrize(
    ("low", "margin", "verdict"), [(0.001, 0.0, "pass"), (0.0, 0.0, "fail"), (-0.01, 0.0, "fail"), (0.04, 0.05, "fail")]
)
def test_the_benchmark_floor_asks_its_margin_of_the_lower_bound(low, margin, verdict):
    row = benchmark_criterion(above_matched(low), matching(), BenchmarkGates(margin=margin))
    assert (row.name, row.verdict, row.measured, row.low) == (BENCHMARK_FLOOR, verdict, 0.2, low)
    assert required(row) == f"lower bound > {margin:.1%}"
    assert measured_in_brief(row) == f"20.0% [{low:.1%} … 40.0%]"


def test_a_benchmark_whose_volatility_was_not_reached_cannot_be_beaten():
    row = benchmark_criterion(above_matched(0.1), matching(matched=False), BenchmarkGates())
    assert row.verdict == "fail"
    assert "no scale brought equal weight to a volatility of 20.00% (reached 10.00%)" in row.note


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


def test_the_champion_rule_is_non_inferiority_of_the_lower_bound():
    gates = ChampionGates(sharpe_margin=0.5)

    def comparison(low):
        return ChampionComparison(champion="bc", bars=100, difference=Estimate(value=0.2, low=low, high=0.8))

    assert champion_criterion(comparison(-0.49), gates).verdict == "pass"
    assert champion_criterion(comparison(-0.51), gates).verdict == "fail"


def test_with_too_few_common_bars_the_champion_rule_does_not_decide():
    insufficient = champion_criterion(ChampionComparison(champion="bc", bars=12), ChampionGates())
    assert insufficient.verdict == "insufficient"
    assert insufficient.passed
    assert "12 bars" in insufficient.note


def test_a_difference_without_an_interval_does_not_pass():
    undefined = ChampionComparison(champion="bc", bars=100, difference=Estimate(value=0.5))
    assert champion_criterion(undefined, ChampionGates()).verdict == "fail"


def plausibility(share: float | None, excess: float | None) -> Plausibility:
    return Plausibility(oracle_sharpe=20.0, oracle_share=share, benchmark_sharpe=0.5, excess=excess)


@pytest.mark.parametrize(
    ("share", "excess", "verdicts", "verdict"),
    [
        (0.5, 8.0, ("pass", "pass"), "passed"),
        (0.51, 2.0, ("fail", "pass"), "quarantined"),
        (0.2, 8.1, ("pass", "fail"), "quarantined"),
        (-0.3, -2.0, ("pass", "pass"), "passed"),
        (None, None, ("insufficient", "insufficient"), "passed"),
    ],
)
def test_what_is_too_good_to_be_true_raises_an_alarm(share, excess, verdicts, verdict):
    alarms = plausibility_alarms(plausibility(share, excess), PlausibilityAlarm())
    assert tuple(one.name for one in alarms) == (ORACLE_SHARE, EXCESS_SHARPE)
    assert tuple(one.verdict for one in alarms) == verdicts
    assert {one.kind for one in alarms} == {"alarm"}
    gate = criterion("gate", Estimate(value=1.0), ">=", 1.0)
    assert verdict_of((gate, *alarms)) == verdict
    assert all(("look for leakage" in one.note) == (one.verdict == "fail") for one in alarms)


@pytest.mark.parametrize(("day", "known", "verdict"), [(9, 0, "pass"), (10, 1, "fail"), (12, 3, "fail"), (31, 5, "fail")])
def test_a_test_bar_that_closed_when_outside_weights_were_released_may_be_known_to_them(day: int, known: int, verdict: str):
    closes = [datetime(2024, 1, 10 + number, tzinfo=UTC) for number in range(5)]
    row = contamination_criterion(closes, datetime(2024, 1, day, tzinfo=UTC))
    assert (row.kind, row.measured, row.required, row.verdict) == ("gate", known, 0, verdict)
    assert verdict_of([row]) == ("passed" if verdict == "pass" else "refused")
    assert "of 5; released on 2024-01-" in row.note


def test_what_informs_is_shown_and_decides_nothing():
    stresses = tuple(
        StressResult(name=name, performance=performance(sharpe=-5.0)) for name in ("breaker off", "costs x2", "decision lag 2")
    )
    shown = informing_criteria(significance(), stresses)
    assert [row.name for row in shown] == [
        PROBABILISTIC_SHARPE,
        DETECTABLE_SHARPE,
        "Sharpe ratio at costs x2",
        "Sharpe ratio at decision lag 2",
    ]
    assert {row.verdict for row in shown} == {"shown"}
    gate = criterion("gate", Estimate(value=1.0), ">=", 1.0)
    assert verdict_of((gate, *shown)) == "passed"
    assert verdict_of(shown) == "refused"
