"""What a step does to an account: trading, financing and protection, with numbers that can be checked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from tests.unit.simulation.market_paths import make_rules
from tests.unit.simulation.portfolio_steps import HOLD, money, open_at, portfolio, step
from toto_ops.errors import ConfigError
from toto_ops.simulation.portfolio import (
    equity,
    initial_state,
    mark_to_close,
)


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


@pytest.mark.parametrize("capital", [0.0, -5.0, math.nan, math.inf, 1e300])
def test_nobody_begins_with_a_capital_that_is_no_money(capital: float) -> None:
    with pytest.raises(ConfigError, match="no account begins with a capital of"):
        initial_state(1, 1, capital)


def test_nobody_is_no_batch() -> None:
    with pytest.raises(ValueError, match="at least one account"):
        initial_state(0, 1)
