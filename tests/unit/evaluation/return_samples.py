"""Panels, books and trials made of given returns, for tests of what is computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np

from toto_ops.features.panel import Panel
from toto_ops.features.state import MARKET_FEATURES
from toto_ops.learning.splits import Span, Splits
from toto_ops.training.ledger import Trial

START = datetime(2020, 1, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def open_times(rows: int) -> np.ndarray:
    return np.datetime64("2020-01-01", "us") + np.arange(rows) * np.timedelta64(1, "D")


def panel_of_returns(returns: np.ndarray, *, features: np.ndarray | None = None, **context: np.ndarray) -> Panel:
    """Daily bars of as many symbols as `[T - 1, A]` open-to-open returns have columns."""
    rows, symbols = len(returns) + 1, returns.shape[1]
    opens = 100.0 * np.cumprod(np.vstack([np.ones(symbols), 1.0 + returns]), axis=0)
    panel = Panel.of_prices(
        symbols=tuple(f"S{number}" for number in range(symbols)),
        feature_names=MARKET_FEATURES,
        open_time=open_times(rows),
        close_time=open_times(rows) + np.timedelta64(1, "D"),
        features=np.zeros((rows, symbols, len(MARKET_FEATURES)), dtype=np.float32) if features is None else features,
        mask=np.ones((rows, symbols), dtype=bool),
        open=opens,
        close=opens,
        ended=np.zeros(symbols, dtype=bool),
    )
    if not context:
        return panel
    return replace(panel, context_names=tuple(context), context=np.stack(list(context.values()), axis=-1).astype(np.float32))


def book(returns: np.ndarray, seed: int = 0, trips: int = 12) -> SimpleNamespace:
    """A backtest result with these returns and everything else drawn at random: only what figures are made of."""
    generator = np.random.default_rng(seed)
    rows, symbols = len(returns) + 1, 3
    weights = np.where(generator.random((rows, symbols)) < 0.3, 0.0, generator.normal(0.2, 0.3, (rows, symbols)))
    times = open_times(rows)
    exits = np.sort(generator.integers(1, rows, trips))
    still_open = np.arange(trips) >= trips - 2
    return SimpleNamespace(
        open_time=times,
        returns=np.asarray(returns, dtype=np.float64),
        equity=np.concatenate([[1.0], np.cumprod(1.0 + returns)]),
        weights=weights,
        exposure=np.abs(weights).sum(axis=1),
        fees=generator.random(rows) * 1e-3,
        interest=generator.normal(0, 1e-4, rows),
        turnover=generator.random(rows),
        trades=generator.integers(0, 4, rows),
        trades_made=SimpleNamespace(
            exit_time=np.where(still_open, np.datetime64("NaT", "us"), times[exits]),
            net_profit=generator.normal(0.1, 1.0, trips),
            holding_days=generator.integers(1, 30, trips).astype(np.float64),
        ),
    )


def trial(number: int, returns: Sequence[float], first_day: int = 0, configuration: str | None = None) -> Trial:
    """A trial that earned `returns` on consecutive days; of a configuration of its own unless one is named."""
    return Trial(
        trial_id=f"trial-{number}",
        universe="crypto",
        line="bc",
        config_hash=configuration or f"configuration-{number}",
        inputs_hash="i",
        split=Splits(
            train=Span(after=day(-900), until=day(-100)),
            validation=Span(after=day(-90), until=day(900)),
            test=Span(after=day(950), until=day(1200)),
        ),
        seed=number,
        returns=tuple(float(value) for value in returns),
        timestamps=tuple(day(first_day + position) for position in range(len(returns))),
        created_at=day(1300),
    )
