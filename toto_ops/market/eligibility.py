"""Which raw bars a retraining may look at: those of the symbol's membership that had closed by `as_of`."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import polars as pl

from toto_ops.market.calendars import bar_times
from toto_ops.universes import Membership, Universe


def eligible_bars(raw: pl.DataFrame, universe: Universe, symbol: str, as_of: datetime) -> pl.DataFrame:
    """Rows of `raw` that take part, in the order found.

    A bar belongs to the UTC date on which it ends, which is the session's date on every exchange. A stamp that names
    no bar of the calendar goes by itself, and a missing one is kept: quality has to see both.

    Parameters
    ----------
    raw
        Raw bars, in any order; only `timestamp` is looked at.
    as_of
        Aware moment; bars that close later are not known yet.
    """
    membership = membership_of(universe, symbol)
    last_moment = pl.coalesce(pl.col("close_time") - timedelta(microseconds=1), "timestamp")
    date = last_moment.dt.date()
    takes_part = last_moment < as_of
    if membership.from_ is not None:
        takes_part &= date >= membership.from_
    if membership.to is not None:
        takes_part &= date <= membership.to
    return raw.filter(bar_times(raw["timestamp"], universe).select(takes_part.fill_null(value=True)).to_series())


def membership_of(universe: Universe, symbol: str) -> Membership:
    """When `symbol` belongs to `universe`; always, where the universe does not say."""
    return (universe.symbols or {}).get(symbol, Membership())


def membership_end(universe: Universe, symbol: str) -> datetime | None:
    """First moment after the membership of `symbol`, or None while it has no end."""
    last_day = membership_of(universe, symbol).to
    return None if last_day is None else datetime.combine(last_day + timedelta(days=1), time(0), UTC)
