"""Accounts, opens and steps in a line each, for tests of the simulator."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from toto_ops.simulation.portfolio import (
    BarPrices,
    PortfolioState,
    StepResult,
    initial_state,
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
