"""What no figure can say, and every reader of one must know."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from toto_ops.evaluation.statistics.significance import Significance
from toto_ops.universes import Universe

SURVIVORSHIP = (
    "The symbols of this universe were chosen with hindsight: those that failed or were forgotten are not among them, and "
    "every return shown, the benchmarks' included, is higher for it."
)

ADJUSTMENTS: Mapping[str, str] = {
    "none": "Prices are as they were traded, without adjustment.",
    "split": "Prices are adjusted for splits but not for dividends: dividends are missing from every return shown.",
    "total_return": "Prices are adjusted for splits and dividends: the levels shown were never traded, the returns were.",
}


def market_caveats(universe: Universe) -> tuple[str, ...]:
    """Of the choice of symbols and of their prices."""
    parts = universe.parts or {universe.name: universe}
    adjustments = {part.adjustment for part in parts.values()}
    if len(adjustments) == 1:
        return (SURVIVORSHIP, ADJUSTMENTS[adjustments.pop()])
    return (SURVIVORSHIP, *(f"{name}: {ADJUSTMENTS[part.adjustment]}" for name, part in parts.items()))


def contamination_caveats(name: str, possibly_knows_until: datetime | None, first_close: datetime) -> tuple[str, ...]:
    """Of a policy that observes weights from elsewhere, which may have been trained on the very bars it is judged on."""
    if possibly_knows_until is None or first_close > possibly_knows_until:
        return ()
    caveat = (
        f"What {name} observes comes from weights released on {possibly_knows_until:%Y-%m-%d}, which may have been trained on "
        "bars up to then: its figures on those bars are no evidence of skill, and only later bars can promote it."
    )
    return (caveat,)


def power_caveats(significance: Significance, minimum_sharpe: float) -> tuple[str, ...]:
    """That the span is too short for the gate: nothing where a true Sharpe ratio of what it asks for would show."""
    detectable = significance.minimum_detectable_sharpe
    if detectable <= minimum_sharpe:
        return ()
    caveat = (
        f"{significance.bars} bars would reliably show a true Sharpe ratio of {detectable:.1f} or more. The gate asks for "
        f"{minimum_sharpe:g}: passing it is no proof of skill, and failing it is no proof of the lack of it."
    )
    return (caveat,)
