"""A jump onto a split ratio that stays is told from crashes, from wrong prints, and from the way back of a wrong print."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_ops.market.jumps import SHARE_RATIOS, WHOLE_RATIOS, split_like_jumps


def bars(closes, opens=None) -> pl.DataFrame:
    return pl.DataFrame({"open": closes if opens is None else opens, "close": closes}, schema_overrides={"close": pl.Float64})


def found(table: pl.DataFrame, ratios=SHARE_RATIOS) -> tuple[dict[int, str], dict[int, str]]:
    jumps = split_like_jumps(table, ratios)
    stayed, reverted = ({row: label for row, label in enumerate(column) if label} for column in (jumps.stayed, jumps.reverted))
    return stayed, reverted


@pytest.mark.parametrize(
    ("before", "after", "label"),
    [
        (100.0, 10.0, "10:1"),
        (100.0, 51.0, "2:1"),
        (90.0, 60.0, "3:2"),
        (5.0, 51.0, "1:10"),
        (10.0, 15.2, "2:3"),
        (40.0, 2.0, "20:1"),
    ],
)
def test_a_jump_onto_a_ratio_that_stays_is_named(before, after, label):
    assert found(bars([before] * 10 + [after] * 10)) == ({10: label}, {})


@pytest.mark.parametrize("after", [75.0, 70.5, 45.0, 130.0])
def test_a_crash_or_rally_onto_no_ratio_is_not_a_split(after):
    assert found(bars([100.0] * 10 + [after] * 10)) == ({}, {})


def test_only_shares_are_split_three_for_two():
    assert found(bars([90.0] * 10 + [60.0] * 10), WHOLE_RATIOS) == ({}, {})


def test_a_wrong_print_and_the_way_back_are_not_a_split():
    stayed, reverted = found(bars([100.0] * 10 + [10.0, 10.1] + [100.0] * 10))
    assert stayed == {}
    assert reverted == {10: "10:1", 12: "1:10"}


def test_a_jump_into_the_last_bar_is_taken_for_a_split_until_it_reverts():
    assert found(bars([100.0] * 10 + [10.0])) == ({10: "10:1"}, {})


def test_a_split_is_seen_where_the_feed_copies_the_last_close_as_open():
    closes = [100.0] * 10 + [10.0] * 10
    assert found(bars(closes, opens=[100.0, *closes[:-1]])) == ({10: "10:1"}, {})


def test_a_split_is_seen_through_a_large_move_of_its_day():
    closes = [100.0] * 10 + [11.5] * 10
    assert found(bars(closes, opens=[*closes[:10], 10.3, *closes[11:]]))[0] == {10: "10:1"}


def test_a_gap_that_closes_the_same_day_is_not_a_split():
    closes = [100.0] * 20
    assert found(bars(closes, opens=[*closes[:10], 50.0, *closes[11:]])) == ({}, {})


@pytest.mark.parametrize("closes", [[], [1.0], [1.0, None, 0.1], [-1.0, -10.0, 0.0], [float("nan"), 1.0, 2.0]])
def test_prices_that_are_none_are_passed_over(closes):
    table = bars(pl.Series(closes, dtype=pl.Float64))
    assert len(split_like_jumps(table, SHARE_RATIOS).stayed) == len(closes)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 20), reverse=st.booleans(), row=st.integers(7, 40))
def test_every_unadjusted_split_of_a_quiet_stock_is_found_and_nothing_else(seed, n, reverse, row):
    closes = 50 * np.exp(np.random.default_rng(seed).normal(0, 0.01, 50).cumsum())
    closes[row:] *= n if reverse else 1 / n
    stayed, reverted = found(bars(closes.tolist()))
    assert list(stayed) == [row]
    assert reverted == {}
