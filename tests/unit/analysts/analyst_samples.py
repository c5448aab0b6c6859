"""States and panels the analysts' tests are about: one trending market, one account, features set by name."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from toto_ops.analysts.strategy import StrategyConfig, load_strategy
from toto_ops.configuration import PROJECT_ROOT
from toto_ops.features.panel import Panel
from toto_ops.features.state import MARKET_FEATURES, RETURN_LAGS, STATE_FEATURES
from toto_ops.simulation.rules import TradingRules

CONFIG_DIR = PROJECT_ROOT / "deploy" / "config"

QUIET = {
    "rsi": 0.5,
    "bollinger_width": 0.1,
    "volume_ratio": 1.0,
    "cash": 1.0,
    "days_since_trade": 1.0,
    "regime_normal": 1.0,
    "data_health": 1.0,
}
"""A flat account in a market that goes nowhere, in sound data."""

RISING = QUIET | {f"return_{lag}": 0.005 for lag in range(1, RETURN_LAGS + 1)} | {"rsi": 0.7, "macd_signal": 0.02}
FALLING = QUIET | {f"return_{lag}": -0.005 for lag in range(1, RETURN_LAGS + 1)} | {"rsi": 0.3, "macd_signal": -0.02}


def make_state(*settings: dict[str, float], **features: float) -> Tensor:
    """A state `[34]`: later settings win, what is not set is 0."""
    merged: dict[str, float] = {}
    for setting in settings:
        merged |= setting
    merged |= features
    unknown = merged.keys() - set(STATE_FEATURES)
    assert not unknown, f"no such features: {unknown}"
    return torch.tensor([merged.get(name, 0.0) for name in STATE_FEATURES])


def make_strategy(**sections: dict[str, object]) -> StrategyConfig:
    """The bundled strategy with some keys of some sections changed."""
    content = load_strategy(CONFIG_DIR).model_dump(mode="json")
    for section, changes in sections.items():
        content[section] |= changes
    return StrategyConfig.model_validate(content)


def make_rules(**changes: float | bool) -> TradingRules:
    settings: dict[str, float | bool] = {
        "cost_rate": 0.001,
        "margin_rate": 0.0675,
        "short_rate": 0.02,
        "cash_rate": 0.0,
        "gross_leverage": 2.0,
        "symbol_cap": 0.25,
        "max_positions": 10,
        "w_max": 0.2,
        "may_short": False,
        "rebalancing_band": 0.01,
        "stop_loss": 0.25,
        "max_drawdown": 0.3,
        "breaker_cooldown": 20,
        "bankruptcy_floor": 0.05,
        "decision_lag": 1,
    }
    return TradingRules(**{**settings, **changes})  # type: ignore[arg-type]


def states() -> st.SearchStrategy[Tensor]:
    """Any plausible state: one regime or none, features within their documented ranges, a long account."""
    unit = st.floats(0, 1, width=32)
    signed = st.floats(-1, 1, width=32)
    ranges = {
        "rsi": unit,
        "macd_signal": st.floats(-0.125, 0.125, width=32),
        "bollinger_width": st.floats(0, 2, width=32),
        "volume_ratio": st.floats(0, 10, width=32),
        "position": unit,
        "leverage": st.floats(0, 2, width=32),
        "cash": signed,
        "days_since_trade": unit,
        "data_health": unit,
        "news_sentiment": signed,
        "macro_sentiment": signed,
    }
    returns = {f"return_{lag}": st.floats(-0.5, 0.5, width=32) for lag in range(1, RETURN_LAGS + 1)}
    regime = st.sampled_from([{}, {"regime_low": 1.0}, {"regime_normal": 1.0}, {"regime_high": 1.0}])
    return st.builds(make_state, st.fixed_dictionaries(returns | ranges), regime)


def make_panel(log_returns: NDArray[np.float64], *, listed_from: tuple[int, ...] | None = None) -> Panel:
    """Daily panel of `[T, A]` returns with returns, RSI-like strength and width in proportion, and one regime.

    `listed_from` gives the first row each symbol trades in; before it is masked.
    """
    rows, assets = log_returns.shape
    price = 100.0 * np.exp(np.cumsum(log_returns, axis=0))
    features = np.zeros((rows, assets, len(MARKET_FEATURES)), dtype=np.float32)
    for lag in range(RETURN_LAGS):
        features[lag:, :, lag] = log_returns[: rows - lag]
    momentum = features[..., :RETURN_LAGS].sum(axis=-1)
    for name, values in {
        "rsi": 0.5 + 0.4 * np.tanh(5 * momentum),
        "macd_signal": 0.3 * momentum,
        "bollinger_width": 0.1,
        "volume_ratio": 1.0,
        "regime_normal": 1.0,
        "data_health": 1.0,
    }.items():
        features[..., MARKET_FEATURES.index(name)] = values
    mask = np.arange(rows)[:, None] >= np.array(listed_from or (0,) * assets)
    start = np.datetime64("2024-01-01", "us") + np.arange(rows) * np.timedelta64(1, "D")
    return Panel.of_prices(
        symbols=tuple(f"S{asset}" for asset in range(assets)),
        feature_names=MARKET_FEATURES,
        open_time=start,
        close_time=start + np.timedelta64(1, "D"),
        features=np.where(mask[..., None], features, np.float32(0)),
        mask=mask,
        open=np.where(mask, price * np.exp(-log_returns / 2), np.nan),
        close=np.where(mask, price, np.nan),
        ended=np.zeros(assets, dtype=bool),
    )


def swinging_panel(rows: int = 240, assets: int = 3) -> Panel:
    """Symbols that trend up and down in turn, each out of step with the others; the last is listed late."""
    time = np.arange(rows)[:, None]
    noise = np.random.default_rng(7).normal(0, 0.004, (rows, assets))
    returns = 0.008 * np.sin(2 * np.pi * (time / 70 + np.arange(assets) / assets)) + noise
    return make_panel(returns, listed_from=(*(0,) * (assets - 1), rows // 3))
