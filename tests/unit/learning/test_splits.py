from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from toto_ops.errors import InsufficientDataError
from toto_ops.learning.splits import Span, SplitConfig, Splits, make_splits

START = datetime(2020, 1, 1, tzinfo=UTC)


def daily(count: int) -> np.ndarray:
    return np.datetime64("2020-01-01", "us") + np.arange(count) * np.timedelta64(1, "D")


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def rows(closes: np.ndarray, span: Span) -> list[int]:
    after, until = (np.datetime64(moment.replace(tzinfo=None), "us") for moment in (span.after, span.until))
    return np.flatnonzero((closes > after) & (closes <= until)).tolist()


def split_rows(closes: np.ndarray, splits: Splits) -> tuple[list[int], list[int], list[int]]:
    return rows(closes, splits.train), rows(closes, splits.validation), rows(closes, splits.test)


def unprotected(**changes) -> SplitConfig:
    return SplitConfig(**({"horizon_bars": 0, "embargo_bars": 0} | changes))


def test_without_purge_and_embargo_the_spans_are_the_shares_and_leave_nothing_out():
    closes = daily(101)
    train, validation, test = split_rows(closes, make_splits(closes, unprotected()))
    assert train == list(range(71))
    assert validation == list(range(71, 86))
    assert test == list(range(86, 101))


def test_purge_alone_shortens_the_end_of_the_earlier_spans_only():
    closes = daily(101)
    free = split_rows(closes, make_splits(closes, unprotected()))
    purged = split_rows(closes, make_splits(closes, unprotected(horizon_bars=3)))
    assert purged == (free[0][:-3], free[1][:-3], free[2])


def test_embargo_alone_shortens_the_beginning_of_the_later_spans_only():
    closes = daily(101)
    free = split_rows(closes, make_splits(closes, unprotected()))
    embargoed = split_rows(closes, make_splits(closes, unprotected(embargo_bars=4)))
    assert embargoed == (free[0], free[1][4:], free[2][4:])


def test_purge_does_not_shorten_the_test_span():
    closes = daily(101)
    lengths = {
        horizon: len(split_rows(closes, make_splits(closes, unprotected(horizon_bars=horizon)))[2]) for horizon in (0, 1, 10)
    }
    assert set(lengths.values()) == {15}


def test_an_outcome_that_reaches_exactly_the_last_bar_before_the_boundary_is_kept():
    closes = daily(101)
    train, validation, _ = split_rows(closes, make_splits(closes, unprotected(horizon_bars=1)))
    assert train[-1] + 1 < validation[0]
    assert train[-1] + 1 == 70


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(40, 400),
    horizon=st.integers(0, 8),
    embargo=st.integers(0, 25),
    gaps=st.lists(st.integers(1, 6), min_size=400, max_size=400),
)
def test_spans_are_in_order_disjoint_and_as_far_apart_as_promised(count, horizon, embargo, gaps):
    closes = np.datetime64("2020-01-01", "us") + np.cumsum(gaps[:count]) * np.timedelta64(1, "D")
    try:
        splits = make_splits(closes, SplitConfig(horizon_bars=horizon, embargo_bars=embargo))
    except InsufficientDataError:
        assume(False)
    train, validation, test = split_rows(closes, splits)
    assert train[0] == 0
    assert test[-1] == count - 1
    for earlier, later in ((train, validation), (validation, test)):
        assert later[0] - earlier[-1] - 1 == horizon + embargo
    for span in (train, validation, test):
        assert span == list(range(span[0], span[-1] + 1))


def test_shares_are_of_calendar_time_not_of_bars():
    sparse, dense = np.arange(0, 500, 10), np.arange(500, 1001)
    closes = np.datetime64("2020-01-01", "us") + np.concatenate((sparse, dense)) * np.timedelta64(1, "D")
    splits = make_splits(closes, unprotected())
    assert splits.train.until == day(700)
    assert splits.validation.until == day(850)


def test_explicit_ends_override_the_shares():
    closes = daily(101)
    splits = make_splits(closes, unprotected(train_until=day(30), validation_until=day(60)))
    assert split_rows(closes, splits) == (list(range(31)), list(range(31, 61)), list(range(61, 101)))


def test_explicit_ends_may_be_in_another_time_zone():
    closes = daily(101)
    tokyo = day(30).astimezone(datetime.fromisoformat("2020-01-01T00:00:00+09:00").tzinfo)
    splits = make_splits(closes, unprotected(train_until=tokyo, validation_until=day(60)))
    assert splits.train.until == day(30)


@pytest.mark.parametrize("count", [0, 2, 20, 60])
def test_too_short_a_history_is_an_error_with_a_remedy(count):
    with pytest.raises(InsufficientDataError, match="add history"):
        make_splits(daily(count), SplitConfig(embargo_bars=20))


@pytest.mark.parametrize(
    "wrong",
    [
        {"train": 0.8, "validation": 0.2},
        {"train_until": day(1)},
        {"train_until": day(2), "validation_until": day(1)},
        {"horizon_bars": -1},
        {"tranche": 0.1},
    ],
    ids=["nothing left to test on", "one explicit end without the other", "ends in disorder", "negative purge", "unknown key"],
)
def test_a_configuration_that_cannot_be_meant_is_refused(wrong):
    with pytest.raises(ValidationError):
        SplitConfig(**wrong)


def test_a_source_that_keeps_test_bars_apart_decides_where_the_test_span_begins():
    closes = daily(101)
    config = unprotected().with_test_after(day(60), closes)
    train, validation, test = split_rows(closes, make_splits(closes, config))
    assert test == list(range(61, 101))
    assert train == list(range(50))  # 70 : 15 of the days before
    assert validation == list(range(50, 61))


def test_without_such_a_source_or_with_explicit_windows_nothing_changes():
    closes = daily(101)
    assert unprotected().with_test_after(None, closes) == unprotected()
    explicit = unprotected(train_until=day(10), validation_until=day(20))
    assert explicit.with_test_after(day(60), closes) == explicit


def test_on_a_grid_of_several_rows_to_a_bar_the_spans_keep_as_many_bars_apart():
    closes = daily(401)
    config = SplitConfig(horizon_bars=2, embargo_bars=20)
    train, validation, _ = split_rows(closes, make_splits(closes, config.on_grid(2.45)))
    assert validation[0] - train[-1] - 1 == 5 + 49
    assert config.on_grid(1.0) == config
