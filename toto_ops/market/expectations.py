"""The Great Expectations suite of one symbol's bars, each expectation with the words a person reads when it fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import Field

from toto_ops.configuration import StrictModel
from toto_ops.market.bar_facts import BarStatistics
from toto_ops.market.schema import RAW_COLUMNS, VALUE_COLUMNS
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation


class Severity(StrEnum):
    """What failing an expectation means; the names are those of Great Expectations."""

    CRITICAL = "critical"
    """The symbol is quarantined."""
    WARNING = "warning"
    """The reader is told."""


PANDAS_TYPES = {"timestamp": "Timestamp"} | dict.fromkeys(VALUE_COLUMNS, "float64")
"""`Timestamp` means a moment with a zone; naive columns are `datetime64`."""

PRICES = ("open", "high", "low", "close")


class QualityConfig(StrictModel):
    """What is tolerated before a symbol is quarantined."""

    missing_share: float = Field(default=0.05, ge=0, lt=1, description="share of the calendar's bars a feed may lack")


@dataclass(frozen=True)
class BarRule:
    """One expectation.

    Parameters
    ----------
    name
        Unique within a suite; ties a result to its rule.
    expectation
        What Great Expectations evaluates.
    problem
        What is wrong when it fails, to be followed by the bars concerned.
    remedy
        What to do then.
    severity
        Whether failing it quarantines the symbol.
    """

    name: str
    expectation: Expectation
    problem: str
    remedy: str
    severity: Severity = Severity.CRITICAL


def schema_rules(present: Sequence[str], further: Sequence[str] = ()) -> tuple[BarRule, ...]:
    """Columns and types of raw bars. Where these fail, no other rule makes sense.

    Parameters
    ----------
    present
        Columns of the table to be judged: only of these can a type be asked.
    further
        Columns that are to follow those of raw bars.
    """
    gxe = _great_expectations()
    remedy = f"give the columns {', '.join(RAW_COLUMNS)}: a moment in UTC, then 64-bit floats"
    columns = BarRule(
        "columns",
        gxe.ExpectTableColumnsToMatchOrderedList(column_list=[*RAW_COLUMNS, *further]),
        f"the columns are {', '.join(present)}",
        remedy,
    )
    types = (
        BarRule(
            f"{name}_type", gxe.ExpectColumnValuesToBeOfType(column=name, type_=type_), f"{name} is not of type {type_}", remedy
        )
        for name, type_ in PANDAS_TYPES.items()
        if name in present
    )
    return (columns, *types)


def bar_rules(universe: Universe, statistics: BarStatistics, as_of: datetime, config: QualityConfig) -> tuple[BarRule, ...]:
    """Everything expected of the facts of one symbol's bars (`toto_ops.market.bar_facts`)."""
    return (
        *_row_count(universe, statistics, as_of),
        *_values(),
        *_times(universe),
        *_price_order(),
        *_gaps(universe, statistics, config),
        *_jumps(universe),
        *_feed_end(statistics, as_of),
    )


def _row_count(universe: Universe, statistics: BarStatistics, as_of: datetime) -> Iterator[BarRule]:
    # An empty frame meets every expectation about its columns, so this rule must stand in every suite.
    gxe = _great_expectations()
    yield BarRule(
        "row_count",
        gxe.ExpectTableRowCountToBeBetween(min_value=universe.minimum_bars),
        f"only {statistics.rows} bars closed by {as_of:%Y-%m-%d %H:%M}; at least {universe.minimum_bars} are needed",
        "supply a longer history, or lower minimum_bars of the universe",
    )


def _values() -> Iterator[BarRule]:
    gxe = _great_expectations()
    for name in RAW_COLUMNS:
        yield BarRule(
            f"{name}_present",
            gxe.ExpectColumnValuesToNotBeNull(column=name),
            f"{name} is missing or not a finite number" if name in VALUE_COLUMNS else "the timestamp is missing",
            "fill the holes from another export, or drop these bars if the market was closed",
        )
    for name in PRICES:
        yield BarRule(
            f"{name}_positive",
            gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, strict_min=True),
            f"{name} is zero or negative",
            "export unmodified prices; a price below zero is usually a back-adjusted one",
        )
    yield BarRule(
        "volume_not_negative",
        gxe.ExpectColumnValuesToBeBetween(column="volume", min_value=0),
        "volume is negative",
        "export the volume again",
    )


def _times(universe: Universe) -> Iterator[BarRule]:
    gxe = _great_expectations()
    yield BarRule(
        "on_calendar",
        gxe.ExpectColumnValuesToNotBeNull(column="open_time"),
        f"the stamp names no {universe.bar} bar of calendar {universe.calendar}",
        "check the source's timezone and the universe's bar and calendar, or remove these bars",
    )
    yield BarRule(
        "times_unique",
        gxe.ExpectColumnValuesToBeUnique(column="open_time"),
        "timestamps are duplicated",
        "keep one bar for each period",
    )
    yield BarRule(
        "times_increasing",
        gxe.ExpectColumnValuesToBeIncreasing(column="open_time"),
        "timestamps are out of order: a bar is earlier than the one before it",
        "sort the file by time",
    )


def _price_order() -> Iterator[BarRule]:
    gxe = _great_expectations()
    remedy = "export these bars again; their columns may be swapped"
    for name, upper, lower, problem in (
        ("high_above_low", "high", "low", "high is below low"),
        ("high_highest", "high", "highest_traded", "high is below the open or the close"),
        ("low_lowest", "lowest_traded", "low", "low is above the open or the close"),
    ):
        expectation = gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=upper, column_B=lower, or_equal=True, ignore_row_if="either_value_is_missing"
        )
        yield BarRule(name, expectation, problem, remedy)


def _gaps(universe: Universe, statistics: BarStatistics, config: QualityConfig) -> Iterator[BarRule]:
    gxe = _great_expectations()
    expected = statistics.rows + statistics.missing
    counted = (
        f"{statistics.missing} of {expected} bars of calendar {universe.calendar} are missing ({statistics.missing_share:.1%})"
    )
    yield BarRule(
        "gaps_tolerable",
        gxe.ExpectColumnSumToBeBetween(column="missing_before", max_value=int(config.missing_share * expected)),
        f"{counted}, at most {config.missing_share:.0%} may be; the longest gap is {statistics.longest_gap} bars",
        "fill the gaps from another source, or check that calendar and bar of the universe fit the feed",
    )
    yield BarRule(
        "no_gaps",
        gxe.ExpectColumnValuesToBeBetween(column="missing_before", max_value=0),
        f"{counted}; a gap ends",
        "nothing, if the feed paused; else fill the gaps",
        Severity.WARNING,
    )


def _jumps(universe: Universe) -> Iterator[BarRule]:
    gxe = _great_expectations()
    is_stock = universe.asset_class == "stock"
    yield BarRule(
        "no_split",
        gxe.ExpectColumnValuesToBeNull(column="split"),
        "the price jumps like an unadjusted split ({values}) and stays there",
        "export split-adjusted history; if the move was real, let the symbol's membership begin after it"
        if is_stock
        else "nothing, if the move was real; redenominated coins need an adjusted history",
        Severity.CRITICAL if is_stock else Severity.WARNING,
    )
    yield BarRule(
        "no_spike",
        gxe.ExpectColumnValuesToBeNull(column="spike"),
        "the price jumps like a split ({values}) and comes back within a few bars",
        "compare with another source: it looks like a wrong print",
        Severity.WARNING,
    )


def _feed_end(statistics: BarStatistics, as_of: datetime) -> Iterator[BarRule]:
    if statistics.last_close is None:
        return
    gxe = _great_expectations()
    bars = "1 bar" if statistics.behind == 1 else f"{statistics.behind} bars"
    yield BarRule(
        "feed_current",
        gxe.ExpectColumnMaxToBeBetween(column="behind", max_value=0),
        f"the feed stops {bars} before {as_of:%Y-%m-%d %H:%M}: its last bar closed {statistics.last_close:%Y-%m-%d %H:%M}",
        "nothing, if the symbol no longer trades; else update the feed",
        Severity.WARNING,
    )


def _great_expectations() -> Any:
    """Its expectations, imported late because it takes seconds; `Any`, since it re-exports them without saying so."""
    from great_expectations import expectations

    return expectations
