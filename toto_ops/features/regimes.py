"""Volatility regimes: low, normal or high against what is usual for the symbol itself, known at each close."""

from __future__ import annotations

import math

import polars as pl
import polars_talib as ta
from pydantic import Field, model_validator

from toto_ops.configuration import StrictModel
from toto_ops.features.indicators import BLOCK, LOG_RETURN, ROW
from toto_ops.features.state import REGIME_FEATURES

VOLATILITY_FLOOR = 1e-6
"""Realised volatility below this is that of a standing price; its logarithm would be rounding noise."""


class RegimeConfig(StrictModel):
    """What counts as unusual volatility."""

    window: int = Field(default=20, ge=2, description="returns whose standard deviation is the volatility of a bar")
    history: int = Field(default=252, ge=2, description="trailing volatilities that say what is usual")
    minimum_history: int = Field(default=60, ge=2, description="with fewer there is no regime yet")
    threshold: float = Field(
        default=0.67, ge=0, description="deviations of log volatility; 0.67: a quarter is low, a quarter high"
    )
    minimum_change: float = Field(default=0.10, gt=0, description="smallest change of volatility that is another regime")

    @model_validator(mode="after")
    def _history_suffices(self) -> RegimeConfig:
        if self.minimum_history > self.history:
            raise ValueError(f"minimum_history ({self.minimum_history}) exceeds history ({self.history})")
        return self


def volatility(config: RegimeConfig) -> pl.Expr:
    """`volatility`: standard deviation of the last returns. Needs `log_return` and `block`."""
    return ta.stddev(pl.col(LOG_RETURN), config.window, 1.0).over(BLOCK).alias("volatility")  # type: ignore[no-any-return]


def log_volatility(config: RegimeConfig) -> pl.Expr:
    """`log_volatility`, null before there are enough returns: a symbol's first bar has none. Needs `volatility` and `row`."""
    floored = pl.col("volatility").clip(lower_bound=VOLATILITY_FLOOR)
    return pl.when(pl.col(ROW) >= config.window).then(floored.log()).alias("log_volatility")


def known_volatility(config: RegimeConfig) -> pl.Expr:
    """`volatility`, null before there are enough returns to tell it. Needs `volatility` and `row`."""
    return pl.when(pl.col(ROW) >= config.window).then("volatility").alias("volatility")


def usual_volatility(config: RegimeConfig) -> list[pl.Expr]:
    """`usual_volatility` and `volatility_spread`: trailing mean and deviation of `log_volatility`."""
    trailing = pl.col("log_volatility")
    mean = trailing.rolling_mean(config.history, min_samples=config.minimum_history).over(BLOCK)
    spread = trailing.rolling_std(config.history, min_samples=config.minimum_history, ddof=0).over(BLOCK)
    return [mean.alias("usual_volatility"), spread.alias("volatility_spread")]


def regimes(config: RegimeConfig) -> list[pl.Expr]:
    """`regime_low`, `regime_normal`, `regime_high`: one-hot Float32, null before there is enough history."""
    margin = (config.threshold * pl.col("volatility_spread")).clip(lower_bound=math.log1p(config.minimum_change))
    # A comparison with a null is null, so there is no regime where there is no usual volatility yet.
    unusual = (pl.col("log_volatility") - pl.col("usual_volatility")) / margin
    hot = dict(zip(REGIME_FEATURES, (unusual < -1, unusual.abs() <= 1, unusual > 1), strict=True))
    return [flag.cast(pl.Float32).alias(name) for name, flag in hot.items()]
