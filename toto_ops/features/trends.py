"""Trend regimes: bull, bear, volatile or sideways, known at each close.

The trend is the sign of the trailing return, as in the time-series momentum of Moskowitz, Ooi and Pedersen (Time Series
Momentum, Journal of Financial Economics 104, 2012, section 2), counted as one only if it stands out from the noise of the
bars it is made of: its t statistic, the trailing return over `volatility x sqrt(window)`, must reach `threshold`. Without a
trend, a market of unusually high volatility (`regime_high` of `toto_ops.features.regimes`) is volatile, any other sideways.
"""

from __future__ import annotations

import math

import polars as pl
import polars_talib as ta
from pydantic import Field

from toto_ops.configuration import StrictModel
from toto_ops.features.indicators import BLOCK, LOG_RETURN, ROW
from toto_ops.features.regimes import VOLATILITY_FLOOR

TREND_FEATURES = ("trend_bull", "trend_bear", "trend_volatile", "trend_sideways")
"""One-hot trend regime."""


class TrendConfig(StrictModel):
    """What counts as a trend."""

    window: int = Field(default=60, ge=2, description="returns that make up the trend: about a quarter of daily bars")
    threshold: float = Field(
        default=1.0, gt=0, description="t statistic of a trend; 1: a market without drift is bull or bear a third of the time"
    )


def noise(config: TrendConfig) -> pl.Expr:
    """`noise`: deviation of the trend's returns, NaN before there are enough. Needs `log_return` and `block`."""
    return ta.stddev(pl.col(LOG_RETURN), config.window, 1.0).over(BLOCK).alias("noise")  # type: ignore[no-any-return]


def trend_strength(config: TrendConfig) -> pl.Expr:
    """`trend_strength`: t statistic of the trailing return, null before there is one. Needs `noise` and `row`."""
    logarithm = pl.col("close").log()
    drift = logarithm - logarithm.shift(config.window)
    # A price that stands still has no trend, and one that rises by the same share at every bar has nothing else.
    error = pl.col("noise").clip(lower_bound=VOLATILITY_FLOOR) * math.sqrt(config.window)
    return pl.when(pl.col(ROW) >= config.window).then(drift / error).alias("trend_strength")


def trends(config: TrendConfig) -> list[pl.Expr]:
    """`trend_*`: one-hot Float32, null before volatility has a regime. Needs `trend_strength` and `regime_high`."""
    strength, high = pl.col("trend_strength"), pl.col("regime_high") == 1.0
    bull, bear = strength >= config.threshold, strength <= -config.threshold
    still = ~bull & ~bear
    known = strength.is_not_null() & high.is_not_null()
    hot = dict(zip(TREND_FEATURES, (bull, bear, still & high, still & ~high), strict=True))
    return [pl.when(known).then(flag.cast(pl.Float32)).alias(name) for name, flag in hot.items()]
