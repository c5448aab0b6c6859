"""Forecasts of made-up symbols, of known quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from toto_ops.evaluation.forecasts.span_forecasts import SpanForecasts, SymbolForecasts, realised_returns, seasonal_scale
from toto_ops.forecasting.quantiles import NORMAL_QUANTILES
from toto_ops.learning.splits import Span

START = datetime(2020, 1, 1, tzinfo=UTC)
CONTESTANTS = ("forecaster", "seasonal_naive", "drift", "ewma")
HORIZONS = (1, 5)
SIGMA = 0.02


def moments(bars: int) -> np.ndarray:
    return np.datetime64("2020-01-01", "us") + np.arange(1, bars + 1) * np.timedelta64(1, "D")


def normal(median: np.ndarray, deviation) -> np.ndarray:
    """Quantiles `[..., Q]` of a normal distribution."""
    return median[..., None] + np.asarray(deviation)[..., None] * np.array(NORMAL_QUANTILES)


def made_up(
    symbol: str, *, skill: float, bars: int = 400, seed: int = 0, horizons: tuple[int, ...] = HORIZONS
) -> SymbolForecasts:
    """A random walk, of which the forecaster knows a share of what comes; EWMA knows the volatility alone, and the others less.

    `skill` 0 foretells noise with the spread of the walk; below 0 the noise is twice as wide as it says.
    """
    generator = np.random.default_rng(seed)
    log_close = np.cumsum(generator.normal(0.0, SIGMA, bars))
    realised = realised_returns(log_close, horizons)
    deviation = SIGMA * np.sqrt(horizons)
    noise = generator.normal(0.0, 1.0, (3, *realised.shape)) * deviation
    share = max(skill, 0.0)
    own = normal(np.nan_to_num(realised) * share + 0.1 * noise[0], deviation * np.sqrt(1 - share**2))
    own = own if skill >= 0 else normal(2.0 * noise[0], deviation)
    rivals = normal(noise[1], deviation * 1.5), normal(0.2 * noise[2], deviation), normal(np.zeros(realised.shape), deviation)
    quantiles = np.stack([own, *rivals]).astype(np.float32)
    return SymbolForecasts(symbol, moments(bars), quantiles, realised, seasonal_scale(log_close, 5))


def span_of(symbols: Sequence[SymbolForecasts], *, horizons: tuple[int, ...] = HORIZONS, **changes) -> SpanForecasts:
    bars = max(len(one.close_time) for one in symbols)
    span = SpanForecasts(
        universe="controls",
        part="test",
        span=Span(after=START, until=START + timedelta(days=bars)),
        forecaster="abc123",
        backbone="market",
        knows_until=START,
        possibly_knows_until=None,
        season=5,
        horizons=horizons,
        contestants=CONTESTANTS,
        symbols=tuple(symbols),
    )
    return replace(span, **changes)
