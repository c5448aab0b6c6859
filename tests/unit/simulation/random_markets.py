"""Many accounts at once, each on a market and under rules of its own that make every clause bite."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.unit.simulation.market_paths import make_rules
from toto_ops.simulation.portfolio import BarPrices
from toto_ops.simulation.reference import ReferenceBar
from toto_ops.simulation.rules import TradingRules

OFF = math.inf

CHOICES: dict[str, tuple[float, ...]] = {
    "cost_rate": (0.0, 0.0002, 0.0015, 0.003),
    "slippage": (0.0, 0.0, 0.002),
    "slippage_volatility": (0.04, 0.1),
    "impact": (0.0, 0.0, 0.1, 0.3),
    "participation": (0.1, 1.0, OFF, OFF),
    "minimum_trade": (0.0, 0.0, 10_000.0),
    "margin_rate": (0.0, 0.0675),
    "short_rate": (0.0, 0.02),
    "cash_rate": (0.0, 0.03),
    "gross_leverage": (0.5, 1.0, 2.0, OFF),
    "symbol_cap": (0.25, 0.9, OFF),
    "max_positions": (1, 2, 3, 1000),
    "may_short": (True, False),
    "rebalancing_band": (0.0, 0.01, 0.1),
    "stop_loss": (0.1, 0.25, OFF),
    "max_drawdown": (0.1, 0.3, OFF),
    "breaker_cooldown": (1, 2, 5),
    "bankruptcy_floor": (0.0, 0.05, 0.6),
    "decision_lag": (1, 2, 3),
    "w_max": (0.2, 0.25),
    "capital": (100_000.0, 1_000_000.0),
}
"""Thresholds are round numbers that random prices do not hit exactly."""


def draw_rules(rng: np.random.Generator) -> TradingRules:
    """Rules in any combination."""
    return make_rules(**{name: options[rng.integers(len(options))] for name, options in CHOICES.items()})


@dataclass(frozen=True)
class RandomMarkets:
    """`B` markets of `A` symbols over `T` rows and what is asked for in each: gaps, pauses, weekends, ends and crashes.

    Some bars close in the row after the one they open in; volatility and volume are unknown now and then.
    """

    open: NDArray[np.float64]
    close: NDArray[np.float64]
    tradable: NDArray[np.bool_]
    closes: NDArray[np.bool_]
    delisted: NDArray[np.bool_]
    elapsed_days: NDArray[np.float64]
    volatility: NDArray[np.float64]
    traded_value: NDArray[np.float64]
    weight: NDArray[np.float64]
    hold: NDArray[np.bool_]

    @classmethod
    def draw(cls, rng: np.random.Generator, accounts: int, rows: int) -> RandomMarkets:
        assets = int(rng.integers(1, 6))
        shape = (rows, accounts, assets)
        wildness = rng.choice([0.01, 0.08, 0.25])
        reach = rng.choice([0.3, 1.0, 2.5])
        jumps = rng.choice([0.0, -0.7, 0.7], shape, p=[0.96, 0.02, 0.02])
        open_ = 50 * np.exp(np.cumsum(rng.normal(0, wildness, shape) + jumps, axis=0))
        row = np.arange(rows)[:, None, None]
        last = np.where(rng.random(shape[1:]) < 0.3, rng.integers(2, rows, shape[1:]), rows)
        starts = rng.integers(0, rows // 3, shape[1:])
        tradable = (rng.random(shape) > 0.15) & (row >= starts) & (row <= last)
        slow = tradable & (rng.random(shape) < 0.15) & (row < last)
        slow[-1] = False
        slow[:-1] &= ~tradable[1:]
        closes = tradable & ~slow
        closes[1:] |= slow[:-1]
        weight = rng.uniform(-reach, reach, shape)
        weight[rng.random(shape) < 0.15] = 0.0
        hold = rng.random(shape) < 0.4
        weight[hold] = np.nan
        unknown = rng.random(shape) < 0.2
        return cls(
            open=np.where(tradable, open_, np.nan),
            close=np.where(closes, open_ * np.exp(rng.normal(0, wildness, shape)), np.nan),
            tradable=tradable,
            closes=closes,
            delisted=np.broadcast_to(row > last, shape),
            elapsed_days=rng.choice([1.0, 1.0, 3.0], shape[:2]),
            volatility=np.where(unknown, np.nan, wildness * rng.uniform(0.5, 2.0, shape)),
            traded_value=np.where(rng.random(shape) < 0.1, np.nan, 10 ** rng.uniform(5.5, 8.0, shape)),
            weight=weight,
            hold=hold,
        )

    @property
    def assets(self) -> int:
        return self.open.shape[2]

    @property
    def rows(self) -> int:
        return self.open.shape[0]

    def bar(self, row: int, dtype: torch.dtype = torch.float64) -> BarPrices:
        """The open of a row for all accounts."""

        def tensor(values: NDArray[np.generic]) -> Tensor:
            made = torch.from_numpy(values[row].copy())
            return made.to(dtype) if made.is_floating_point() else made

        names = ("open", "tradable", "delisted", "elapsed_days", "volatility", "traded_value")
        return BarPrices(*(tensor(getattr(self, name)) for name in names))

    def reference_bar(self, row: int, account: int) -> ReferenceBar:
        """The same row for one account."""
        names = ("open", "tradable", "delisted", "volatility", "traded_value", "closes")
        columns = {name: getattr(self, name)[row, account].tolist() for name in names}
        return ReferenceBar(elapsed_days=float(self.elapsed_days[row, account]), **columns)
