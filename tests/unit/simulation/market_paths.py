"""Random markets for the simulation tests: gaps, pauses, endings, jumps; and rules that make every clause bite."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from toto_ops.features.panel import Panel
from toto_ops.features.state import MARKET_FEATURES
from toto_ops.simulation.observation import Action, Decision, Observation
from toto_ops.simulation.reference import ReferenceBar
from toto_ops.simulation.rules import TradingRules


def make_rules(**changes: float | bool) -> TradingRules:
    """Rules without any friction or limit, but for the changes."""
    settings: dict[str, float | bool] = {
        "cost_rate": 0.0,
        "margin_rate": 0.0,
        "short_rate": 0.0,
        "cash_rate": 0.0,
        "gross_leverage": float("inf"),
        "symbol_cap": float("inf"),
        "max_positions": 1000,
        "w_max": 0.25,
        "may_short": True,
        "rebalancing_band": 0.0,
        "stop_loss": float("inf"),
        "max_drawdown": float("inf"),
        "breaker_cooldown": 3,
        "bankruptcy_floor": 0.0,
        "decision_lag": 1,
    }
    return TradingRules(**{**settings, **changes})  # type: ignore[arg-type]


def make_panel(
    open_: NDArray[np.float64],
    close: NDArray[np.float64],
    *,
    open_time: NDArray[np.datetime64] | None = None,
    ended: NDArray[np.bool_] | None = None,
) -> Panel:
    """Daily panel of given prices (NaN is masked), opening 00:00 and closing 24 h later."""
    rows, assets = open_.shape
    daily = np.datetime64("2024-01-01", "us") + np.arange(rows) * np.timedelta64(1, "D")
    opens = daily if open_time is None else open_time
    return Panel.of_prices(
        symbols=tuple(f"S{a}" for a in range(assets)),
        feature_names=MARKET_FEATURES,
        open_time=opens,
        close_time=opens + np.timedelta64(1, "D"),
        features=np.zeros((rows, assets, len(MARKET_FEATURES)), dtype=np.float32),
        mask=np.isfinite(open_),
        open=open_,
        close=close,
        ended=np.zeros(assets, dtype=bool) if ended is None else ended,
    )


@dataclass(frozen=True)
class MarketPath:
    """A panel with a table of decisions `[T, A]`; NaN is HOLD. The first market feature carries the table."""

    panel: Panel
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, panel: Panel, weights: NDArray[np.float64]) -> MarketPath:
        panel.features[..., 0] = weights
        return cls(panel, panel.features[..., 0].astype(np.float64))

    def table(self) -> list[list[float | None]]:
        return [[None if np.isnan(weight) else float(weight) for weight in row] for row in self.weights]

    def reference_bars(self) -> list[ReferenceBar]:
        panel = self.panel
        last_bar = [max(np.flatnonzero((panel.mask | panel.tradable)[:, a]), default=-1) for a in range(len(panel.symbols))]
        unknown = [math.nan] * len(panel.symbols)
        elapsed = np.diff(panel.open_time, prepend=panel.open_time[:1]) / np.timedelta64(1, "D")
        return [
            ReferenceBar(
                open=panel.open[t].tolist(),
                tradable=panel.tradable[t].tolist(),
                delisted=[bool(panel.ended[a] and t > last) for a, last in enumerate(last_bar)],
                elapsed_days=float(elapsed[t]),
                volatility=panel.volatility[t - 1].tolist() if t else unknown,
                traded_value=panel.traded_value[t - 1].tolist() if t else unknown,
                closes=panel.mask[t].tolist(),
            )
            for t in range(panel.rows)
        ]


def act_from_table(observation: Observation) -> Decision:
    """The policy that answers with the table a `MarketPath` carries in its first feature."""
    weight = observation.market[..., 0]
    hold = weight.isnan()
    action = torch.where(hold, int(Action.HOLD), torch.where(weight > 0, int(Action.BUY), int(Action.SELL)))
    probabilities = torch.nn.functional.one_hot(action, len(Action)).to(weight.dtype)
    return Decision(weight, hold, action, weight.nan_to_num().abs().clamp(max=1.0), probabilities)


def random_path(
    seed: int, *, rows: int = 40, wildness: float = 0.08, reach: float = 1.0, several_calendars: bool = False
) -> MarketPath:
    """Prices that gap overnight, symbols that start late, pause and end, weekends, and decisions of every kind.

    With several calendars, some bars close in the row after the one they open in. Volatility and volume are unknown at
    first, and of one symbol in four for ever.
    """
    rng = np.random.default_rng(seed)
    assets = int(rng.integers(1, 6))
    gaps = rng.normal(0, wildness, (rows, assets)) + rng.choice([0.0, -0.6, 0.6], (rows, assets), p=[0.97, 0.015, 0.015])
    moves = rng.normal(0, wildness, (rows, assets))
    close = 50 * np.exp(np.cumsum(gaps + moves, axis=0))
    open_ = close * np.exp(-moves)
    mask = rng.random((rows, assets)) > 0.1
    starts = rng.integers(0, rows // 3, assets)
    ends = np.where(rng.random(assets) < 0.3, rng.integers(rows // 2, rows, assets), rows)
    row = np.arange(rows)[:, None]
    mask &= (row >= starts) & (row < ends)
    days = np.cumsum(rng.choice([1, 1, 1, 3, 4], rows))
    open_time = np.datetime64("2024-01-01", "us") + days * np.timedelta64(1, "D")
    weights = rng.uniform(-reach, reach, (rows, assets))
    weights[rng.random((rows, assets)) < 0.15] = 0.0
    weights[(rng.random((rows, assets)) < 0.4) | ~mask] = np.nan
    known = (row >= starts + 3) & (rng.random(assets) < 0.75)
    tradable = mask
    if several_calendars:
        # Such a bar opens one row earlier than it closes, unless another bar of the symbol closes in between.
        slow = mask & (rng.random((rows, assets)) < 0.3)
        slow[1:] &= ~mask[:-1]
        slow[0] = False
        tradable = mask & ~slow
        tradable[:-1] |= slow[1:]
        open_[:-1][slow[1:]] = open_[1:][slow[1:]]
    panel = make_panel(np.where(tradable, open_, np.nan), np.where(mask, close, np.nan), open_time=open_time, ended=ends < rows)
    panel = replace(
        panel,
        mask=mask,
        tradable=tradable,
        volatility=np.where(known, wildness * rng.uniform(0.5, 2.0, (rows, assets)), np.nan),
        traded_value=np.where(known, 10 ** rng.uniform(5.0, 7.0, (rows, assets)), np.nan),
    )
    return MarketPath.of(panel, weights)


random_rules = st.builds(
    make_rules,
    cost_rate=st.sampled_from([0.0, 0.0002, 0.0015, 0.003]),
    slippage=st.sampled_from([0.0, 0.0, 0.002]),
    slippage_volatility=st.sampled_from([0.04, 0.1]),
    impact=st.sampled_from([0.0, 0.0, 0.1, 0.5]),
    participation=st.sampled_from([0.1, 1.0, float("inf"), float("inf")]),
    minimum_trade=st.sampled_from([0.0, 0.0, 10_000.0]),
    margin_rate=st.sampled_from([0.0, 0.0675]),
    short_rate=st.sampled_from([0.0, 0.02]),
    cash_rate=st.sampled_from([0.0, 0.03]),
    gross_leverage=st.sampled_from([0.5, 1.0, 2.0, float("inf")]),
    symbol_cap=st.sampled_from([0.25, 0.9, float("inf")]),
    max_positions=st.sampled_from([1, 2, 3, 1000]),
    may_short=st.booleans(),
    rebalancing_band=st.sampled_from([0.0, 0.01, 0.1]),
    stop_loss=st.sampled_from([0.1, 0.25, float("inf")]),
    max_drawdown=st.sampled_from([0.1, 0.3, float("inf")]),
    breaker_cooldown=st.sampled_from([1, 2, 5]),
    bankruptcy_floor=st.sampled_from([0.0, 0.05, 0.6]),
    decision_lag=st.sampled_from([1, 2, 3]),
    capital=st.sampled_from([100_000.0, 1_000_000.0]),
)
"""Rules in every combination; thresholds are round numbers that random prices do not hit exactly."""
