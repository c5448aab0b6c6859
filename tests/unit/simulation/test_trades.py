"""Round trips of a position, with numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from toto_ops.simulation.trades import Trades, trades_made

DAYS = np.array(["2024-01-05", "2024-01-08", "2024-01-09", "2024-01-10"], dtype="datetime64[us]")


def trades(before: list[list[float]], after: list[list[float]], price: list[list[float]], cost_rate: float = 0.0) -> Trades:
    """Round trips of values given per symbol `[A][T]`, the last of which only mark what is held."""

    def by_bar(values: list[list[float]]) -> NDArray[np.float64]:
        return np.array(values, dtype=np.float64).T

    value_before, value_after = by_bar(before), by_bar(after)
    costs = cost_rate * np.abs(value_after - value_before)
    symbols = tuple("ABC"[: len(before)])
    times = DAYS[: len(value_before)]
    return trades_made(symbols, times, price=by_bar(price), value_before=value_before, value_after=value_after, costs=costs)


def test_a_trip_runs_from_the_first_unit_to_the_last() -> None:
    # One unit at 10; one more at 8 when it is worth 8; 1/2 sold at 10; the rest at 6.
    made = trades([[0, 8, 20, 9]], [[10, 16, 15, 0]], [[10, 8, 10, 6]])
    assert made.net_profit.tolist() == pytest.approx([-10 - 8 + 5 + 9])
    assert made.entry_price.tolist() == pytest.approx([9.0])
    assert made.exit_price.tolist() == pytest.approx([(5 + 9) / 2])
    assert made.largest_units.tolist() == pytest.approx([2.0])
    assert made.largest_value.tolist() == pytest.approx([20.0])
    assert made.returns.tolist() == pytest.approx([-4 / 18])


def test_times_are_those_of_the_first_and_the_last_trade_and_weekends_count() -> None:
    made = trades([[0, 12, 0, 0]], [[10, 0, 0, 0]], [[10, 12, 12, 12]])
    assert made.entry_time[0] == np.datetime64("2024-01-05")
    assert made.exit_time[0] == np.datetime64("2024-01-08")
    assert made.holding_days.tolist() == [3.0]


def test_costs_of_both_ends_are_taken_off() -> None:
    made = trades([[0, 12]], [[10, 0]], [[10, 12]], cost_rate=0.1)
    assert made.fees.tolist() == pytest.approx([2.2])
    assert made.net_profit.tolist() == pytest.approx([2 - 2.2])


def test_a_short_gains_when_the_price_falls() -> None:
    made = trades([[0, -8]], [[-10, 0]], [[10, 8]])
    assert made.side.tolist() == [-1]
    assert made.net_profit.tolist() == pytest.approx([2.0])
    assert made.entry_price.tolist() == pytest.approx([10.0])
    assert made.exit_price.tolist() == pytest.approx([8.0])
    assert made.largest_units.tolist() == pytest.approx([1.0])


def test_a_flip_closes_one_trip_and_opens_the_next_and_they_share_its_costs_by_size() -> None:
    made = trades([[0, 12, -4]], [[10, -5, 0]], [[10, 12, 9.6]], cost_rate=0.1)
    assert made.side.tolist() == [1, -1]
    assert made.fees.tolist() == pytest.approx([1.0 + 1.2, 0.5 + 0.4])
    assert made.net_profit.tolist() == pytest.approx([2 - 2.2, 1 - 0.9])
    assert made.exit_time[0] == made.entry_time[1]


def test_what_is_still_held_is_valued_at_the_end() -> None:
    made = trades([[0, 12, 0, 7]], [[10, 0, 5, 7]], [[10, 12, 5, 7]])
    assert made.closed.net_profit.tolist() == pytest.approx([2])
    assert made.open.net_profit.tolist() == pytest.approx([2])
    assert made.open.exit_price.tolist() == pytest.approx([7])
    assert made.open.holding_days.tolist() == [1.0]
    assert np.isnat(made.open.exit_time).all()


def test_an_open_position_that_was_reduced_counts_both_parts() -> None:
    made = trades([[0, 12, 7]], [[10, 6, 7]], [[10, 12, 14]])
    assert made.net_profit.tolist() == pytest.approx([6 + 7 - 10])
    assert made.exit_price.tolist() == pytest.approx([13.0])


def test_closed_trips_come_in_order_of_closing_and_open_ones_last() -> None:
    made = trades(
        [[0, 10, 11], [0, 13, 0], [0, 10, 10]], [[10, 10, 0], [10, 0, 0], [10, 10, 10]], [[10, 10, 11], [10, 13, 13], [1, 1, 1]]
    )
    assert made.symbol.tolist() == ["B", "A", "C"]
    assert made.net_profit.tolist() == pytest.approx([3, 1, 0])


def test_no_trades_no_trips() -> None:
    assert len(trades([[0, 0]], [[0, 0]], [[10, 11]])) == 0


@pytest.mark.parametrize("seed", range(5))
def test_profit_is_units_times_the_difference_of_average_prices_less_fees(seed: int) -> None:
    """Ties prices, sizes, sides and profit together on trips of every shape."""
    rng = np.random.default_rng(seed)
    rows, assets = 40, 3
    price = 10 * np.exp(np.cumsum(rng.normal(0, 0.1, (rows, assets)), axis=0))
    units = np.where(rng.random((rows, assets)) < 0.3, 0.0, rng.normal(size=(rows, assets)))
    units[1:] = np.where(rng.random((rows - 1, assets)) < 0.3, units[:-1], units[1:])
    before = np.vstack((np.zeros(assets), units[:-1])) * price
    after = units * price
    costs = 0.01 * np.abs(after - before) ** 1.5
    times = np.datetime64("2024-01-01", "us") + np.arange(rows) * np.timedelta64(1, "D")

    made = trades_made(("A", "B", "C"), times, price=price, value_before=before, value_after=after, costs=costs)

    bought = (made.net_profit / made.returns) / made.entry_price
    expected = made.side * bought * (made.exit_price - made.entry_price) - made.fees
    np.testing.assert_allclose(made.net_profit, expected, rtol=1e-10, atol=1e-12)
    assert made.fees.sum() == pytest.approx(costs.sum())
    paid_in = (before - after).sum() - costs.sum() + after[-1].sum()
    assert made.net_profit.sum() == pytest.approx(paid_in)
