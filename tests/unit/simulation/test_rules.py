"""The rules of a universe as numbers, and of many accounts as one."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.serving.market_samples import universe
from tests.unit.simulation.market_paths import make_rules
from tests.unit.simulation.random_markets import RandomMarkets, draw_rules
from toto_ops.simulation.portfolio import initial_state, mark_to_close, portfolio_step
from toto_ops.simulation.rules import PER_ACCOUNT, TradingRules
from toto_ops.universes import Costs, Limits


class TestOfAUniverse:
    def test_slippage_that_grows_with_volatility_is_not_part_of_the_flat_rate(self) -> None:
        costs = Costs(commission=0.001, half_spread=0.0003, slippage=0.0002, slippage_at_volatility=0.04, impact=0.5)
        rules = TradingRules.of(universe(costs=costs))
        assert rules.cost_rate == pytest.approx(0.0013)
        assert (rules.slippage, rules.slippage_volatility, rules.impact) == (0.0002, 0.04, 0.5)
        assert rules.cost_rate + rules.slippage == pytest.approx(costs.rate)

    def test_slippage_without_a_volatility_is_flat(self) -> None:
        rules = TradingRules.of(universe(costs=Costs(commission=0.001, slippage=0.0002)))
        assert rules.cost_rate == pytest.approx(0.0012)
        assert rules.slippage == 0.0

    def test_limits_that_are_absent_are_infinite(self) -> None:
        rules = TradingRules.of(universe(limits=Limits(stop_loss=None, max_drawdown=None)))
        assert rules.stop_loss == rules.max_drawdown == rules.participation == math.inf

    def test_money_is_that_of_the_universe(self) -> None:
        rules = TradingRules.of(universe(capital=250_000.0, limits=Limits(minimum_trade=500.0, participation=0.05)))
        assert (rules.capital, rules.minimum_trade, rules.participation) == (250_000.0, 500.0, 0.05)
        assert rules.with_capital(1e4).capital == 1e4


class TestVariants:
    RULES = make_rules(
        cost_rate=0.001, slippage=0.002, impact=0.5, participation=0.1, minimum_trade=100.0, gross_leverage=2.0, symbol_cap=0.25,
        max_positions=3, rebalancing_band=0.01, stop_loss=0.2, max_drawdown=0.3,
    )  # fmt: skip

    def test_with_costs_scales_every_cost_of_trading(self) -> None:
        dear = self.RULES.with_costs(2.0)
        assert (dear.cost_rate, dear.slippage, dear.impact) == (0.002, 0.004, 1.0)

    def test_baselines_pay_the_same_costs_without_any_limit(self) -> None:
        free = self.RULES.for_baselines()
        assert (free.cost_rate, free.slippage, free.impact) == (0.001, 0.002, 0.5)
        assert free.gross_leverage == free.symbol_cap == free.stop_loss == free.max_drawdown == free.participation == math.inf
        assert free.rebalancing_band == free.minimum_trade == 0.0
        assert free.max_positions > 10**6

    def test_rules_that_do_not_jump_are_their_own_smooth_version(self) -> None:
        smooth = self.RULES.without_jumps
        assert smooth is not self.RULES
        assert smooth.without_jumps is smooth
        assert (smooth.rebalancing_band, smooth.minimum_trade, smooth.max_drawdown) == (0.0, 0.0, math.inf)
        assert (smooth.gross_leverage, smooth.stop_loss, smooth.participation) == (2.0, 0.2, 0.1)


class TestStacked:
    def test_a_rule_that_all_share_stays_a_number(self) -> None:
        stack = TradingRules.stacked([make_rules(cost_rate=0.001), make_rules(cost_rate=0.002)])
        assert stack.cost_rate.tolist() == [[0.001], [0.002]]
        assert stack.gross_leverage == stack.stop_loss == math.inf
        assert stack.max_positions == 1000

    @pytest.mark.parametrize("name", [field.name for field in fields(TradingRules)])
    def test_figures_of_accounts_are_columns_and_those_of_symbols_broadcast(self, name: str) -> None:
        one, other = (make_rules(**{name: value}) for value in ((True, False) if name == "may_short" else (1, 2)))
        stacked = getattr(TradingRules.stacked([one, other]), name)
        assert stacked.shape == ((2,) if name in PER_ACCOUNT else (2, 1))

    @pytest.mark.parametrize("name", ["max_positions", "breaker_cooldown", "decision_lag"])
    def test_counts_stay_counts(self, name: str) -> None:
        stacked = getattr(TradingRules.stacked([make_rules(**{name: 1}), make_rules(**{name: 2})]), name)
        assert stacked.dtype == torch.int64

    def test_costs_of_each_symbol_stack_beside_one_for_all(self) -> None:
        per_symbol = make_rules(cost_rate=torch.tensor([0.001, 0.002], dtype=torch.float64))
        stack = TradingRules.stacked([per_symbol, make_rules(cost_rate=0.003)])
        assert stack.cost_rate.tolist() == [[0.001, 0.002], [0.003, 0.003]]

    def test_money_of_another_dtype_has_rules_of_that_dtype(self) -> None:
        rules = TradingRules.stacked([draw_rules(np.random.default_rng(seed)) for seed in range(8)], dtype=torch.float32)
        state = initial_state(8, 3, dtype=torch.float32)
        markets = RandomMarkets.draw(np.random.default_rng(1), 8, 6)
        weight, hold = (torch.from_numpy(part[3]) for part in (markets.weight, markets.hold))
        bar = markets.bar(3, torch.float32)
        after = portfolio_step(initial_state(8, markets.assets, dtype=torch.float32), weight, hold, bar, rules).state
        assert {tensor.dtype for tensor in after if tensor.is_floating_point()} == {state.cash.dtype}

    def test_nothing_is_not_a_stack(self) -> None:
        with pytest.raises(ValueError, match="no rules to stack"):
            TradingRules.stacked([])

    @settings(deadline=None, max_examples=60)
    @given(seed=st.integers(0, 2**32 - 1))
    def test_every_account_does_under_stacked_rules_what_it_does_alone(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        markets = RandomMarkets.draw(rng, 5, 10)
        each = [draw_rules(rng) for _ in range(5)]
        together = initial_state(5, markets.assets)
        alone = [initial_state(1, markets.assets) for _ in each]
        for row in range(markets.rows):
            weight, hold, close = (torch.from_numpy(part[row]) for part in (markets.weight, markets.hold, markets.close))
            closes, bar = torch.from_numpy(markets.closes[row]), markets.bar(row)
            step = portfolio_step(together, weight, hold, bar, TradingRules.stacked(each))
            together = mark_to_close(step.state, close, closes)
            for b, rules in enumerate(each):
                mine = slice(b, b + 1)
                own = type(bar)(*(part[mine] for part in bar[:-1]))
                one = portfolio_step(alone[b], weight[mine], hold[mine], own, rules)
                alone[b] = mark_to_close(one.state, close[mine], closes[mine])
                torch.testing.assert_close(step.costs[mine], one.costs, rtol=1e-9, atol=1e-12)
                for left, right in zip(together, alone[b], strict=True):
                    torch.testing.assert_close(left[mine], right, rtol=1e-9, atol=1e-12)


class TestSeveralAssetClasses:
    def test_costs_may_differ_from_symbol_to_symbol(self) -> None:
        rules = make_rules(cost_rate=torch.tensor([0.0, 0.01], dtype=torch.float64))
        markets_open = torch.full((1, 2), 10.0, dtype=torch.float64)
        everywhere = torch.ones((1, 2), dtype=torch.bool)
        bar = RandomMarkets.draw(np.random.default_rng(0), 1, 6).bar(0)
        bar = type(bar).of_prices(markets_open, everywhere, ~everywhere, bar.elapsed_days)
        weight = torch.tensor([[0.5, 0.25]], dtype=torch.float64)
        costs = portfolio_step(initial_state(1, 2), weight, ~everywhere, bar, rules).costs[0]
        assert costs[0].item() == 0.0
        assert costs[1].item() == pytest.approx(0.01 * 0.25, rel=1e-2)
