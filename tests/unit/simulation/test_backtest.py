"""When decisions fill, what is reported, and that nothing from the future is needed for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.unit.simulation.market_paths import MarketPath, act_from_table, make_panel, make_rules, random_path, random_rules
from toto_ops.errors import InsufficientDataError
from toto_ops.features.panel import Panel
from toto_ops.simulation.backtest import BacktestResult, backtest
from toto_ops.simulation.observation import Action, Decision, Observation
from toto_ops.simulation.rules import TradingRules

HOLD = np.nan
GONE = np.nan


def column(*values: float) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)[:, None]


def run(open_: NDArray[np.float64], weights: NDArray[np.float64], rules: TradingRules | None = None) -> BacktestResult:
    """Backtest one table of decisions at prices that close where they opened."""
    return backtest(MarketPath.of(make_panel(open_, open_.copy()), weights).panel, act_from_table, rules or make_rules())


class TestTiming:
    def test_a_decision_fills_at_the_next_open_not_at_the_close_it_was_taken_at(self) -> None:
        panel = make_panel(column(10, 20, 30), column(15, 25, 35))
        result = backtest(MarketPath.of(panel, column(1.0, HOLD, HOLD)).panel, act_from_table, make_rules())
        assert result.equity.tolist() == pytest.approx([1.0, 1.0, 1.5])
        assert result.fill_row[:, 0].tolist() == [1, -1, -1]

    def test_profit_runs_open_to_open_so_gaps_count(self) -> None:
        panel = make_panel(column(10, 10, 30), column(10, 11, 30))
        result = backtest(MarketPath.of(panel, column(1.0, HOLD, HOLD)).panel, act_from_table, make_rules())
        assert result.returns.tolist() == pytest.approx([0.0, 2.0])

    def test_a_decision_waits_for_the_next_tradable_open(self) -> None:
        result = run(column(10, GONE, GONE, 20, 30), column(1.0, HOLD, HOLD, HOLD, HOLD))
        assert result.fill_row[0, 0] == 3
        assert result.equity.tolist() == pytest.approx([1.0, 1.0, 1.0, 1.0, 1.5])

    def test_decision_lag_two_fills_every_decision_two_opens_later(self) -> None:
        result = run(column(10, 10, 10, 20, 30, 30), column(0.5, 1.0, 0.0, HOLD, HOLD, HOLD), make_rules(decision_lag=2))
        assert result.fill_row[:, 0].tolist() == [2, 3, 4, -1, -1, -1]
        assert result.weights[:, 0].tolist() == pytest.approx([0.0, 0.0, 0.5, 1.0, 0.0, 0.0])

    def test_the_lag_counts_the_opens_of_the_symbol(self) -> None:
        result = run(column(10, 10, GONE, 10, 10, 10), column(0.5, 1.0, HOLD, HOLD, HOLD, HOLD), make_rules(decision_lag=2))
        assert result.fill_row[:, 0].tolist() == [3, 4, -1, -1, -1, -1]
        assert result.weights[3:5, 0].tolist() == pytest.approx([0.5, 1.0])

    def test_nothing_is_traded_at_the_last_open(self) -> None:
        result = run(column(10, 20, 20), column(HOLD, 1.0, HOLD), make_rules(cost_rate=0.01))
        assert result.trades.tolist() == [0, 0, 0]
        assert result.decided.all()

    def test_weekends_are_financed(self) -> None:
        friday_to_monday = np.array(["2024-01-04", "2024-01-05", "2024-01-08"], dtype="datetime64[us]")
        panel = make_panel(column(10, 10, 10), column(10, 10, 10), open_time=friday_to_monday)
        rules = make_rules(margin_rate=0.0675)
        result = backtest(MarketPath.of(panel, column(2.0, HOLD, HOLD)).panel, act_from_table, rules)
        assert result.interest.tolist() == pytest.approx([0.0, 0.0, 0.0675 * 3 / 365])

    def test_a_symbol_that_pauses_at_the_end_of_a_span_is_not_liquidated(self) -> None:
        panel = make_panel(column(10, 10, GONE, GONE), column(10, 6, GONE, GONE), ended=np.array([False]))
        result = backtest(MarketPath.of(panel, column(1.0, HOLD, HOLD, HOLD)).panel, act_from_table, make_rules())
        assert result.weights[:, 0].tolist() == pytest.approx([0.0, 1.0, 1.0, 1.0])

    def test_an_ended_symbol_is_liquidated_at_its_last_close_and_not_asked_about(self) -> None:
        panel = make_panel(column(10, 10, GONE, GONE), column(10, 6, GONE, GONE), ended=np.array([True]))
        result = backtest(MarketPath.of(panel, column(1.0, HOLD, HOLD, HOLD)).panel, act_from_table, make_rules(cost_rate=0.01))
        assert result.weights[:, 0].tolist() == pytest.approx([0.0, 1.0, 0.0, 0.0])
        assert result.equity[-1] == pytest.approx(0.6 * 0.99 / 1.01)
        assert result.decided[:, 0].tolist() == [True, True, False, False]
        assert result.profits.tolist() == pytest.approx([result.equity[-1] - 1.0])

    def test_a_symbol_that_pauses_is_kept_and_valued_at_its_last_close(self) -> None:
        panel = make_panel(column(10, 10, GONE, 8), column(10, 6, GONE, 8))
        result = backtest(MarketPath.of(panel, column(1.0, HOLD, HOLD, HOLD)).panel, act_from_table, make_rules())
        assert result.equity.tolist() == pytest.approx([1.0, 1.0, 0.6, 0.8])


class TestObservation:
    def test_the_policy_sees_the_account_it_really_has(self) -> None:
        result = run(column(10, 10, 10, 10, 10), column(0.1, HOLD, 0.0, HOLD, HOLD), make_rules(w_max=0.25))
        position, leverage, cash, days = result.account[:, 0].T
        assert position.tolist() == pytest.approx([0.0, 0.4, 0.4, 0.0, 0.0])
        assert leverage.tolist() == pytest.approx([0.0, 0.1, 0.1, 0.0, 0.0])
        assert cash.tolist() == pytest.approx([1.0, 0.9, 0.9, 1.0, 1.0])
        assert days.tolist() == pytest.approx(np.tanh([np.inf, 1 / 30, 2 / 30, 1 / 30, 2 / 30]))

    def test_an_override_is_shown_in_place_of_the_account(self) -> None:
        path = random_path(1)
        shown = np.full((*path.panel.mask.shape, 4), 0.5, dtype=np.float32)
        seen: list[torch.Tensor] = []

        def act(observation: Observation) -> Decision:
            seen.append(observation.account)
            return act_from_table(observation)

        result = backtest(path.panel, act, make_rules(), account_override=shown)
        assert all((account == 0.5).all() for account in seen)
        np.testing.assert_array_equal(result.account, shown)

    def test_an_override_of_another_shape_is_refused(self) -> None:
        with pytest.raises(ValueError, match="account_override"):
            backtest(random_path(1).panel, act_from_table, make_rules(), account_override=np.zeros((3, 4), dtype=np.float32))

    def test_masked_symbols_hold_whatever_the_policy_says(self) -> None:
        def buy_everything(observation: Observation) -> Decision:
            one = torch.ones(observation.mask.shape)
            return Decision(one, one == 0, (one * int(Action.BUY)).long(), one, one[..., None].expand(-1, -1, 3))

        panel = random_path(3).panel
        result = backtest(panel, buy_everything, make_rules())
        assert (result.actions[~panel.mask] == int(Action.HOLD)).all()
        assert (result.actions[panel.mask] == int(Action.BUY)).all()
        assert np.isnan(result.target[~panel.mask]).all()

    def test_a_policy_that_answers_nan_is_an_error(self) -> None:
        def broken(observation: Observation) -> Decision:
            decision = act_from_table(observation)
            return decision._replace(weight=decision.weight * np.nan, hold=torch.zeros_like(decision.hold))

        with pytest.raises(ValueError, match="not finite at"):
            backtest(random_path(1).panel, broken, make_rules())


class TestAccounting:
    @settings(deadline=None, max_examples=25)
    @given(seed=st.integers(0, 2**32 - 1), rules=random_rules)
    def test_round_trips_and_interest_add_up_to_the_change_of_equity(self, seed: int, rules: TradingRules) -> None:
        result = backtest(random_path(seed).panel, act_from_table, rules, initial_capital=1000.0)
        assert result.equity[0] == 1000.0
        made = result.profits.sum() + result.open_profits.sum() - result.interest.sum()
        assert result.equity[-1] - 1000.0 == pytest.approx(made, abs=1e-7)

    @settings(deadline=None, max_examples=15)
    @given(seed=st.integers(0, 2**32 - 1), rules=random_rules, capital=st.sampled_from([0.01, 1.0, 1e6]))
    def test_the_currency_does_not_matter(self, seed: int, rules: TradingRules, capital: float) -> None:
        panel = random_path(seed).panel
        one, other = (backtest(panel, act_from_table, rules, initial_capital=c) for c in (1.0, capital))
        np.testing.assert_allclose(other.weights, one.weights, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(other.equity / capital, one.equity, rtol=1e-8, atol=1e-10)

    def test_returns_compound_to_the_total_return(self) -> None:
        result = backtest(random_path(5, wildness=0.03).panel, act_from_table, make_rules(cost_rate=0.001))
        assert np.prod(1 + result.returns) - 1 == pytest.approx(result.total_return)
        assert result.fees.sum() > 0

    def test_after_ruin_returns_are_zero_and_finite(self) -> None:
        result = run(column(10, 10, 4, 8, 8), column(2.0, HOLD, 1.0, 1.0, 1.0))
        assert result.equity[-1] == pytest.approx(-0.2)
        assert result.returns.tolist() == pytest.approx([0.0, -1.2, 0.0, 0.0])
        assert result.bankrupt.tolist() == [False, False, True, True, True]

    def test_higher_costs_never_help_a_fixed_schedule(self) -> None:
        panel = random_path(5, wildness=0.03, reach=0.2).panel
        rules = make_rules(cost_rate=0.001)
        assert backtest(panel, act_from_table, rules.with_costs(2)).equity[-1] < backtest(panel, act_from_table, rules).equity[-1]

    def test_one_bar_is_not_enough(self) -> None:
        with pytest.raises(InsufficientDataError):
            run(column(10), column(1.0))


class TestNoLookAhead:
    @settings(deadline=None, max_examples=15)
    @given(seed=st.integers(0, 2**32 - 1), rules=random_rules, cut=st.integers(5, 35))
    def test_the_past_does_not_change_when_the_future_does(self, seed: int, rules: TradingRules, cut: int) -> None:
        path = random_path(seed)
        panel = path.panel
        changed = replace(panel, open=panel.open.copy(), close=panel.close.copy(), features=panel.features.copy())
        changed.open[cut + 1 :] *= 3.0
        changed.close[cut:] *= 0.1
        changed.features[cut:] = 0.0
        one, other = backtest(panel, act_from_table, rules), backtest(changed, act_from_table, rules)
        # Row `cut` was traded at its open, before its close changed.
        np.testing.assert_array_equal(one.equity[: cut + 1], other.equity[: cut + 1])
        np.testing.assert_array_equal(one.weights[: cut + 1], other.weights[: cut + 1])
        np.testing.assert_array_equal(one.actions[:cut], other.actions[:cut])
        np.testing.assert_array_equal(one.account[:cut], other.account[:cut])

    def test_runs_are_bit_identical(self) -> None:
        panel: Panel = random_path(11).panel
        rules = make_rules(cost_rate=0.001, gross_leverage=2.0)
        np.testing.assert_array_equal(
            backtest(panel, act_from_table, rules).equity, backtest(panel, act_from_table, rules).equity
        )
