"""Net profit per round trip."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from toto_ops.simulation.round_trips import RoundTrips, round_trips


def trips(before: list[list[float]], after: list[list[float]], end: list[float], cost_rate: float = 0.0) -> RoundTrips:
    """Round trips of values given per symbol `[A][T]`."""

    def by_bar(values: list[list[float]]) -> NDArray[np.float64]:
        return np.array(values, dtype=np.float64).T

    return round_trips(by_bar(before), by_bar(after), np.array(end, dtype=np.float64), cost_rate)


def test_a_trip_runs_from_the_first_unit_to_the_last() -> None:
    # Buy 10, rises to 12, add 8, rises to 25, sell 5, falls to 18, sell all.
    result = trips([[0, 12, 25, 18]], [[10, 20, 20, 0]], [0])
    assert result.closed.tolist() == pytest.approx([-10 - 8 + 5 + 18])
    assert result.open.size == 0


def test_costs_of_both_ends_are_taken_off() -> None:
    assert trips([[0, 12]], [[10, 0]], [0], cost_rate=0.1).closed.tolist() == pytest.approx([2 - 1.0 - 1.2])


def test_a_flip_closes_one_trip_and_opens_the_next() -> None:
    result = trips([[0, 12, -4]], [[10, -5, 0]], [0], cost_rate=0.1)
    assert result.closed.tolist() == pytest.approx([2 - 1.0 - 1.2, 1 - 0.5 - 0.4])


def test_what_is_still_held_is_valued_at_the_end() -> None:
    result = trips([[0, 12, 0, 7]], [[10, 0, 5, 7]], [6])
    assert result.closed.tolist() == pytest.approx([2])
    assert result.open.tolist() == pytest.approx([1])


def test_trips_of_several_symbols_come_in_order_of_closing() -> None:
    result = trips([[0, 10, 11], [0, 13, 0], [0, 0, 0]], [[10, 10, 0], [10, 0, 0], [0, 0, 0]], [0, 0, 0])
    assert result.closed.tolist() == pytest.approx([3, 1])


def test_no_trades_no_trips() -> None:
    result = trips([[0, 0]], [[0, 0]], [0])
    assert result.closed.size == result.open.size == 0
