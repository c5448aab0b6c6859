"""What every contestant said at the close of each bar of a span, and what then happened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from toto_ops.learning.splits import Span

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SymbolForecasts:
    """One symbol: what was foretold at the close of each of its bars in the span.

    Attributes
    ----------
    close_time
        `[N]` `datetime64[us]`, UTC, increasing: the bars one after the other.
    quantiles
        `[C, N, K, Q]` float32 quantiles of the log return over each horizon, by contestant; NaN where there is none.
    realised
        `[N, K]` log returns that came to be; NaN where they are not known by the end of the span.
    scale
        Mean absolute change of the log close across a season of the span of the fit, what MASE divides by. NaN where there
        are too few bars to tell it, or where they do not change.
    """

    symbol: str
    close_time: NDArray[np.datetime64]
    quantiles: NDArray[np.float32]
    realised: Array
    scale: float


@dataclass(frozen=True)
class SpanForecasts:
    """All symbols of a span, and whose forecasts they are: see `ForecastEvaluation` for what is not said here.

    Attributes
    ----------
    horizons
        `K` of them, in bars.
    contestants
        `C` names, the forecaster first.
    """

    universe: str
    part: str
    span: Span
    forecaster: str
    backbone: str
    knows_until: datetime
    possibly_knows_until: datetime | None
    season: int
    horizons: tuple[int, ...]
    contestants: tuple[str, ...]
    symbols: tuple[SymbolForecasts, ...]


def realised_returns(log_close: Array, horizons: tuple[int, ...]) -> Array:
    """Log returns from each bar of `[T]` closes to those `horizons` later, `[T, K]`; NaN where there is no such bar."""
    realised = np.full((len(log_close), len(horizons)), np.nan)
    for column, horizon in enumerate(horizons):
        realised[: max(len(log_close) - horizon, 0), column] = log_close[horizon:] - log_close[:-horizon]
    return realised


def seasonal_scale(log_close: Array, season: int) -> float:
    """Mean absolute change of `[T]` log closes across `season` bars; NaN where there is no change to measure with.

    The in-sample error of the seasonal naive forecast: Hyndman and Koehler, 2006, section 3.
    """
    changes = np.abs(log_close[season:] - log_close[:-season])
    scale = float(changes.mean()) if changes.size else 0.0
    return scale if scale > 0.0 else float("nan")
