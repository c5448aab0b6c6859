"""The rules money moves by, one clause at a time, with numbers that can be checked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.simulation.market_paths import make_rules, random_rules
from tests.unit.simulation.random_markets import RandomMarkets, draw_rules
from toto_ops.simulation.portfolio import (
    BarPrices,
    PortfolioState,
    StepResult,
    equity,
    initial_state,
    mark_to_close,
    portfolio_step,
)
from toto_ops.simulation.rules import TradingRules

HOLD = math.nan


def money(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def open_at(*prices: float, days: float = 1.0, delisted: tuple[bool, ...] | None = None) -> BarPrices:
    """An open where NaN means no bar."""
    price = money(*prices).unsqueeze(0)
    gone = torch.tensor([delisted or [False] * len(prices)])
    return BarPrices.of_prices(price, price.isfinite(), gone, money(days))


def knowing(bar: BarPrices, *, volatility: float = math.nan, traded_value: float = math.nan) -> BarPrices:
    """The same open with the same figures known of every symbol."""
    return bar._replace(volatility=torch.full_like(bar.open, volatility), traded_value=torch.full_like(bar.open, traded_value))


def step(state: PortfolioState, weights: list[float], bar: BarPrices, rules: TradingRules) -> StepResult:
    weight = money(*weights).unsqueeze(0)
    return portfolio_step(state, weight, weight.isnan(), bar, rules)


def portfolio(weights: list[float], prices: list[float], rules: TradingRules) -> PortfolioState:
    """One account of capital 1 that has just bought `weights` at `prices`."""
    return step(initial_state(1, len(weights)), weights, open_at(*prices, days=0.0), rules).state


class TestTrading:
    def test_buys_the_target_weight_at_the_open(self) -> None:
        state = portfolio([0.5, 0.25], [10.0, 20.0], make_rules())
        assert state.units[0].tolist() == pytest.approx([0.05, 0.0125])
        assert state.cash.item() == pytest.approx(0.25)

    def test_costs_are_paid_on_turnover_of_the_drifted_weights(self) -> None:
        rules = make_rules(cost_rate=0.01)
        state = portfolio([0.5], [10.0], make_rules())
        result = step(state, [0.5], open_at(20.0), rules)
        # 0.5 has become 1.0 of 1.5; to get back to half of what costs leave, about 0.25 is sold.
        left = (1.5 - 0.01 * 1.0) / (1 - 0.01 * 0.5)
        assert result.fees.item() == pytest.approx(0.01 * (1.0 - 0.5 * left), rel=1e-6)
        assert result.turnover.item() == pytest.approx((1.0 - 0.5 * left) / 1.5, rel=1e-6)

    def test_weights_are_met_by_the_equity_that_costs_leave(self) -> None:
        result = step(initial_state(1, 2), [1.2, 0.8], open_at(10.0, 20.0), make_rules(cost_rate=0.0015, gross_leverage=2.0))
        assert result.weights[0].tolist() == pytest.approx([1.2, 0.8], rel=1e-8)
        assert result.equity_after.item() < result.equity_before.item()

    def test_a_fully_invested_account_does_not_borrow_its_costs(self) -> None:
        result = step(initial_state(1, 2), [0.5, 0.5], open_at(10.0, 20.0), make_rules(cost_rate=0.0015))
        assert result.state.cash.item() == pytest.approx(0.0, abs=1e-9)

    def test_hold_keeps_units_while_the_weight_drifts(self) -> None:
        state = portfolio([0.5], [10.0], make_rules())
        result = step(state, [HOLD], open_at(20.0), make_rules(cost_rate=0.01))
        assert result.state.units.item() == state.units.item()
        assert result.weights.item() == pytest.approx(1.0 / 1.5)
        assert result.fees.item() == 0.0
        assert result.trades.item() == 0

    def test_a_symbol_without_a_bar_is_not_traded_and_keeps_its_mark(self) -> None:
        state = portfolio([0.5, 0.3], [10.0, 10.0], make_rules())
        result = step(state, [0.0, 0.0], open_at(math.nan, 11.0), make_rules())
        assert result.state.units[0].tolist() == pytest.approx([0.05, 0.0])
        assert result.state.mark[0].tolist() == [10.0, 11.0]

    def test_selling_what_is_not_held_does_nothing_where_shorts_are_forbidden(self) -> None:
        result = step(initial_state(1, 1), [-0.5], open_at(10.0), make_rules(may_short=False))
        assert result.state.units.item() == 0.0
        assert result.trades.item() == 0

    def test_a_short_gains_when_the_price_falls(self) -> None:
        state = portfolio([-0.5], [10.0], make_rules())
        assert state.cash.item() == pytest.approx(1.5)
        assert equity(mark_to_close(state, money(8.0), torch.tensor([True]))).item() == pytest.approx(1.1)


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


class TestCosts:
    """Of buying a tenth of an account that stands for a million, where a million is traded in a usual bar."""

    @staticmethod
    def fees(rules: TradingRules, *, volatility: float = 0.04, traded_value: float = 1e6, capital: float = 1.0) -> float:
        bar = knowing(open_at(10.0), volatility=volatility, traded_value=traded_value)
        weight = money(0.1).unsqueeze(0)
        return portfolio_step(initial_state(1, 1, capital), weight, weight.isnan(), bar, rules).fees.item()

    def test_slippage_is_as_stated_at_the_volatility_stated_and_grows_with_it(self) -> None:
        rules = make_rules(slippage=0.002, slippage_volatility=0.04)
        assert self.fees(rules, volatility=0.04) == pytest.approx(0.1 * 0.002, rel=1e-3)
        assert self.fees(rules, volatility=0.08) == pytest.approx(0.1 * 0.004, rel=1e-3)
        assert self.fees(rules, volatility=0.0) == 0.0

    def test_slippage_is_as_stated_where_volatility_is_unknown(self) -> None:
        assert self.fees(make_rules(slippage=0.002), volatility=math.nan) == pytest.approx(0.1 * 0.002, rel=1e-3)

    def test_slippage_comes_on_top_of_the_flat_costs(self) -> None:
        rules = make_rules(cost_rate=0.001, slippage=0.002, slippage_volatility=0.04)
        assert self.fees(rules) == pytest.approx(0.1 * 0.003, rel=1e-3)

    def test_impact_follows_the_square_root_law(self) -> None:
        rules = make_rules(impact=1.0)
        # A tenth of a usual bar: volatility times its root, as a fraction of the trade.
        assert self.fees(rules) == pytest.approx(0.1 * 0.04 * math.sqrt(0.1), rel=1e-2)
        assert self.fees(rules, traded_value=4e6) == pytest.approx(0.1 * 0.04 * math.sqrt(0.025), rel=1e-2)
        assert self.fees(make_rules(impact=0.5)) == pytest.approx(self.fees(rules) / 2, rel=1e-2)

    def test_impact_costs_no_more_than_all_that_is_traded(self) -> None:
        state = portfolio([0.5], [10.0], make_rules())
        bar = knowing(open_at(10.0), volatility=0.5, traded_value=1.0)
        assert step(state, [0.0], bar, make_rules(impact=1.0)).fees.item() == pytest.approx(0.5)

    @pytest.mark.parametrize("unknown", [{"volatility": math.nan}, {"traded_value": math.nan}, {"traded_value": 0.0}], ids=str)
    def test_there_is_no_impact_where_volatility_or_volume_is_unknown(self, unknown: dict[str, float]) -> None:
        assert self.fees(make_rules(impact=1.0), **unknown) == 0.0

    def test_an_account_of_one_pays_the_share_that_one_of_its_capital_would(self) -> None:
        rules = make_rules(cost_rate=0.001, slippage=0.002, impact=1.0, capital=1e6)
        assert self.fees(rules, capital=1e6) == pytest.approx(1e6 * self.fees(rules, capital=1.0), rel=1e-12)
        assert self.fees(make_rules(impact=1.0, capital=1e8)) > 5 * self.fees(make_rules(impact=1.0, capital=1e6))

    def test_targets_are_met_by_the_equity_that_every_cost_leaves(self) -> None:
        rules = make_rules(cost_rate=0.001, slippage=0.002, slippage_volatility=0.04, impact=1.0, gross_leverage=1.5)
        bar = knowing(open_at(10.0, 20.0), volatility=0.04, traded_value=1e6)
        result = step(initial_state(1, 2), [1.0, -1.0], bar, rules)
        assert result.weights[0].tolist() == pytest.approx([0.75, -0.75], rel=1e-10)
        assert result.equity_after.item() == pytest.approx(result.equity_before.item() - result.costs.sum().item())

    def test_costs_are_told_symbol_by_symbol(self) -> None:
        rules = make_rules(cost_rate=0.01)
        result = step(portfolio([0.5, 0.0], [10.0, 10.0], make_rules()), [0.5, 0.2], open_at(10.0, 10.0), rules)
        change = (result.value_after - result.value_before).abs()
        torch.testing.assert_close(result.costs, 0.01 * change)
        torch.testing.assert_close(result.fees, result.costs.sum(-1))


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


class TestFinancing:
    def test_borrowed_cash_costs_the_margin_rate_over_calendar_days(self) -> None:
        rules = make_rules(margin_rate=0.0675)
        friday = portfolio([2.0], [10.0], rules)
        monday = step(friday, [HOLD], open_at(10.0, days=3.0), rules)
        assert monday.interest.item() == pytest.approx(1.0 * 0.0675 * 3 / 365)
        assert monday.equity_before.item() == pytest.approx(1.0 - 0.0675 * 3 / 365)

    def test_financing_accrues_while_nothing_trades(self) -> None:
        rules = make_rules(margin_rate=0.0675)
        state = portfolio([2.0], [10.0], rules)
        closed = step(state, [HOLD], open_at(math.nan, days=2.0), rules)
        assert closed.trades.item() == 0
        assert closed.state.cash.item() == pytest.approx(-1.0 - 0.0675 * 2 / 365)

    def test_one_year_of_daily_accrual_is_act_365(self) -> None:
        rules = make_rules(margin_rate=0.0675)
        state = portfolio([2.0], [10.0], rules)
        paid = 0.0
        for _ in range(365):
            result = step(state, [HOLD], open_at(10.0), rules)
            state, paid = result.state, paid + result.interest.item()
        assert paid == pytest.approx((1 + 0.0675 / 365) ** 365 - 1)

    def test_an_unlevered_account_pays_nothing(self) -> None:
        rules = make_rules(margin_rate=0.5)
        assert step(portfolio([1.0], [10.0], rules), [HOLD], open_at(12.0), rules).interest.item() == pytest.approx(
            0.0, abs=1e-15
        )

    def test_shorts_pay_their_borrow_on_the_notional_and_no_margin(self) -> None:
        rules = make_rules(margin_rate=0.5, short_rate=0.02)
        state = portfolio([-0.5], [10.0], rules)
        assert step(state, [HOLD], open_at(10.0), rules).interest.item() == pytest.approx(0.5 * 0.02 / 365)

    def test_proceeds_of_a_short_do_not_pay_for_longs_beyond_equity(self) -> None:
        rules = make_rules(margin_rate=0.0675)
        state = portfolio([1.5, -0.5], [10.0, 10.0], rules)
        assert step(state, [HOLD, HOLD], open_at(10.0, 10.0), rules).interest.item() == pytest.approx(0.5 * 0.0675 / 365)

    def test_idle_cash_earns_the_cash_rate_but_proceeds_of_shorts_do_not(self) -> None:
        rules = make_rules(cash_rate=0.03)
        state = portfolio([-0.5], [10.0], rules)
        assert step(state, [HOLD], open_at(10.0), rules).interest.item() == pytest.approx(-1.0 * 0.03 / 365)


class TestProtection:
    def test_stop_loss_closes_a_long_whatever_is_decided(self) -> None:
        rules = make_rules(stop_loss=0.25)
        state = portfolio([0.5], [10.0], rules)
        assert step(state, [HOLD], open_at(7.6), rules).state.units.item() > 0
        assert step(state, [HOLD], open_at(7.4), rules).state.units.item() == 0.0
        assert step(state, [0.9], open_at(7.4), rules).state.units.item() == 0.0

    def test_stop_loss_closes_a_short_when_the_price_rises(self) -> None:
        rules = make_rules(stop_loss=0.25)
        state = portfolio([-0.2], [10.0], rules)
        assert step(state, [HOLD], open_at(12.4), rules).state.units.item() < 0
        assert step(state, [HOLD], open_at(12.6), rules).state.units.item() == 0.0

    def test_stop_loss_counts_from_the_average_entry_price(self) -> None:
        rules = make_rules(stop_loss=0.25)
        state = step(portfolio([0.5], [10.0], rules), [2 / 3], open_at(20.0), rules).state
        assert state.entry.item() == pytest.approx(10.0)
        more = step(state, [0.8], open_at(20.0), rules).state
        assert more.entry.item() == pytest.approx((0.05 * 10 + 0.01 * 20) / 0.06)
        less = step(more, [0.1], open_at(30.0), rules).state
        assert less.entry.item() == pytest.approx(more.entry.item())
        flipped = step(less, [-0.1], open_at(30.0), rules).state
        assert flipped.entry.item() == 30.0

    def test_breaker_goes_flat_for_its_cooldown_and_then_lets_go(self) -> None:
        rules = make_rules(max_drawdown=0.2, breaker_cooldown=3)
        state = portfolio([1.0], [10.0], rules)
        exposures = []
        for price in (7.5, 7.5, 7.5, 7.5, 7.4):
            result = step(state, [1.0], open_at(price), rules)
            state = result.state
            exposures.append(round(result.weights.item(), 9))
        assert exposures == [0.0, 0.0, 0.0, 1.0, 1.0]

    def test_breaker_measures_drawdown_from_the_peak_of_equity(self) -> None:
        rules = make_rules(max_drawdown=0.2)
        risen = step(portfolio([1.0], [10.0], rules), [HOLD], open_at(20.0), rules).state
        assert step(risen, [HOLD], open_at(16.5), rules).weights.item() > 0
        assert step(risen, [HOLD], open_at(15.9), rules).weights.item() == 0.0

    def test_bankruptcy_closes_everything_for_good(self) -> None:
        rules = make_rules(bankruptcy_floor=0.05)
        ruined = step(portfolio([2.0], [10.0], rules), [HOLD], open_at(5.1), rules).state
        assert ruined.bankrupt.item()
        assert ruined.units.item() == 0.0
        later = step(ruined, [1.0], open_at(50.0), rules)
        assert later.state.units.item() == 0.0
        assert later.equity_after.item() == pytest.approx(0.02)

    def test_a_gap_can_take_more_than_there_was_and_the_debt_stays_visible(self) -> None:
        rules = make_rules()
        ruined = step(portfolio([2.0], [10.0], rules), [HOLD], open_at(4.0), rules)
        assert ruined.equity_after.item() == pytest.approx(-0.2)
        assert ruined.state.bankrupt.item()
        assert torch.isfinite(ruined.weights).all()

    def test_what_could_not_be_sold_in_bankruptcy_is_sold_when_it_trades_again(self) -> None:
        rules = make_rules(bankruptcy_floor=0.5)
        state = portfolio([0.8, 0.2], [10.0, 10.0], rules)
        ruined = step(state, [HOLD, HOLD], open_at(2.0, math.nan), rules).state
        assert ruined.units[0].tolist() == [0.0, pytest.approx(0.02)]
        assert step(ruined, [HOLD, HOLD], open_at(2.0, 12.0), rules).state.units[0].tolist() == [0.0, 0.0]

    def test_a_delisted_symbol_is_liquidated_at_its_last_close_with_costs(self) -> None:
        rules = make_rules(cost_rate=0.01)
        state = portfolio([0.5], [10.0], make_rules())
        state = mark_to_close(state, money(8.0), torch.tensor([True]))
        result = step(state, [HOLD], open_at(math.nan, delisted=(True,)), rules)
        assert result.state.units.item() == 0.0
        assert result.state.cash.item() == pytest.approx(0.5 + 0.4 * 0.99)


class TestCompleteBars:
    @settings(deadline=None, max_examples=30)
    @given(seed=st.integers(0, 2**32 - 1))
    def test_to_know_that_nothing_is_missing_changes_nothing(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        markets = RandomMarkets.draw(rng, 6, 12)
        everywhere = torch.ones((6, markets.assets), dtype=torch.bool)
        rules = TradingRules.stacked([draw_rules(rng) for _ in range(6)])
        state = initial_state(6, markets.assets)
        price = torch.full((6, markets.assets), 10.0, dtype=torch.float64)
        for row in range(markets.rows):
            price = price * torch.from_numpy(np.exp(rng.normal(0, 0.1, price.shape)))
            bar = markets.bar(row)._replace(open=price, tradable=everywhere, delisted=~everywhere)
            weight, hold = torch.from_numpy(markets.weight[row]), torch.from_numpy(markets.hold[row])
            asked = portfolio_step(state, weight, hold, bar, rules)
            known = portfolio_step(state, weight, hold, bar._replace(complete=True), rules)
            for one, other in zip((*asked.state, asked.costs), (*known.state, known.costs), strict=True):
                assert torch.equal(one, other)
            state = asked.state


class TestConservation:
    @settings(deadline=None, max_examples=60)
    @given(seed=st.integers(0, 2**32 - 1))
    def test_money_comes_from_prices_and_goes_to_costs_and_interest_only(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        markets = RandomMarkets.draw(rng, 6, 20)
        rules = TradingRules.stacked([draw_rules(rng) for _ in range(6)])
        state = initial_state(6, markets.assets, 1000.0)
        worth = equity(state)
        for row in range(markets.rows):
            bar = markets.bar(row)
            weight, hold = torch.from_numpy(markets.weight[row]), torch.from_numpy(markets.hold[row])
            gain = (state.units * (torch.where(bar.tradable, bar.open, state.mark) - state.mark)).sum(-1)
            result = portfolio_step(state, weight, hold, bar, rules)
            expected = worth + gain - result.interest - result.costs.sum(-1)
            torch.testing.assert_close(equity(result.state), expected, rtol=1e-12, atol=1e-9)
            torch.testing.assert_close(result.equity_after, expected, rtol=1e-12, atol=1e-9)
            torch.testing.assert_close(result.fees, result.costs.sum(-1), rtol=1e-12, atol=1e-12)
            assert (result.costs >= 0).all()
            assert (result.costs[~(bar.tradable | bar.delisted)] == 0).all()
            close, closes = torch.from_numpy(markets.close[row]), torch.from_numpy(markets.closes[row])
            state = mark_to_close(result.state, close, closes)
            worth = equity(state)

    @settings(deadline=None, max_examples=30)
    @given(seed=st.integers(0, 2**32 - 1), rules=random_rules)
    def test_gross_exposure_never_exceeds_the_cap_when_everything_trades(self, seed: int, rules: TradingRules) -> None:
        rng = np.random.default_rng(seed)
        rules = replace(rules, participation=math.inf)
        state, price = initial_state(2, 5), np.full((2, 5), 10.0)
        for _ in range(20):
            price = price * np.exp(rng.normal(0, 0.1, (2, 5)))
            everywhere = torch.ones((2, 5), dtype=torch.bool)
            weight = torch.from_numpy(rng.uniform(-2, 2, (2, 5)))
            bar = BarPrices.of_prices(torch.from_numpy(price), everywhere, ~everywhere, money(1.0))
            result = portfolio_step(state, weight, torch.from_numpy(rng.random((2, 5)) < 0.5), bar, rules)
            assert (result.weights.abs().sum(-1) <= rules.gross_leverage * (1 + 1e-8)).all()
            state = result.state

    @settings(deadline=None, max_examples=40)
    @given(seed=st.integers(0, 2**32 - 1))
    def test_no_trade_raises_gross_exposure_beyond_the_cap(self, seed: int) -> None:
        """Where something cannot be sold gross exposure may stay above the cap, but nothing is bought on top of it."""
        rng = np.random.default_rng(seed)
        markets = RandomMarkets.draw(rng, 6, 20)
        rules = TradingRules.stacked([draw_rules(rng) for _ in range(6)])
        state = initial_state(6, markets.assets)
        for row in range(markets.rows):
            weight, hold = torch.from_numpy(markets.weight[row]), torch.from_numpy(markets.hold[row])
            result = portfolio_step(state, weight, hold, markets.bar(row), rules)
            before, after = result.value_before.abs().sum(-1), result.value_after.abs().sum(-1)
            cap = rules.gross_leverage * result.equity_after.clamp(min=0.0)
            assert (after <= torch.maximum(before, cap) * (1 + 1e-8) + 1e-12).all()
            close, closes = torch.from_numpy(markets.close[row]), torch.from_numpy(markets.closes[row])
            state = mark_to_close(result.state, close, closes)


SMOOTH = make_rules(
    cost_rate=0.0015, slippage=0.0005, slippage_volatility=0.04, margin_rate=0.0675, short_rate=0.02, gross_leverage=2.0,
    symbol_cap=0.9, stop_loss=0.5, bankruptcy_floor=0.05,
)  # fmt: skip
"""Rules that do not jump: gradients are exact."""


class TestGradients:
    @staticmethod
    def final_equity(weights: Tensor, prices: Tensor, tradable: Tensor, rules: TradingRules) -> Tensor:
        """Log growth of two accounts that follow `weights` `[B, T, A]` through `prices` `[T, A]`."""
        state = initial_state(weights.shape[0], weights.shape[2], dtype=weights.dtype)
        hold = torch.zeros(weights.shape[::2], dtype=torch.bool)
        for t in range(weights.shape[1]):
            days = torch.ones(1, dtype=weights.dtype)
            bar = BarPrices.of_prices(prices[t], tradable[t], torch.zeros_like(tradable[t]), days)
            bar = knowing(bar, volatility=0.03, traded_value=1e6)
            # A symbol held without a decision carries NaN, as in the backtest: no gradient may see it.
            asked = torch.where(hold, math.nan, weights[:, t])
            state = portfolio_step(state, asked, hold, bar, rules).state
            hold = torch.zeros_like(hold)
            hold[:, t % weights.shape[2]] = True
        return torch.log(equity(state) / state.initial)

    @pytest.mark.parametrize(
        "rules",
        [SMOOTH, replace(SMOOTH, impact=0.5), replace(SMOOTH, impact=0.5, participation=0.8)],
        ids=["costs", "impact", "participation"],
    )
    @pytest.mark.parametrize("seed", range(3))
    def test_gradient_of_equity_agrees_with_finite_differences(self, seed: int, rules: TradingRules) -> None:
        rng = np.random.default_rng(seed)
        prices = torch.from_numpy(10 * np.exp(np.cumsum(rng.normal(0, 0.03, (4, 3)), axis=0)))
        tradable = torch.from_numpy(rng.random((4, 3)) > 0.15)
        prices = torch.where(tradable, prices, math.nan)
        weights = torch.from_numpy(rng.uniform(-1.4, 1.4, (2, 4, 3))).requires_grad_()
        assert torch.autograd.gradcheck(
            lambda w: self.final_equity(w, prices, tradable, rules), (weights,), eps=1e-7, atol=1e-5, rtol=1e-3
        )

    @settings(deadline=None, max_examples=40)
    @given(seed=st.integers(0, 2**32 - 1))
    def test_gradients_are_finite_and_cost_no_digit_under_any_rules(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        rules = TradingRules.stacked([draw_rules(rng), draw_rules(rng)], dtype=torch.float32)
        prices = torch.from_numpy(10 * np.exp(np.cumsum(rng.normal(0, 0.1, (10, 4)), axis=0))).float()
        tradable = torch.from_numpy(rng.random((10, 4)) > 0.15)
        weights = torch.from_numpy(rng.uniform(-1, 1, (2, 10, 4))).float()
        weights[:, 3] = 0.0
        prices = torch.where(tradable, prices, math.nan)
        without = self.final_equity(weights, prices, tradable, rules)
        growth = self.final_equity(weights.requires_grad_(), prices, tradable, rules)
        torch.testing.assert_close(growth.detach(), without, rtol=0, atol=0, equal_nan=True)
        growth[growth.isfinite()].sum().backward()
        assert weights.grad is not None
        assert torch.isfinite(weights.grad).all()

    def test_float32_follows_float64(self) -> None:
        rng = np.random.default_rng(7)
        prices = torch.from_numpy(10 * np.exp(np.cumsum(rng.normal(0, 0.02, (60, 4)), axis=0)))
        tradable = torch.ones((60, 4), dtype=torch.bool)
        weights = torch.from_numpy(rng.uniform(-0.4, 0.4, (2, 60, 4)))
        rules = replace(SMOOTH, impact=0.5, rebalancing_band=0.01, max_positions=3, max_drawdown=0.6)
        exact = self.final_equity(weights, prices, tradable, rules)
        single = self.final_equity(weights.float(), prices.float(), tradable, rules)
        torch.testing.assert_close(single.double(), exact, rtol=1e-3, atol=1e-4)


class TestStraightThrough:
    """What jumps has the gradient of a step without it; what is a fact has none."""

    @staticmethod
    def gradient(state: PortfolioState, weights: list[float], rules: TradingRules, bar: BarPrices) -> Tensor:
        """Of the equity at prices a tenth, two tenths, ... higher, with respect to the weights; `[A]`."""
        weight = money(*weights).unsqueeze(0).requires_grad_()
        after = portfolio_step(state, weight, torch.zeros_like(weight, dtype=torch.bool), bar, rules).state
        higher = after.mark * (1.0 + 0.1 * torch.arange(1, len(weights) + 1))
        equity(after._replace(mark=higher)).sum().backward()
        assert weight.grad is not None
        return weight.grad[0]

    @pytest.mark.parametrize(
        ("jump", "weights"),
        [
            ({"max_positions": 1}, [0.3, 0.2, 0.1]),
            ({"rebalancing_band": 0.05}, [0.22, 0.3, 0.22]),
            ({"minimum_trade": 45_000.0}, [0.22, 0.3, 0.22]),
            ({"max_drawdown": 0.1}, [0.3, 0.2, 0.1]),
        ],
        ids=["number of positions", "band", "smallest trade", "breaker"],
    )
    def test_a_rule_that_jumps_has_the_gradient_of_a_step_without_it(self, jump: dict[str, float], weights: list[float]) -> None:
        smooth = make_rules(cost_rate=0.001, gross_leverage=2.0, symbol_cap=0.9)
        state = portfolio([0.2, 0.2, 0.2], [10.0, 10.0, 10.0], smooth)
        bar = open_at(7.0, 7.0, 7.0)
        hard, free = step(state, weights, bar, replace(smooth, **jump)), step(state, weights, bar, smooth)
        assert (hard.value_after != free.value_after).any(), "the rule does not bite here"

        gradient = self.gradient(state, weights, replace(smooth, **jump), bar)

        torch.testing.assert_close(gradient, self.gradient(state, weights, smooth, bar), rtol=1e-12, atol=0)
        assert (gradient > 0.05).all()

    def test_the_gradient_of_a_dropped_position_is_what_it_would_have_earned(self) -> None:
        gradient = self.gradient(initial_state(1, 3), [0.3, 0.2, 0.1], make_rules(max_positions=1), open_at(10.0, 10.0, 10.0))
        assert gradient.tolist() == pytest.approx([0.1, 0.2, 0.3])

    def test_what_happens_obeys_the_rule_whether_a_gradient_is_asked_for_or_not(self) -> None:
        rules = make_rules(cost_rate=0.001, max_positions=2, rebalancing_band=0.05, gross_leverage=0.5)
        state = portfolio([0.2, 0.2, 0.0], [10.0, 10.0, 10.0], rules)
        weight = money(0.22, 0.1, 0.9).unsqueeze(0)
        hold, bar = torch.zeros_like(weight, dtype=torch.bool), open_at(11.0, 12.0, 13.0)
        without = portfolio_step(state, weight, hold, bar, rules)
        with_gradient = portfolio_step(state, weight.clone().requires_grad_(), hold, bar, rules)
        for name in ("cash", "units", "entry", "mark"):
            assert torch.equal(getattr(without.state, name), getattr(with_gradient.state, name).detach())
        assert torch.equal(without.costs, with_gradient.costs.detach())

    def test_a_symbol_without_a_bar_has_no_gradient(self) -> None:
        gradient = self.gradient(initial_state(1, 2), [0.3, 0.2], make_rules(), open_at(math.nan, 10.0))
        assert gradient.tolist() == [0.0, pytest.approx(0.2)]

    def test_a_position_stopped_out_has_no_gradient(self) -> None:
        rules = make_rules(stop_loss=0.25)
        state = portfolio([0.3, 0.3], [10.0, 10.0], rules)
        assert self.gradient(state, [0.4, 0.4], rules, open_at(7.0, 10.0))[0].item() == 0.0

    def test_a_bankrupt_account_has_no_gradient(self) -> None:
        rules = make_rules(bankruptcy_floor=0.5)
        state = portfolio([1.0, 0.5], [10.0, 10.0], rules)
        assert self.gradient(state, [0.4, 0.4], rules, open_at(5.0, 5.0)).tolist() == [0.0, 0.0]


def test_capital_must_be_positive() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        initial_state(1, 1, 0.0)
