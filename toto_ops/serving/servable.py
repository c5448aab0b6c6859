"""What may be asked about: symbols whose bars are sound, still come, and are new enough."""

from __future__ import annotations

from datetime import UTC, datetime

from toto_ops.errors import BarDataError, StaleBarsError, SymbolNameError
from toto_ops.market.snapshot import Snapshot, SnapshotEntry
from toto_ops.universes import Universe

SECONDS_PER_DAY = 86_400.0


def serving_moment(universe: Universe, snapshot: Snapshot) -> datetime:
    """The moment a question stands at unless it says otherwise: now, or the end of a bundled sample, which never grows."""
    return snapshot.as_of if universe.is_sample else datetime.now(UTC)


def servable(universe: Universe, snapshot: Snapshot, symbol: str) -> SnapshotEntry:
    """The entry of a symbol that may be asked about.

    Raises
    ------
    SymbolNameError
        If the universe does not have it.
    BarDataError
        If its bars are quarantined.
    StaleBarsError
        If its feed has ended.
    """
    known = {entry.symbol: entry for entry in snapshot.entries}
    if symbol not in known:
        raise SymbolNameError(
            f"{symbol} is not in the universe", where=universe.name, remedy=f"ask for one of {', '.join(snapshot.symbols)}"
        )
    entry = known[symbol]
    if entry.status == "quarantined":
        raise BarDataError(
            f"its bars are quarantined: {'; '.join(entry.reasons)}", where=symbol, remedy="mend the feed, then retrain"
        )
    if entry.ended:
        raise StaleBarsError(
            f"its feed ended on {entry.last_close:%Y-%m-%d}" if entry.last_close else "its feed has ended",
            where=symbol,
            remedy="liquidate it; it is no longer served",
        )
    return entry


def require_fresh(universe: Universe, symbol: str, close: datetime, moment: datetime) -> None:
    """Refuse to answer on a bar that is too old to act on.

    Raises
    ------
    StaleBarsError
        If it closed longer before `moment` than the universe allows.
    """
    age = (moment - close).total_seconds() / SECONDS_PER_DAY
    allowed = universe.max_bar_age_days
    if age > allowed:
        raise StaleBarsError(
            f"its newest bar closed on {close:%Y-%m-%d %H:%M} UTC, {age:.1f} days before {moment:%Y-%m-%d %H:%M %Z}; "
            f"at most {allowed:g} are allowed",
            where=symbol,
            remedy="bring in newer bars and retrain, or raise max_bar_age_days if that is what you want",
        )
