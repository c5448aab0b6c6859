"""What the expectations of a suite are put to: the bars of one symbol, beside facts only a calendar or a neighbour tells.

Great Expectations judges columns. This module turns "a session is missing before this bar" and "this looks like a split"
into columns, and counts nothing as good or bad itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from toto_ops.market.calendars import bar_times, expected_open_times
from toto_ops.market.eligibility import membership_end
from toto_ops.market.health import calendar_rows
from toto_ops.market.jumps import SHARE_RATIOS, WHOLE_RATIOS, split_like_jumps
from toto_ops.market.schema import VALUE_COLUMNS
from toto_ops.universes import Universe

FACT_COLUMNS = ("open_time", "close_time", "highest_traded", "lowest_traded", "missing_before", "split", "spike")

ROUNDING = 1e-6
"""Relative slack between prices of one bar: adjusted feeds round each of them on its own."""


@dataclass(frozen=True)
class BarStatistics:
    """The bars of one symbol in numbers.

    Parameters
    ----------
    rows
        Eligible bars, sound or not.
    first_open, last_close
        Of the bars the calendar knows; None if there are none.
    missing
        Bars the calendar has between the first and the last one, and the feed lacks.
    longest_gap
        The most of them in a row.
    behind
        Bars that had closed by `as_of`, or by the end of the membership, after the last one of the feed.
    """

    rows: int
    first_open: datetime | None = None
    last_close: datetime | None = None
    missing: int = 0
    longest_gap: int = 0
    behind: int = 0

    @property
    def missing_share(self) -> float:
        """Share of the expected bars that is missing, 0 to 1."""
        return self.missing / (self.rows + self.missing) if self.rows else 0.0


def bar_facts(eligible: pl.DataFrame, universe: Universe) -> pl.DataFrame:
    """Bars with their facts, in the order found.

    Parameters
    ----------
    eligible
        `[T]` rows of `RAW_SCHEMA`, in any order.

    Returns
    -------
    pl.DataFrame
        The raw columns, numbers that are not finite as nulls, and `FACT_COLUMNS`:

        - `open_time, close_time`: null where the stamp names no bar of the calendar;
        - `highest_traded, lowest_traded`: of open and close, brought closer by the rounding slack;
        - `missing_before`: bars the calendar has between the bar before this one in time, and this;
        - `split, spike`: ratio of a split-like jump into this bar that stayed, or that reverted; else null.
    """
    finite = [pl.when(pl.col(name).is_finite()).then(pl.col(name)) for name in VALUE_COLUMNS]
    table = pl.concat(
        [eligible.with_columns(finite), bar_times(eligible["timestamp"], universe).drop("timestamp")], how="horizontal"
    )
    slack = ROUNDING * pl.col("close").abs()
    table = table.with_columns(
        highest_traded=pl.max_horizontal("open", "close") - slack, lowest_traded=pl.min_horizontal("open", "close") + slack
    )
    in_time = table.with_row_index("row").sort("timestamp", maintain_order=True)
    jumps = split_like_jumps(in_time, SHARE_RATIOS if universe.asset_class == "stock" else WHOLE_RATIOS)
    in_time = in_time.with_columns(_missing_before(in_time["open_time"], universe), jumps.stayed, jumps.reverted)
    return in_time.sort("row").drop("row")


def bar_statistics(facts: pl.DataFrame, universe: Universe, symbol: str, as_of: datetime) -> BarStatistics:
    """Numbers of the bars `bar_facts` has described."""
    bars = facts.drop_nulls("open_time")
    if bars.is_empty():
        return BarStatistics(rows=len(facts))
    first_open, last_close = bars["open_time"].min(), bars["close_time"].max()
    if not isinstance(first_open, datetime) or not isinstance(last_close, datetime):
        raise TypeError("open and close times of a bar are moments")
    end = membership_end(universe, symbol)
    return BarStatistics(
        rows=len(facts),
        first_open=first_open,
        last_close=last_close,
        missing=int(facts["missing_before"].sum()),
        longest_gap=int(facts["missing_before"].cast(pl.Int64).max() or 0),  # type: ignore[arg-type]
        behind=_bars_between(universe, last_close, as_of if end is None else min(as_of, end)),
    )


def _missing_before(open_time: pl.Series, universe: Universe) -> pl.Series:
    """Holes before each bar, 0 for the first, for repeated bars and for stamps the calendar does not know."""
    known = open_time.drop_nulls().unique().sort()
    if known.is_empty():
        return pl.Series("missing_before", [0] * len(open_time), dtype=pl.Int64)
    holes = pl.DataFrame({"open_time": known, "row": calendar_rows(known, universe)}).select(
        "open_time", missing_before=(pl.col("row").diff() - 1).fill_null(0).cast(pl.Int64)
    )
    first_of_its_time = open_time.is_first_distinct() & open_time.is_not_null()
    joined = open_time.to_frame("open_time").join(holes, on="open_time", how="left", maintain_order="left")
    return joined.select(pl.when(first_of_its_time).then("missing_before").otherwise(0).alias("missing_before")).to_series()


def _bars_between(universe: Universe, start: datetime, end: datetime) -> int:
    """Bars that open at or after `start` and have closed by `end`."""
    if end <= start:
        return 0
    closes = bar_times(expected_open_times(universe, start, end), universe)["close_time"]
    return int((closes <= end).sum())
