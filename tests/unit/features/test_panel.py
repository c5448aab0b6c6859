"""Cutting the panel into spans: which rows are taken, and what a cut says about symbols without a bar at its end."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from toto_ops.errors import InsufficientDataError
from toto_ops.features.panel import Panel

ROWS = 6


def panel_of(mask: list[list[int]], ended: list[bool]) -> Panel:
    """Six daily bars from 2 January 2020 on, closing at midnight; each list of `mask` is one symbol."""
    traded = np.array(mask, dtype=bool).T
    prices = np.where(traded, 10.0, np.nan)
    opens = np.datetime64("2020-01-02", "us") + np.arange(ROWS) * np.timedelta64(1, "D")
    return Panel.of_prices(
        symbols=tuple(f"S{number}" for number in range(traded.shape[1])),
        feature_names=("one",),
        open_time=opens,
        close_time=opens + np.timedelta64(1, "D"),
        features=np.zeros((*traded.shape, 1), dtype=np.float32),
        mask=traded,
        open=prices,
        close=prices,
        ended=np.array(ended),
    )


def midnight(day: int) -> datetime:
    return datetime(2020, 1, day, tzinfo=UTC)


def test_a_span_leaves_out_the_bar_that_closes_at_its_start_and_takes_the_one_that_closes_at_its_end() -> None:
    span = panel_of([[1] * ROWS], [False]).between(midnight(4), midnight(6))
    assert span.close_time.astype(str).tolist() == ["2020-01-05T00:00:00.000000", "2020-01-06T00:00:00.000000"]


def test_neighbouring_spans_share_no_bar_and_lose_none() -> None:
    panel = panel_of([[1] * ROWS], [False])
    parts = [panel.between(None, midnight(5)), panel.between(midnight(5), None)]
    assert np.concatenate([part.close_time for part in parts]).tolist() == panel.close_time.tolist()


def test_a_symbol_that_pauses_at_a_cut_or_is_yet_to_come_has_not_ended_there() -> None:
    pausing, to_come = [1, 1, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1]
    assert panel_of([pausing, to_come], [False, False]).between(None, midnight(5)).ended.tolist() == [False, False]


def test_a_symbol_that_ends_later_has_not_ended_before() -> None:
    ending = panel_of([[1, 1, 1, 1, 0, 0]], [True])
    assert ending.between(None, midnight(5)).ended.tolist() == [False]
    assert ending.between(midnight(4), midnight(7)).ended.tolist() == [True]
    assert ending.between(midnight(7), None).ended.tolist() == [True]


def test_a_symbol_whose_last_bars_lie_before_the_cut_has_ended_at_it() -> None:
    assert panel_of([[1, 1, 0, 0, 0, 0]], [True]).between(None, midnight(6)).ended.tolist() == [True]


def test_a_span_without_bars_is_an_error() -> None:
    panel = panel_of([[1] * ROWS], [False])
    with pytest.raises(InsufficientDataError, match="no bar closes after 2020-01-20 00:00") as refused:
        panel.between(midnight(20), None)
    assert refused.value.remedy.endswith("they close from 2020-01-03 00:00 to 2020-01-08 00:00, UTC")
    with pytest.raises(InsufficientDataError, match="no bar closes by 2020-01-02 00:00"):
        panel.between(None, midnight(2))
    with pytest.raises(InsufficientDataError, match="no bar closes after 2020-01-04 00:00 and by 2020-01-04 00:00"):
        panel.between(midnight(4), midnight(4))


def test_a_symbol_whose_market_is_closed_at_the_end_has_not_ended() -> None:
    """Of two markets of different hours, one has no bar in the last rows; no cut may take that for an end."""
    around_the_clock, on_weekdays = [1] * ROWS, [1, 1, 1, 1, 0, 0]
    panel = panel_of([around_the_clock, on_weekdays], [False, False])
    assert panel.between(None, None).ended.tolist() == [False, False]
    assert panel.between(midnight(4), midnight(7)).ended.tolist() == [False, False]
