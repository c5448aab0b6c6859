"""Which bars a backtest may look at: those that closed after everything its contestants know."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toto_ops.errors import InsufficientDataError, LookAheadError
from toto_ops.features.moments import to_aware, to_utc64
from toto_ops.features.panel_columns import panel_of_symbols
from toto_ops.learning.splits import Span
from toto_ops.pipeline.backtest_request import BacktestRequest

if TYPE_CHECKING:
    from toto_ops.features.panel import Panel

MINIMUM_BARS = 3
"""Two returns: one alone has no volatility."""


def permitted_span(
    request: BacktestRequest, knowledge: Sequence[tuple[str, datetime | None]], close_time: NDArray[np.datetime64]
) -> Span:
    """The bars asked about, open ends filled in.

    Parameters
    ----------
    knowledge
        Who or what takes part, and the latest close that influenced it; None where none did.
    close_time
        `[T]` closes of the data, UTC, increasing.

    Raises
    ------
    LookAheadError
        If one of them knows a bar of the span. The earliest permissible first day is named.
    InsufficientDataError
        If the span holds fewer than `MINIMUM_BARS`.
    """
    known_until = max((moment for _, moment in knowledge if moment is not None), default=None)
    earliest = first_day_after(known_until, close_time)
    if earliest is None:
        raise _nothing_left(knowledge, close_time)
    last = to_aware(close_time[-1:])[0]
    # Nobody has seen bars that are not there yet: a last day beyond them must not count as a look at them.
    span = Span(after=request.after or datetime.combine(earliest, time(0), UTC), until=min(request.until or last, last))
    bars = close_time[(close_time > to_utc64(span.after)) & (close_time <= to_utc64(span.until))]
    for name, moment in knowledge:
        if moment is not None and len(bars) and to_utc64(moment) >= bars[0]:
            raise LookAheadError(
                f"{name} knows bars up to {moment:%Y-%m-%d %H:%M}, and the first bar asked about closes {_stamp(bars[0])}",
                where=request.universe,
                remedy=f"start on {earliest:%Y-%m-%d} at the earliest",
            )
    if len(bars) < MINIMUM_BARS:
        raise InsufficientDataError(
            f"{len(bars)} bar(s) close from {span.after:%Y-%m-%d %H:%M} to {span.until:%Y-%m-%d %H:%M}: a backtest needs at "
            f"least {MINIMUM_BARS}, and these data hold closes from {_stamp(close_time[0])} to {_stamp(close_time[-1])}, UTC",
            where=request.universe,
            remedy=_enough_bars(close_time, span.until, earliest),
        )
    return span


def symbols_with_bars(panel: Panel, symbols: tuple[str, ...], span: Span) -> tuple[str, ...]:
    """Those of `symbols` that have a bar in the span, in the order they are named in.

    Raises
    ------
    InsufficientDataError
        If none of them has.
    """
    bars = panel.between(span.after, span.until)
    kept = tuple(symbol for symbol in symbols if bars.mask[:, bars.symbols.index(symbol)].any())
    if not kept:
        closes = panel.close_time[panel_of_symbols(panel, symbols).mask.any(axis=1)]
        held = f": these have bars that close from {_stamp(closes[0])} to {_stamp(closes[-1])}, UTC" if len(closes) else ""
        raise InsufficientDataError(
            f"no bar of {', '.join(symbols)} closes from {span.after:%Y-%m-%d %H:%M} to {span.until:%Y-%m-%d %H:%M}",
            remedy=f"name other symbols or other days{held}",
        )
    return kept


def first_day_after(moment: datetime | None, close_time: NDArray[np.datetime64]) -> date | None:
    """The first day from which on every bar closes after `moment`; None if there is none.

    A bar belongs to the day on which it ends, and one that ends at midnight to the day that ended.
    """
    days = (close_time.astype("datetime64[us]") - np.timedelta64(1, "us")).astype("datetime64[D]")
    if moment is not None:
        known = days[close_time <= to_utc64(moment)]
        days = days[days > known[-1]] if len(known) else days
    return days[0].item() if len(days) else None


def _enough_bars(close_time: NDArray[np.datetime64], until: datetime, earliest: date) -> str:
    """How to ask for `MINIMUM_BARS` that nobody knows."""
    by_then = close_time[close_time <= to_utc64(until)]
    latest = None if len(by_then) < MINIMUM_BARS else first_day_after(None, by_then[-MINIMUM_BARS:])
    if latest is not None and latest >= earliest:
        return f"start on {latest:%Y-%m-%d} at the latest"
    unknown = close_time[close_time > to_utc64(datetime.combine(earliest, time(0), UTC))]
    if len(unknown) < MINIMUM_BARS:
        return "bring in newer bars, or take a model that was trained on earlier ones"
    return f"end on {first_day_after(None, unknown[MINIMUM_BARS - 1 :]):%Y-%m-%d} or later"


def _nothing_left(knowledge: Sequence[tuple[str, datetime | None]], close_time: NDArray[np.datetime64]) -> LookAheadError:
    names = ", ".join(f"{name} (up to {moment:%Y-%m-%d %H:%M})" for name, moment in knowledge if moment is not None)
    return LookAheadError(
        f"every bar is known: the newest closes {_stamp(close_time[-1])}; known by {names}",
        remedy="bring in newer bars, or take a model that was trained on earlier ones",
    )


def _stamp(close: np.datetime64) -> str:
    return f"{close.astype('datetime64[m]').item():%Y-%m-%d %H:%M}"
