"""The limits a step keeps: caps, band, number of positions, and how much of a market may be traded at once."""

from __future__ import annotations

import math

import pytest

from tests.unit.simulation.market_paths import make_rules
from tests.unit.simulation.portfolio_steps import HOLD, knowing, money, open_at, portfolio, step
from toto_ops.simulation.portfolio import (
    initial_state,
)


class TestLimits:
    def test_a_target_is_cut_to_the_symbol_cap(self) -> None:
        result = step(initial_state(1, 2), [0.9, -0.9], open_at(10.0, 10.0), make_rules(symbol_cap=0.25))
        assert result.weights[0].tolist() == pytest.approx([0.25, -0.25])

    def test_only_the_largest_positions_stay(self) -> None:
        result = step(initial_state(1, 4), [0.1, -0.3, 0.2, 0.05], open_at(*[10.0] * 4), make_rules(max_positions=2))
        assert result.weights[0].tolist() == pytest.approx([0.0, -0.3, 0.2, 0.0])

    def test_among_equal_positions_the_first_symbols_stay(self) -> None:
        result = step(initial_state(1, 3), [0.2, 0.2, 0.2], open_at(*[10.0] * 3), make_rules(max_positions=2))
        assert result.weights[0].tolist() == pytest.approx([0.2, 0.2, 0.0])

    def test_a_held_position_gives_way_to_a_larger_one(self) -> None:
        rules = make_rules(max_positions=1)
        state = portfolio([0.2, 0.0], [10.0, 10.0], rules)
        assert step(state, [HOLD, 0.3], open_at(10.0, 10.0), rules).weights[0].tolist() == pytest.approx([0.0, 0.3])

    def test_a_position_that_cannot_be_traded_takes_a_place(self) -> None:
        rules = make_rules(max_positions=1)
        state = portfolio([0.2, 0.0], [10.0, 10.0], rules)
        assert step(state, [HOLD, 0.3], open_at(math.nan, 10.0), rules).weights[0].tolist() == pytest.approx([0.2, 0.0])

    def test_gross_exposure_is_scaled_to_the_cap_and_held_positions_with_it(self) -> None:
        state = portfolio([1.0, 0.0], [10.0, 10.0], make_rules())
        result = step(state, [HOLD, -3.0], open_at(10.0, 10.0), make_rules(gross_leverage=2.0))
        assert result.weights[0].tolist() == pytest.approx([0.5, -1.5])

    def test_the_cap_holds_after_costs(self) -> None:
        result = step(initial_state(1, 2), [5.0, -5.0], open_at(10.0, 10.0), make_rules(gross_leverage=2.0, cost_rate=0.0015))
        assert result.weights.abs().sum().item() == pytest.approx(2.0, rel=1e-8)

    def test_what_cannot_be_traded_cannot_be_scaled(self) -> None:
        state = portfolio([1.5, 0.0], [10.0, 10.0], make_rules())
        result = step(state, [HOLD, 1.0], open_at(math.nan, 10.0), make_rules(gross_leverage=2.0))
        assert result.weights[0].tolist() == pytest.approx([1.5, 0.5])

    def test_leverage_that_grew_by_losses_is_cut_back(self) -> None:
        state = portfolio([2.0], [10.0], make_rules())
        result = step(state, [HOLD], open_at(8.0), make_rules(gross_leverage=2.0))
        assert result.weights.item() == pytest.approx(2.0)  # drifted to 1.6 / 0.6 = 2.67

    def test_a_change_within_the_band_is_not_traded(self) -> None:
        rules = make_rules(rebalancing_band=0.02)
        state = portfolio([0.2], [10.0], rules)
        assert step(state, [0.215], open_at(10.0), rules).trades.item() == 0
        assert step(state, [0.225], open_at(10.0), rules).weights.item() == pytest.approx(0.225)

    def test_the_band_is_measured_on_the_drifted_weight(self) -> None:
        rules = make_rules(rebalancing_band=0.05)
        state = portfolio([0.5], [10.0], rules)
        assert step(state, [0.5], open_at(15.0), rules).trades.item() == 1  # drifted to 0.6

    def test_closing_a_position_is_exempt_from_the_band(self) -> None:
        state = portfolio([0.01], [10.0], make_rules())
        assert step(state, [0.0], open_at(10.0), make_rules(rebalancing_band=0.05)).state.units.item() == 0.0


class TestSizeOfTrades:
    BAR = knowing(open_at(10.0, 10.0), volatility=0.04, traded_value=1e6)

    def test_a_trade_takes_no_more_than_its_share_of_what_is_usually_traded(self) -> None:
        rules = make_rules(participation=0.1)  # of a million: a tenth of the account's million
        assert step(initial_state(1, 2), [0.5, 0.05], self.BAR, rules).weights[0].tolist() == pytest.approx([0.1, 0.05])

    def test_the_rest_of_a_sale_takes_further_decisions(self) -> None:
        rules = make_rules(participation=0.1)
        state = portfolio([0.25, 0.0], [10.0, 10.0], make_rules())
        held = []
        for weight in (0.0, 0.0, HOLD, 0.0):
            state = step(state, [weight, HOLD], self.BAR, rules).state
            held.append(state.units[0, 0].item() * 10)
        assert held == [pytest.approx(0.15), pytest.approx(0.05), pytest.approx(0.05), 0.0]

    def test_what_cannot_be_sold_at_once_leaves_no_room_under_the_gross_cap(self) -> None:
        """Selling one symbol slowly must not lend the account the leverage to buy another at once."""
        rules = make_rules(participation=0.1, gross_leverage=2.0)
        state = portfolio([2.0, 0.0], [10.0, 10.0], make_rules())
        bar = self.BAR._replace(traded_value=money(1e6, math.nan).unsqueeze(0))
        assert step(state, [0.0, 2.0], bar, rules).weights[0].tolist() == pytest.approx([1.9, 0.1])

    def test_protection_sells_no_faster_than_the_market_takes(self) -> None:
        rules = make_rules(participation=0.1, stop_loss=0.25)
        state = portfolio([0.5, 0.0], [10.0, 10.0], make_rules())
        fallen = knowing(open_at(7.0, 10.0), traded_value=1e6)
        after = step(state, [HOLD, HOLD], fallen, rules).state
        assert after.units[0, 0].item() * 7 == pytest.approx(0.25)
        assert step(after, [HOLD, HOLD], fallen, rules).state.units[0, 0].item() * 7 == pytest.approx(0.15)

    def test_a_delisted_symbol_is_liquidated_whatever_its_volume(self) -> None:
        state = portfolio([0.5], [10.0], make_rules())
        gone = knowing(open_at(math.nan, delisted=(True,)), traded_value=1.0)
        assert step(state, [HOLD], gone, make_rules(participation=0.1)).state.units.item() == 0.0

    @pytest.mark.parametrize("traded_value", [math.nan, 0.0])
    def test_volume_that_is_not_known_limits_nothing(self, traded_value: float) -> None:
        bar = knowing(open_at(10.0), traded_value=traded_value)
        assert step(initial_state(1, 1), [0.5], bar, make_rules(participation=0.1)).weights.item() == pytest.approx(0.5)

    def test_a_trade_below_the_smallest_is_not_made(self) -> None:
        rules = make_rules(minimum_trade=1000.0)  # of a million: a thousandth of the account
        state = portfolio([0.2], [10.0], make_rules())
        assert step(state, [0.2009], open_at(10.0), rules).trades.item() == 0
        assert step(state, [0.2011], open_at(10.0), rules).trades.item() == 1

    def test_closing_a_position_is_exempt_from_the_smallest_trade(self) -> None:
        state = portfolio([0.0005], [10.0], make_rules())
        assert step(state, [0.0], open_at(10.0), make_rules(minimum_trade=1000.0)).state.units.item() == 0.0
