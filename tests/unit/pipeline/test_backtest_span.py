"""Which bars a backtest may look at, and from which day on."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from toto_ops.errors import InsufficientDataError, LookAheadError
from toto_ops.pipeline.backtest_request import BacktestRequest
from toto_ops.pipeline.backtest_span import first_day_after, permitted_span

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
    "asked",
    [{"start_date": "2023-01-01", "end_date": "2023-02-01"}, {"start_date": "2024-01-29"}],
    ids=["before the bars", "two bars"],
)
def test_a_span_of_too_few_bars_is_refused_and_the_bars_are_named(asked: dict[str, str]) -> None:
    with pytest.raises(InsufficientDataError, match="from 2024-01-02 00:00 to 2024-01-31 00:00"):
        permitted_span(request(**asked), [], MIDNIGHTS)
