"""Gradients through a step: exact where it is smooth, straight through where it jumps, none where it is a fact."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.simulation.market_paths import make_rules
from tests.unit.simulation.portfolio_steps import knowing, money, open_at, portfolio, step
from tests.unit.simulation.random_markets import draw_rules
from toto_ops.simulation.portfolio import (
    BarPrices,
    PortfolioState,
    equity,
    initial_state,
    portfolio_step,
)
from toto_ops.simulation.rules import TradingRules

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

    def test_transforms_of_torch_func_see_the_same_gradient(self) -> None:
        """With fewer places than symbols, which are found outside of the graph."""
        rules = replace(SMOOTH, max_positions=2)
        weights = torch.tensor([[[0.1, 0.3, 0.2]]], dtype=torch.float64, requires_grad=True)
        prices, tradable = torch.full((1, 3), 10.0, dtype=torch.float64), torch.ones((1, 3), dtype=torch.bool)

        def earned(asked: Tensor) -> Tensor:
            return self.final_equity(asked, prices, tradable, rules).sum()

        (expected,) = torch.autograd.grad(earned(weights), weights)
        assert torch.equal(torch.func.grad(earned)(weights.detach()), expected)
        assert expected.count_nonzero() == 3

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
