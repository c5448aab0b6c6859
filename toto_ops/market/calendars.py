"""When bars open and close: sessions from exchange-calendars, or a market that never closes.

A bar's stamp names its start. On an exchange, a daily bar opens and closes with its session (early closes included) and
an intraday bar closes with its session at the latest. On `24/7`, bars tile each UTC day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toto_ops.errors import BarDataError, ConfigError, InsufficientDataError
from toto_ops.market.schema import BAR_COLUMNS, MOMENT, RAW_SCHEMA, require_schema
from toto_ops.universes import Universe

ALWAYS_OPEN = "24/7"
FIRST_YEAR = 1960
LAST_YEAR = 2100
DAY = timedelta(days=1)
YEAR = timedelta(days=365.25)

_USUAL_YEARS = (datetime(2005, 1, 1, tzinfo=UTC), datetime(2024, 12, 31, tzinfo=UTC))
"""Never counted from today: a replay annualises as the first run did."""


def with_bar_times(raw: pl.DataFrame, universe: Universe) -> pl.DataFrame:
    """Canonical bars of sound raw bars: `timestamp` gives way to `open_time` and `close_time`.

    Raises
    ------
    BarDataError
        If a stamp names no bar of the calendar, or two stamps name the same one or are out of order; the first such
        stamps are named.
    ConfigError
        If the calendar is unknown.
    """
    require_schema(raw, RAW_SCHEMA, universe.name)
    times = bar_times(raw["timestamp"], universe)
    strange = times.filter(pl.col("open_time").is_null())["timestamp"]
    if len(strange):
        raise BarDataError(
            f"{len(strange)} of {len(raw)} stamps name no {universe.bar} bar of calendar {universe.calendar}: {_listed(strange)}",
            where=universe.name,
            remedy="check the source's timezone and the universe's calendar and bar, or remove these bars",
        )
    backwards = times.filter(pl.col("open_time").diff() <= timedelta(0))["timestamp"]
    if len(backwards):
        raise BarDataError(
            f"{len(backwards)} bars repeat or precede the bar before them: {_listed(backwards)}",
            where=universe.name,
            remedy="sort the bars and keep one for each period",
        )
    return pl.concat([raw, times.drop("timestamp")], how="horizontal").select(BAR_COLUMNS)


def bar_times(stamps: pl.Series, universe: Universe) -> pl.DataFrame:
    """The bar each stamp names, null where it names none.

    Parameters
    ----------
    stamps
        `[T]` moments, UTC, in any order. On an exchange, midnight UTC is taken for a date; any other time of day for
        a moment, whose date is the exchange's own.

    Returns
    -------
    pl.DataFrame
        `timestamp, open_time, close_time`, `[T]` rows in the order given.
    """
    table = pl.DataFrame({"timestamp": stamps.cast(MOMENT)})
    if universe.calendar == ALWAYS_OPEN:
        return _tiled(table, universe)
    sessions = _sessions(universe.calendar, _horizon(stamps.max()))
    return (
        _by_date(table, sessions, _timezone(universe.calendar))
        if universe.bar_length == DAY
        else _in_session(table, sessions, universe)
    )


def expected_open_times(universe: Universe, start: datetime, end: datetime) -> pl.Series:
    """Open times of all bars the calendar has from `start` to `end`, both included; `Datetime("us", "UTC")`, increasing."""
    if universe.calendar == ALWAYS_OPEN:
        first = _floor(start, universe.bar_length)
        first += universe.bar_length if first < start else timedelta(0)
        opens = pl.datetime_range(first, end, universe.bar_length, time_unit="us", time_zone="UTC", eager=True)
        return opens.alias("open_time")
    opens = _session_bars(universe, _horizon(end), start.date() - DAY, end.date() + DAY)["open_time"]
    return opens.filter(opens.is_between(start, end))


def next_close_after(universe: Universe, moment: datetime) -> datetime:
    """The first close of a bar strictly after `moment`: until then, what was decided before it is the newest word."""
    if universe.calendar == ALWAYS_OPEN:
        return _floor(moment, universe.bar_length) + universe.bar_length
    # No exchange known to exchange-calendars has ever paused for a quarter of a year since 1960.
    ahead = _session_bars(universe, _horizon(moment + 90 * DAY), moment.date() - DAY, moment.date() + 90 * DAY)
    closes = ahead.filter(pl.col("close_time") > moment)["close_time"]
    if closes.is_empty():
        raise ConfigError(f"calendar {universe.calendar} ends before {moment:%Y-%m-%d}", remedy="update exchange-calendars")
    return _moment(closes.min())


def periods_per_year(universe: Universe) -> float:
    """Bars per year: what annualises the figures of a universe.

    What the universe says, where it says something. Otherwise the opens its calendar has from 2005 to 2024, per 365.25 days:
    365.25 daily bars of a market that never closes, 251.7 of New York. A combined universe has a row for every moment at
    which a bar of any part opens, so its rows per year are the different opens of all of them.
    """
    if universe.periods_per_year is not None:
        return universe.periods_per_year
    return _opens_per_year(tuple(universe.parts.values()) or (universe,))


def rows_per_year(universe: Universe, open_time: NDArray[np.datetime64]) -> float:
    """Rows per year of one span of a panel: what annualises figures of that span.

    `periods_per_year`, but for a combined universe that does not state it, where they are counted on the span itself: a part
    may begin later or end earlier than the others, and for as long there are fewer rows to a year.

    Parameters
    ----------
    open_time
        `[T]` opens of the span, UTC, increasing.

    Raises
    ------
    InsufficientDataError
        If fewer than two rows are to be counted.
    """
    if not universe.parts or universe.periods_per_year is not None:
        return periods_per_year(universe)
    if len(open_time) < 2:
        raise InsufficientDataError(f"{len(open_time)} row(s) have no length", where=universe.name, remedy="take a longer span")
    length = timedelta(microseconds=float((open_time[-1] - open_time[0]) / np.timedelta64(1, "us")))
    return (len(open_time) - 1) * (YEAR / length)


def rows_per_bar(universe: Universe) -> float:
    """Rows of the grid from one bar of its slowest market to the next, on average: what a rule that counts bars counts.

    1 for a universe of its own, where every row is a bar. Beside a market that never closes, a bar of New York takes 2.45
    rows: 20 rows are 20 opens of someone, but only 8 sessions.
    """
    if not universe.parts:
        return 1.0
    parts = tuple(universe.parts.values())
    # Rounded, since it enters hashes of configurations: a calendar's correction of one past day is no change of a rule.
    return round(_opens_per_year(parts) / min(_opens_per_year((part,)) for part in parts), 2)


def in_rows(bars: int, rows: float) -> int:
    """Rows that hold a number of bars of the slowest market, `rows` to a bar."""
    return ceil(bars * rows)


def season_bars(universe: Universe) -> int:
    """Bars after which a pattern of the calendar comes again: those of a week, or of a day where bars are shorter.

    Where markets are joined, those of the slowest one, as everything that counts bars.
    """
    slowest = min(tuple(universe.parts.values()) or (universe,), key=lambda part: _opens_per_year((part,)))
    opens = expected_open_times(slowest, *_USUAL_YEARS)
    whole = opens.dt.truncate("1d" if slowest.bar_length < timedelta(days=1) else "1w")
    return max(1, round(len(opens) / whole.n_unique()))


def _opens_per_year(universes: Sequence[Universe]) -> float:
    """Different moments per 365.25 days at which a bar of any of them opens."""
    opens = pl.concat([expected_open_times(universe, *_USUAL_YEARS) for universe in universes]).unique()
    return (len(opens) - 1) * (YEAR / (_moment(opens.max()) - _moment(opens.min())))


def _tiled(table: pl.DataFrame, universe: Universe) -> pl.DataFrame:
    stamp = pl.col("timestamp")
    aligned = stamp.dt.truncate(universe.bar_length) == stamp
    return table.with_columns(open_time=pl.when(aligned).then(stamp)).with_columns(
        close_time=pl.col("open_time") + universe.bar_length
    )


def _by_date(table: pl.DataFrame, sessions: pl.DataFrame, timezone: str) -> pl.DataFrame:
    stamp = pl.col("timestamp")
    local_date = stamp.dt.convert_time_zone(timezone).dt.date()
    session = pl.when(stamp.dt.time() == time(0)).then(stamp.dt.date()).otherwise(local_date)
    bars = sessions.select("session", open_time="open", close_time="close")
    return table.with_columns(session=session).join(bars, on="session", how="left", maintain_order="left").drop("session")


def _in_session(table: pl.DataFrame, sessions: pl.DataFrame, universe: Universe) -> pl.DataFrame:
    stamp = pl.col("timestamp")
    ordered = table.with_row_index("row").sort("timestamp")
    joined = ordered.join_asof(sessions.drop_nulls("open"), left_on="timestamp", right_on="open", strategy="backward")
    inside = stamp < pl.col("close")
    return (
        joined.with_columns(
            open_time=pl.when(inside).then(stamp),
            close_time=pl.when(inside).then(pl.min_horizontal(stamp + universe.bar_length, pl.col("close"))),
        )
        .sort("row")
        .select("timestamp", "open_time", "close_time")
    )


def _session_bars(universe: Universe, last_year: int, first: date, last: date) -> pl.DataFrame:
    """`open_time, close_time` of every bar of the sessions from `first` to `last`."""
    sessions = _sessions(universe.calendar, last_year).filter(pl.col("session").is_between(first, last))
    if universe.bar_length == DAY:
        return sessions.select(open_time="open", close_time="close")
    bars = sessions.with_columns(
        open_time=pl.datetime_ranges("open", "close", universe.bar_length, closed="left"),
    ).explode("open_time")
    bars = bars.with_columns(close_time=pl.min_horizontal(pl.col("open_time") + universe.bar_length, pl.col("close")))
    in_break = (pl.col("open_time") >= pl.col("break_start")) & (pl.col("close_time") <= pl.col("break_end"))
    return bars.filter(~in_break.fill_null(value=False)).select("open_time", "close_time")


@lru_cache(maxsize=32)
def _sessions(code: str, last_year: int) -> pl.DataFrame:
    """`session, open, close, break_start, break_end` of an exchange from 1960 to the end of `last_year`.

    The range depends on what is asked, never on today's date, so that a replay gets what the first run got.
    """
    import pandas as pd
    from exchange_calendars import get_calendar

    calendar = _default_calendar(code)
    start = max(filter(None, [pd.Timestamp(FIRST_YEAR, 1, 1), calendar.bound_min()]))
    end = min(filter(None, [pd.Timestamp(last_year, 12, 31), calendar.bound_max()]))
    schedule = get_calendar(code, start=start, end=end).schedule
    table: pl.DataFrame = pl.from_pandas(schedule.rename_axis("session").reset_index())
    return table.select(pl.col("session").cast(pl.Date), pl.col("open", "close", "break_start", "break_end").cast(MOMENT))


@lru_cache(maxsize=32)
def _timezone(code: str) -> str:
    return str(_default_calendar(code).tz)


def _default_calendar(code: str) -> Any:
    from exchange_calendars import get_calendar
    from exchange_calendars.errors import InvalidCalendarName

    try:
        return get_calendar(code)
    except InvalidCalendarName as error:
        raise ConfigError(
            f"calendar {code!r} does not exist",
            where="universes.yaml",
            remedy="use 24/7 or an exchange-calendars code such as XNYS",
        ) from error


def _horizon(moment: Any) -> int:
    """Last calendar year to load for `moment`: ends of decades, so that few calendars are ever computed."""
    year = min(max(moment.year, FIRST_YEAR), LAST_YEAR) if moment is not None else FIRST_YEAR
    return (year // 10 + 1) * 10


def _floor(moment: datetime, length: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return moment.astimezone(UTC) - (moment - epoch) % length


def _moment(value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"{value!r} is not a moment")
    return value


def _listed(stamps: pl.Series) -> str:
    shown = ", ".join(f"{moment:%Y-%m-%d %H:%M}" for moment in stamps.head(3))
    return f"{shown} and others" if len(stamps) > 3 else shown
