"""What evidence and backtests say in sentences, the same in a page and in a text."""

from __future__ import annotations

from toto_ops.evaluation.backtests.document import BacktestReport, LookAtTestSpan
from toto_ops.evaluation.findings.documents import ChampionComparison, ImitationResult, Plausibility
from toto_ops.evaluation.judgement.evidence import Evidence
from toto_ops.evaluation.reports.figures import cell, counted, day, optional, percent, ratio
from toto_ops.evaluation.statistics.bootstrap import Estimate
from toto_ops.evaluation.statistics.overfitting_probability import OverfittingProbability
from toto_ops.evaluation.statistics.significance import Significance

LEAKAGE = "too good to be true: look for leakage of the future before anything else"


def verdict_statement(evidence: Evidence) -> str:
    """Why the verdict is what it is."""
    if evidence.passed:
        return "Every gate let it through."
    alarms = "; ".join(row.name for row in evidence.failures if row.kind == "alarm")
    gates = "; ".join(row.name for row in evidence.failures if row.kind == "gate")
    if evidence.verdict == "quarantined":
        return f"Quarantined, {LEAKAGE}. Raised by: {alarms}." + (f" Not passed either: {gates}." if gates else "")
    return f"Refused by: {gates}."


def accuracy_statements(evidence: Evidence) -> tuple[str, ...]:
    """How often it repeats its teacher, and how often it points the way prices go."""
    pointed = evidence.directional
    directional = (
        f"Directional on {pointed.positions} positions: {cell(pointed.accuracy, percent)}, "
        f"base rate {optional(percent)(pointed.base_rate)}."
    )
    return (*(_imitation(evidence.imitation) if evidence.imitation else ()), directional)


def belief_statements(evidence: Evidence) -> tuple[str, ...]:
    """How much of the result may be luck, and what no figure can say."""
    ledger = (
        f"The trial ledger holds {counted(evidence.trials, 'trial')}; overlapping test bars have been looked at "
        f"{counted(evidence.openings, 'time')}, this one included."
    )
    challenger = evidence.challenger
    return (
        _power(evidence.test_bars, evidence.minimum_detectable_sharpe),
        ledger,
        *(_luck(challenger.name, challenger.performance.sharpe, evidence.significance) if evidence.significance else ()),
        *((_overfitting(evidence.overfitting),) if evidence.overfitting else ()),
        *((_plausibility(evidence.plausibility),) if evidence.plausibility else ()),
        *((_succession(evidence.comparison),) if evidence.comparison else ()),
        *evidence.caveats,
    )


def backtest_statements(report: BacktestReport) -> tuple[str, ...]:
    """How much of what its first subject earned may be luck, and what no figure can say."""
    first, found, look = report.contestants[0], report.significance, report.test_span
    return (
        *_luck(first.name, first.performance.sharpe, found),
        _power(found.bars, found.minimum_detectable_sharpe),
        *(
            (f"{_foresight(report.oracle_sharpe)}: whoever comes near it has seen the future.",)
            if report.oracle_sharpe is not None
            else ()
        ),
        *((_look(look),) if look else ()),
        *report.caveats,
    )


def _imitation(imitation: ImitationResult) -> tuple[str, ...]:
    accuracy = (
        f"Imitation on {imitation.decisions} test decisions: {cell(imitation.accuracy, percent)}, macro-F1 "
        f"{cell(imitation.macro_f1, ratio)}; the most frequent action alone: {percent(imitation.majority_share)}."
    )
    gap = (
        f"Train {percent(imitation.train_accuracy)}, validation {percent(imitation.validation_accuracy)}, "
        f"gap {cell(imitation.gap, percent)}."
    )
    return accuracy, gap


def _luck(name: str, sharpe: Estimate, found: Significance) -> tuple[str, ...]:
    if sharpe.value is None:
        return (f"{name}: its returns do not vary, so that there is no Sharpe ratio to be believed or doubted.",)
    return f"{name}: {_luck_of_the_sample(found)}", _luck_of_the_best(found)


def _luck_of_the_sample(found: Significance) -> str:
    record = (
        f"{found.minimum_track_record:,.0f} bars of such returns would make it 95 % sure that the true one is above 0"
        if found.minimum_track_record is not None
        else "no number of such bars would show that the true one is above 0"
    )
    return (
        f"Sharpe ratio {ratio(found.sharpe)} on {found.bars} bars (skew {ratio(found.skew)}, kurtosis {ratio(found.kurtosis)}): "
        f"above 0 with a confidence of {percent(found.probabilistic_sharpe)}; {record}."
    )


def _luck_of_the_best(found: Significance) -> str:
    return (
        f"By the returns of {counted(found.trials, 'trial')} there were {counted(found.effective_trials, 'effective one')}, and "
        f"these bars were looked at {counted(found.earlier_openings, 'time')} before: the best of as many without skill would "
        f"show {ratio(found.expected_maximum_sharpe)} (scatter {ratio(found.trial_deviation)}). The confidence to be above "
        f"that, the deflated Sharpe ratio, is {percent(found.deflated_sharpe)}."
    )


def _overfitting(found: OverfittingProbability) -> str:
    if found.probability is None:
        return f"Probability of overfitting: {found.note}."
    return (
        f"The trial best in one half of the {found.bars} common validation bars came out no better than the median in the other "
        f"in {percent(found.probability)} of {found.combinations:,} halves, and lost money in "
        f"{optional(percent)(found.probability_of_loss)} ({found.effective_trials} effective trials)."
    )


def _power(bars: int, detectable: float) -> str:
    return (
        f"A span of {bars} bars shows a true Sharpe ratio of {ratio(detectable)} or more (5 % significance, 80 % power); smaller "
        "ones pass for luck."
    )


def _foresight(sharpe: float | None) -> str:
    return (
        "Perfect foresight of every next open, at the same costs, lag and limits, has a Sharpe ratio of "
        f"{optional(ratio)(sharpe)}"
    )


def _plausibility(found: Plausibility) -> str:
    return f"{_foresight(found.oracle_sharpe)}; the challenger reaches {optional(percent)(found.oracle_share)} of it."


def _look(look: LookAtTestSpan) -> str:
    span = look.looked_at
    return (
        f"This was a look at test bars ({day(span.after)} to {day(span.until)}), one of {look.openings} so far, in all "
        "universes with a market in common: the next challenger is judged the more strictly."
    )


def _succession(compared: ChampionComparison) -> str:
    if compared.difference is None:
        outcome = "too few to compare"
    else:
        outcome = f"difference of Sharpe ratios {cell(compared.difference, ratio)}"
    return f"Against champion {compared.champion}: {compared.bars} bars that neither has seen; {outcome}."
