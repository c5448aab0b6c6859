"""From markets to findings: how many of a kind were promoted, and how each gate answered.

Shares carry exact one-sided 95 % bounds (Clopper and Pearson, 1934): 0 promotions of 300 null markets mean that, with that
confidence, fewer than 1 % would be promoted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from toto_ops.evaluation.controls.outcome import (
    ControlOutcome,
    GateTally,
    LeakedFindings,
    NullFindings,
    PlantedFindings,
    Proportion,
)
from toto_ops.evaluation.judgement.criteria import DEFLATED_SHARPE

CONFIDENCE = 0.95


def proportion(count: int, of: int) -> Proportion:
    """A count with the exact bounds of its probability."""
    from scipy.stats import beta

    low = float(beta.ppf(1 - CONFIDENCE, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(CONFIDENCE, count + 1, of - count)) if count < of else 1.0
    return Proportion(count=count, of=of, share=count / of if of else None, low=low, high=high)


def leaked_findings(outcomes: Sequence[ControlOutcome]) -> LeakedFindings:
    """Sum up the leaked markets."""
    return LeakedFindings(
        quarantined=_share_of(outcomes, lambda one: one.verdict == "quarantined"),
        promoted=sum(one.promoted for one in outcomes),
        oracle_shares=tuple(one.oracle_share for one in outcomes),
    )


def planted_findings(outcomes: Sequence[ControlOutcome]) -> PlantedFindings:
    """Sum up the planted markets."""
    sharpe, oracle = _mean([one.sharpe for one in outcomes]), _mean([one.oracle_sharpe for one in outcomes])
    return PlantedFindings(
        promoted=_share_of(outcomes, lambda one: one.promoted),
        quarantined=sum(one.verdict == "quarantined" for one in outcomes),
        sharpe=sharpe,
        oracle_sharpe=oracle,
        expected_oracle_sharpe=_mean([one.expected_oracle_sharpe for one in outcomes]),
        oracle_share=sharpe / oracle,
        gates=gate_tallies(outcomes),
    )


def null_findings(outcomes: Sequence[ControlOutcome]) -> NullFindings:
    """Sum up the null markets."""
    sources = sorted({one.made_of for one in outcomes})
    return NullFindings(
        promoted=_share_of(outcomes, lambda one: one.promoted),
        promoted_by_source={
            source: _share_of([one for one in outcomes if one.made_of == source], lambda one: one.promoted) for source in sources
        },
        passed_significance=_share_of(outcomes, lambda one: DEFLATED_SHARPE not in _rejecting(one)),
        passed_all_but_significance=_share_of(outcomes, lambda one: not _rejecting(one) - {DEFLATED_SHARPE}),
        gates=gate_tallies(outcomes),
    )


def gate_tallies(outcomes: Sequence[ControlOutcome]) -> tuple[GateTally, ...]:
    """How each gate and alarm answered, in the order of the gate table; rows that only inform are left out."""
    order = list(dict.fromkeys(row.name for one in outcomes for row in one.criteria if row.verdict != "shown"))
    return tuple(_tally(name, outcomes) for name in order)


def _tally(name: str, outcomes: Sequence[ControlOutcome]) -> GateTally:
    rows = [row for one in outcomes for row in one.criteria if row.name == name]
    answers = [row.verdict for row in rows]
    return GateTally(
        gate=name,
        kind=rows[0].kind,
        passed=answers.count("pass"),
        rejected=answers.count("fail"),
        rejected_alone=sum(_rejecting(one) == {name} for one in outcomes),
        insufficient=answers.count("insufficient"),
    )


def _rejecting(outcome: ControlOutcome) -> set[str]:
    """The gates, and alarms, that stood in the way of one market."""
    return {row.name for row in outcome.criteria if not row.passed}


def _mean(figures: Sequence[float | None]) -> float:
    return fmean(figure or 0.0 for figure in figures)


def _share_of(outcomes: Sequence[ControlOutcome], answer: Callable[[ControlOutcome], bool]) -> Proportion:
    return proportion(sum(answer(one) for one in outcomes), len(outcomes))
