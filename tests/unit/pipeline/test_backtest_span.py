"""Which bars a backtest may look at, and from which day on."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from toto_ops.errors import InsufficientDataError, LookAheadError
from toto_ops.features.moments import to_utc64
from toto_ops.features.panel import Panel
from toto_ops.learning.splits import Span
from toto_ops.pipeline.backtest_request import BacktestRequest
from toto_ops.pipeline.backtest_span import MINIMUM_BARS, first_day_after, permitted_span, symbols_with_bars

MIDNIGHTS = np.arange("2024-01-02", "2024-02-01", dtype="datetime64[D]").astype("datetime64[us]")
"""Closes of daily bars of a market that never closes: the first bar is that of 1 January."""

HOURS = np.arange("2024-01-01T01", "2024-01-04T01", dtype="datetime64[h]").astype("datetime64[us]")


def moment(day: int, hour: int = 0) -> datetime:
    return datetime(2024, 1, day, hour, tzinfo=UTC)


def request(**asked: object) -> BacktestRequest:
    return BacktestRequest.model_validate({"universe": "crypto", **asked})


@pytest.mark.parametrize(
    ("known", "closes", "first"),
    [
        (None, MIDNIGHTS, date(2024, 1, 1)),
        (moment(10), MIDNIGHTS, date(2024, 1, 10)),
        (moment(10, 1), MIDNIGHTS, date(2024, 1, 10)),
        (moment(2), HOURS, date(2024, 1, 2)),
        (moment(2, 1), HOURS, date(2024, 1, 3)),
        (moment(31), MIDNIGHTS, None),
    ],
    ids=["nothing", "to midnight", "between two closes", "whole day of hours", "an hour of the day", "everything"],
)
def test_the_first_day_without_a_known_bar(known: datetime | None, closes: np.ndarray, first: date | None) -> None:
    assert first_day_after(known, closes) == first


def test_starting_on_the_day_that_was_named_is_permitted_and_a_day_earlier_is_not() -> None:
    knowledge = [("the model", moment(10)), ("the strategy", moment(5)), ("chance", None)]
    with pytest.raises(LookAheadError, match=r"the model knows bars up to 2024-01-10.* start on 2024-01-10 at the earliest"):
        permitted_span(request(start_date="2024-01-09"), knowledge, MIDNIGHTS)
    span = permitted_span(request(start_date="2024-01-10"), knowledge, MIDNIGHTS)
    assert (span.after, span.until) == (moment(10), moment(31))


def test_by_default_it_starts_where_nobody_knows_anything_and_ends_with_the_bars() -> None:
    span = permitted_span(request(), [("the model", moment(10))], MIDNIGHTS)
    assert (span.after, span.until) == (moment(10), moment(31))


def test_the_last_day_is_included() -> None:
    span = permitted_span(request(end_date="2024-01-12"), [], MIDNIGHTS)
    assert span.until == moment(12) + timedelta(days=1)


def test_a_last_day_beyond_the_bars_is_no_look_at_bars_to_come() -> None:
    span = permitted_span(request(end_date="2199-12-31"), [], MIDNIGHTS)
    assert span.until == moment(31), "else bars that nobody has seen would count as looked at"


def test_a_model_that_knows_everything_cannot_be_backtested() -> None:
    with pytest.raises(LookAheadError, match=r"every bar is known.* the model \(up to 2024-01-31"):
        permitted_span(request(start_date="2024-01-31"), [("the model", moment(31))], MIDNIGHTS)


@pytest.mark.parametrize(
    ("asked", "known", "remedy"),
    [
        ({"start_date": "2024-01-29"}, None, "start on 2024-01-28 at the latest"),
        ({"start_date": "2024-01-20", "end_date": "2024-01-21"}, None, "start on 2024-01-19 at the latest"),
        ({"start_date": "2024-01-20", "end_date": "2024-01-21"}, moment(20), "end on 2024-01-22 or later"),
        ({"start_date": "2023-01-01", "end_date": "2023-02-01"}, None, "end on 2024-01-03 or later"),
        ({}, moment(29), "bring in newer bars, or take a model that was trained on earlier ones"),
    ],
    ids=["starts too late", "too short", "nothing earlier is permitted", "before the bars", "knows nearly all"],
)
def test_a_span_of_too_few_bars_is_refused_with_the_way_to_enough(
    asked: dict[str, str], known: datetime | None, remedy: str
) -> None:
    says = "a backtest needs at least 3, and these data hold closes from 2024-01-02 00:00 to 2024-01-31 00:00"
    with pytest.raises(InsufficientDataError, match=says) as refused:
        permitted_span(request(**asked), [("the model", known)], MIDNIGHTS)
    assert refused.value.remedy == remedy


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        ({"start_date": "2024-01-28"}, None),
        ({"start_date": "2024-01-19", "end_date": "2024-01-21"}, None),
        ({"start_date": "2024-01-20", "end_date": "2024-01-22"}, moment(20)),
        ({"start_date": "2023-01-01", "end_date": "2024-01-03"}, None),
    ],
    ids=["starts too late", "too short", "nothing earlier is permitted", "before the bars"],
)
def test_who_takes_the_advice_has_just_enough_bars(asked: dict[str, str], known: datetime | None) -> None:
    span = permitted_span(request(**asked), [("the model", known)], MIDNIGHTS)
    closes = [close for close in MIDNIGHTS if to_utc64(span.after) < close <= to_utc64(span.until)]
    assert len(closes) == MINIMUM_BARS


def bars_of(**traded: slice) -> Panel:
    """A panel of MIDNIGHTS in which each symbol has bars in some rows."""
    mask = np.zeros((len(MIDNIGHTS), len(traded)), dtype=bool)
    for column, rows in enumerate(traded.values()):
        mask[rows, column] = True
    prices = np.where(mask, 10.0, np.nan)
    return Panel.of_prices(
        symbols=tuple(traded),
        feature_names=("one",),
        open_time=MIDNIGHTS - np.timedelta64(1, "D"),
        close_time=MIDNIGHTS,
        features=np.zeros((*mask.shape, 1), dtype=np.float32),
        mask=mask,
        open=prices,
        close=prices,
        ended=np.array([not column[-1] for column in mask.T]),
    )


def test_symbols_without_a_bar_in_the_span_take_no_part() -> None:
    panel = bars_of(ENDED=slice(0, 9), LISTED=slice(20, None), STEADY=slice(None))
    symbols, span = ("ENDED", "LISTED", "STEADY"), Span(after=moment(10), until=moment(15))
    assert symbols_with_bars(panel, symbols, span) == ("STEADY",)
    assert symbols_with_bars(panel, symbols, Span(after=moment(9), until=moment(15))) == ("ENDED", "STEADY")
    with pytest.raises(
        InsufficientDataError, match="no bar of ENDED, LISTED closes from 2024-01-10 00:00 to 2024-01-15"
    ) as refused:
        symbols_with_bars(panel, ("ENDED", "LISTED"), span)
    assert "these have bars that close from 2024-01-02 00:00 to 2024-01-31 00:00" in refused.value.remedy
