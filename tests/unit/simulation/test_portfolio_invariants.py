"""What holds for every market and all rules: money is conserved, and no trade exceeds the cap."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.simulation.market_paths import random_rules
from tests.unit.simulation.portfolio_steps import money
from tests.unit.simulation.random_markets import RandomMarkets, draw_rules
from toto_ops.simulation.portfolio import (
    BarPrices,
    equity,
    initial_state,
    mark_to_close,
    portfolio_step,
)
from toto_ops.simulation.rules import TradingRules


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
