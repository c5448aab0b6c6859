"""What a system must show before its verdicts are believed, kind by kind of market."""

from __future__ import annotations

from toto_ops.evaluation.controls.outcome import Demand, LeakedFindings, NullFindings, PlantedFindings

LEAKED_ORACLE_SHARE = 0.80
"""Share of the oracle's Sharpe ratio that a policy given the next return must reach."""
PLANTED_PROMOTED = 0.80
"""Share of planted markets that must be promoted."""
PLANTED_ORACLE_SHARE = 0.50
"""Share of the optimum's Sharpe ratio that must be reached on planted markets, over all of them. The teacher learns of a
turn from returns over 20 bars; the optimum knows of it at once."""


def demands(leaked: LeakedFindings | None, planted: PlantedFindings | None, null: NullFindings | None) -> tuple[Demand, ...]:
    """What the findings must show, for the kinds of markets that were asked for."""
    return (
        *(_of_leaked(leaked) if leaked is not None else ()),
        *(_of_planted(planted) if planted is not None else ()),
        *(_of_null(null) if null is not None else ()),
    )


def _of_leaked(leaked: LeakedFindings) -> tuple[Demand, ...]:
    shares = [share for share in leaked.oracle_shares if share is not None]
    lowest = min(shares) if len(shares) == len(leaked.oracle_shares) else None
    return (
        Demand(
            name="a leaked future is made use of",
            required=f"at least {LEAKED_ORACLE_SHARE:.0%} of the oracle's Sharpe ratio",
            measured="a Sharpe ratio is not defined" if lowest is None else f"{lowest:.0%}",
            met=lowest is not None and lowest >= LEAKED_ORACLE_SHARE,
        ),
        Demand(
            name="a leaked future is noticed",
            required="every market quarantined, none promoted",
            measured=f"{leaked.quarantined.count} of {leaked.quarantined.of} quarantined, {leaked.promoted} promoted",
            met=leaked.quarantined.count == leaked.quarantined.of and not leaked.promoted,
        ),
    )


def _of_planted(planted: PlantedFindings) -> tuple[Demand, ...]:
    promoted = planted.promoted
    return (
        Demand(
            name="planted trends are promoted",
            required=f"at least {PLANTED_PROMOTED:.0%}",
            measured=f"{promoted.count} of {promoted.of}",
            met=promoted.share is not None and promoted.share >= PLANTED_PROMOTED,
        ),
        Demand(
            name="planted trends are followed",
            required=f"at least {PLANTED_ORACLE_SHARE:.0%} of the optimum's Sharpe ratio",
            measured=f"{planted.oracle_share:.0%} ({planted.sharpe:.2f} of {planted.oracle_sharpe:.2f})",
            met=planted.oracle_share >= PLANTED_ORACLE_SHARE,
        ),
    )


def _of_null(null: NullFindings) -> tuple[Demand, ...]:
    promoted = null.promoted
    return (
        Demand(
            name="nothing is made of nothing",
            required="no null market promoted",
            measured=f"{promoted.count} of {promoted.of}, at most {promoted.high:.2%} with 95 % confidence",
            met=promoted.count == 0,
        ),
    )
