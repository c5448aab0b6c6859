"""Fill rows computed at once are those at which orders fill, moved one row at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from toto_ops.simulation.fills import fill_rows
from toto_ops.simulation.orders import fill, no_orders, place

YES, NO = True, False


def moved_one_row_at_a_time(decided: NDArray[np.bool_], tradable: NDArray[np.bool_], lag: int) -> NDArray[np.int64]:
    """Orders whose weight is the row they were decided at: what fills says where it came from."""
    rows, assets = decided.shape
    filled = np.full((rows, assets), -1)
    orders = no_orders(1, assets, lag, dtype=torch.float64)
    held = torch.zeros((1, assets), dtype=torch.bool)
    for row in range(rows - 1):
        origin, hold, orders = fill(orders, torch.from_numpy(tradable[row]))
        column = np.flatnonzero(~hold[0].numpy())
        filled[origin[0].numpy()[column].astype(np.int64), column] = row
        at = torch.full((1, assets), float(row), dtype=torch.float64)
        orders = place(orders, at, held, torch.from_numpy(decided[row : row + 1]), lag)
    return filled


@settings(deadline=None, max_examples=200)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(2, 30),
    lag=st.integers(1, 4),
    decides=st.sampled_from([0.1, 0.5, 1.0]),
    trades=st.sampled_from([0.1, 0.5, 1.0]),
)
def test_it_agrees_with_the_orders(seed: int, rows: int, lag: int, decides: float, trades: float) -> None:
    rng = np.random.default_rng(seed)
    decided, tradable = rng.random((rows, 3)) < decides, rng.random((rows, 3)) < trades
    np.testing.assert_array_equal(fill_rows(decided, tradable, lag), moved_one_row_at_a_time(decided, tradable, lag))


@pytest.mark.parametrize(
    ("decided", "tradable", "lag", "expected"),
    [
        pytest.param([YES, NO, NO, NO], [YES, YES, YES, YES], 1, [1, -1, -1, -1], id="at the next open"),
        pytest.param([YES, NO, NO, NO], [YES, NO, YES, YES], 1, [2, -1, -1, -1], id="at the next tradable one"),
        pytest.param([YES, YES, NO, NO], [YES, NO, YES, YES], 1, [-1, 2, -1, -1], id="unless a newer decision comes before it"),
        pytest.param([YES, NO, YES, NO], [YES, NO, YES, YES], 2, [-1, -1, -1, -1], id="at its second open, if there is one"),
        pytest.param([YES, NO, NO, NO, NO], [YES, NO, YES, YES, YES], 2, [3, -1, -1, -1, -1], id="however many rows pass"),
        pytest.param([YES, YES, YES, YES], [YES, YES, YES, YES], 1, [1, 2, -1, -1], id="never at the last open"),
    ],
)
def test_a_decision_takes_effect(decided: list[bool], tradable: list[bool], lag: int, expected: list[int]) -> None:
    rows = fill_rows(np.array(decided)[:, None], np.array(tradable)[:, None], lag)
    assert rows[:, 0].tolist() == expected
