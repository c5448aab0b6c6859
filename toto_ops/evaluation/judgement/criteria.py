"""The criteria: every gate, every alarm and every figure that informs, each as one row of required and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from toto_ops.evaluation.findings.documents import (
    ChampionComparison,
    DirectionalResult,
    ImitationResult,
    Plausibility,
    StressResult,
    Unit,
    VolatilityMatching,
)
from toto_ops.evaluation.judgement.evidence import Answer, Compared, Criterion, Relation
from toto_ops.evaluation.judgement.gates import (
    BenchmarkGates,
    ChampionGates,
    GateConfig,
    ImitationGates,
    PlausibilityAlarm,
)
from toto_ops.evaluation.statistics.bootstrap import Estimate
from toto_ops.evaluation.statistics.overfitting_probability import OverfittingProbability
from toto_ops.evaluation.statistics.paired import PairedDifference
from toto_ops.evaluation.statistics.performance import Performance
from toto_ops.evaluation.statistics.significance import Significance

TEST_BARS = "test bars"
HELD_BARS = "test bars with a position"
SHARPE = "Sharpe ratio"
TOTAL_RETURN = "total return"
MAX_DRAWDOWN = "maximum drawdown"
DEFLATED_SHARPE = "deflated Sharpe ratio"
CONFIRMATION = "probabilistic Sharpe ratio on validation"
OVERFITTING = "probability of overfitting"
BENCHMARK_FLOOR = "log return above volatility-matched equal weight"
ORACLE_SHARE = "share of the Sharpe ratio of perfect foresight"
EXCESS_SHARPE = "Sharpe ratio above equal weight"
CONTAMINATION = "test bars that weights from elsewhere may know"
PROBABILISTIC_SHARPE = "probabilistic Sharpe ratio"
DETECTABLE_SHARPE = "minimum detectable Sharpe ratio"


@dataclass(frozen=True)
class SpanLength:
    """How much there is to judge by: returns of the test span, and those of them made with a position."""

    bars: int
    held: int


@dataclass(frozen=True)
class Confirmation:
    """What the validation span says of the challenger: the probabilistic Sharpe ratio, and bars that were held through."""

    confidence: float
    held: int


def absolute_criteria(
    performance: Performance, breaker_off: Performance, length: SpanLength, gates: GateConfig
) -> tuple[Criterion, ...]:
    """Length of the test span, and how much of it was traded; Sharpe ratio, return, and drawdown with the breaker off."""
    drawdown = breaker_off.max_drawdown
    return (
        criterion(TEST_BARS, Estimate(value=length.bars), ">=", gates.minimum_test_bars, unit="count"),
        criterion(HELD_BARS, Estimate(value=length.held), ">=", gates.minimum_held_bars, unit="count"),
        criterion(SHARPE, performance.sharpe, ">=", gates.minimum_sharpe),
        criterion(TOTAL_RETURN, performance.total_return, ">=", gates.minimum_return, unit="percent"),
        criterion(MAX_DRAWDOWN, drawdown, "<=", gates.maximum_drawdown, unit="percent", note="circuit breaker off"),
    )


def luck_criteria(
    significance: Significance, confirmation: Confirmation, overfitting: OverfittingProbability, gates: GateConfig
) -> tuple[Criterion, ...]:
    """Deflated Sharpe ratio, its confirmation, and probability of overfitting where there are trials enough to ask.

    The challenger was chosen on validation, so its confirmation there alone would prove nothing; but bars it was lucky on in
    both spans are rare. A few bars confirm nothing: one that won, among many without a position, has a ratio of 0.97.
    """
    luck = gates.luck
    deflated = criterion(
        DEFLATED_SHARPE,
        Estimate(value=significance.deflated_sharpe),
        ">=",
        luck.minimum_deflated_sharpe,
        note=f"effective trials: {significance.effective_trials}, earlier looks at these bars: {significance.earlier_openings}; "
        f"by luck the best of as many shows a Sharpe ratio of {significance.expected_maximum_sharpe:.2f}",
    )
    confirmed = criterion(
        CONFIRMATION,
        Estimate(value=confirmation.confidence if confirmation.held >= gates.minimum_held_bars else None),
        ">=",
        luck.minimum_validation_confidence,
        note="confidence that the true Sharpe ratio is above 0, from other bars than those of the test; "
        f"held in {confirmation.held}, at least {gates.minimum_held_bars} are asked for",
    )
    return deflated, confirmed, _overfitting_criterion(overfitting, luck.maximum_overfitting_probability)


def _overfitting_criterion(overfitting: OverfittingProbability, maximum: float) -> Criterion:
    if overfitting.probability is None:
        nothing = Estimate(value=None)
        return _row(OVERFITTING, nothing, "<=", maximum, "insufficient", unit="percent", note=overfitting.note)
    note = f"{overfitting.effective_trials} effective trials over {overfitting.bars} common validation bars"
    measured = Estimate(value=overfitting.probability)
    return criterion(OVERFITTING, measured, "<=", maximum, unit="percent", note=note)


def benchmark_criterion(paired: PairedDifference, match: VolatilityMatching, gates: BenchmarkGates) -> Criterion:
    """The lower bound of the mean log return above equal weight at the same volatility exceeds the margin.

    Parameters
    ----------
    paired
        Challenger minus volatility-matched equal weight, its interval at `gates.level`.
    """
    difference = paired.mean_log_return
    if not match.matched:
        note = f"no scale brought equal weight to a volatility of {match.target:.2%} (reached {match.realised:.2%})"
        return _row(BENCHMARK_FLOOR, Estimate(value=None), ">", gates.margin, "fail", unit="percent", note=note)
    note = f"a year; equal weight at {match.scale:.2f}x, costs and financing paid, volatility {match.realised:.1%} a year"
    return criterion(BENCHMARK_FLOOR, difference, ">", gates.margin, compared="lower bound", unit="percent", note=note)


def imitation_criteria(imitation: ImitationResult, gates: ImitationGates) -> tuple[Criterion, ...]:
    """Accuracy, its margin over the majority class, macro-F1 and overfitting gap."""
    majority = imitation.majority_share
    return (
        criterion("imitation accuracy", imitation.accuracy, ">=", gates.minimum_accuracy, unit="percent"),
        criterion(
            "imitation accuracy against majority class",
            imitation.accuracy,
            ">=",
            majority + gates.margin_over_majority,
            unit="percent",
            note=f"the most frequent action alone is right in {majority:.1%}",
        ),
        criterion("imitation macro-F1", imitation.macro_f1, ">=", gates.minimum_macro_f1),
        criterion("accuracy gap train to validation", imitation.gap, "<=", gates.maximum_gap, unit="percent"),
    )


def directional_criterion(directional: DirectionalResult) -> Criterion:
    """The lower bound of the directional accuracy lies above the base rate."""
    accuracy = directional.accuracy
    if accuracy.value is None:
        note = "no position met a move"
    else:
        note = f"lower bound of {accuracy.value:.1%} over {directional.positions} positions"
    lower = Estimate(value=accuracy.low, low=accuracy.low, high=accuracy.high)
    return criterion("directional accuracy", lower, ">", directional.base_rate, unit="percent", note=note)


def champion_criterion(comparison: ChampionComparison, gates: ChampionGates) -> Criterion:
    """The challenger is not worse than the champion by more than the margin."""
    name = f"Sharpe ratio against champion {comparison.champion}"
    difference = comparison.difference
    if difference is None:
        note = f"{comparison.bars} bars that neither has seen, {gates.minimum_bars} needed: the absolute gates decide"
        return _row(name, Estimate(value=None), ">=", -gates.sharpe_margin, "insufficient", note=note)
    note = f"difference on {comparison.bars} bars that neither has seen"
    return criterion(name, difference, ">=", -gates.sharpe_margin, compared="lower bound", note=note)


def contamination_criterion(closes: Sequence[datetime], possibly_knows_until: datetime) -> Criterion:
    """No test bar had closed when the weights from elsewhere that the challenger observes were released.

    Parameters
    ----------
    closes
        Of the test bars, increasing.
    """
    known = sum(close <= possibly_knows_until for close in closes)
    note = f"of {len(closes)}; released on {possibly_knows_until:%Y-%m-%d}, and what they were trained on is not known bar by bar"
    return criterion(CONTAMINATION, Estimate(value=known), "<=", 0, unit="count", note=note)


def plausibility_alarms(plausibility: Plausibility, alarm: PlausibilityAlarm) -> tuple[Criterion, ...]:
    """Not nearer to perfect foresight, nor further above the market, than anybody gets without knowing the future."""
    share, excess = plausibility.oracle_share, plausibility.excess
    of_oracle = f"perfect foresight of the next open, same costs, lag and limits: {_ratio(plausibility.oracle_sharpe)}"
    of_benchmark = f"equal weight, rebalanced: {_ratio(plausibility.benchmark_sharpe)}"
    return (
        _alarm(ORACLE_SHARE, share, alarm.maximum_oracle_share, unit="percent", note=of_oracle),
        _alarm(EXCESS_SHARPE, excess, alarm.maximum_excess_sharpe, unit="ratio", note=of_benchmark),
    )


def informing_criteria(significance: Significance, stresses: Sequence[StressResult]) -> tuple[Criterion, ...]:
    """What no gate asks for and every reader should see: the power of the span, and the Sharpe ratio under stress."""
    positive = Estimate(value=significance.probabilistic_sharpe)
    detectable = Estimate(value=significance.minimum_detectable_sharpe)
    return (
        _row(PROBABILISTIC_SHARPE, positive, ">=", None, "shown", note="confidence that the true Sharpe ratio is above 0"),
        _row(DETECTABLE_SHARPE, detectable, "<=", None, "shown", note="5 % significance, 80 % power"),
        *(
            _row(f"{SHARPE} at {stress.name}", stress.performance.sharpe, ">=", None, "shown")
            for stress in stresses
            if stress.name != "breaker off"
        ),
    )


def criterion(
    name: str,
    measured: Estimate,
    relation: Relation,
    required: float | None,
    *,
    compared: Compared = "estimate",
    unit: Unit = "ratio",
    note: str = "",
) -> Criterion:
    """Compare; an undefined figure fails, and the note says that it is undefined."""
    figure = measured.low if compared == "lower bound" else measured.value
    if figure is None or required is None:
        return _row(name, measured, relation, required, "fail", compared=compared, unit=unit, note=_undefined(note))
    met = {">=": figure >= required, "<=": figure <= required, ">": figure > required}[relation]
    return _row(name, measured, relation, required, "pass" if met else "fail", compared=compared, unit=unit, note=note)


def _alarm(name: str, measured: float | None, maximum: float, *, unit: Unit, note: str) -> Criterion:
    """An undefined figure raises no alarm: what does not trade does not leak."""
    if measured is None:
        row = _row(name, Estimate(value=None), "<=", maximum, "insufficient", unit=unit, note=_undefined(note))
    else:
        row = criterion(name, Estimate(value=measured), "<=", maximum, unit=unit, note=note)
        row = row if row.passed else row.model_copy(update={"note": f"too good to be true, look for leakage; {note}"})
    return row.model_copy(update={"kind": "alarm"})


def _row(
    name: str,
    measured: Estimate,
    relation: Relation,
    required: float | None,
    verdict: Answer,
    *,
    compared: Compared = "estimate",
    unit: Unit = "ratio",
    note: str = "",
) -> Criterion:
    return Criterion(
        name=name,
        unit=unit,
        required=required,
        relation=relation,
        measured=measured.value,
        low=measured.low,
        high=measured.high,
        compared=compared,
        verdict=verdict,
        note=note,
    )


def _undefined(note: str) -> str:
    return "; ".join(part for part in (note, "not defined on this span") if part)


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.1%}"


def _ratio(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"
