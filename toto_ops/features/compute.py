"""All features of all symbols' own bars in one pass: bars in, features out, nothing read from after a bar's close."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from toto_ops.configuration import StrictModel
from toto_ops.features.indicators import BLOCK, LOG_RETURN, ROW, indicators, lagged_returns, log_return, moves, smoothed
from toto_ops.features.liquidity import traded_value
from toto_ops.features.regimes import RegimeConfig, known_volatility, log_volatility, regimes, usual_volatility, volatility
from toto_ops.features.sentiment import SentimentConfig, with_sentiment
from toto_ops.features.state import MARKET_FEATURES
from toto_ops.features.trends import TREND_FEATURES, TrendConfig, noise, trend_strength, trends
from toto_ops.market.health import HealthConfig, data_health
from toto_ops.market.schema import MOMENT
from toto_ops.universes import Universe

FEATURE_SCHEMA = pl.Schema(
    {"symbol": pl.String(), "open_time": MOMENT, "close_time": MOMENT, "open": pl.Float64(), "close": pl.Float64()}
    | dict.fromkeys(MARKET_FEATURES, pl.Float32())
    | dict.fromkeys(TREND_FEATURES, pl.Float32())
    | {"volatility": pl.Float64(), "log_volatility": pl.Float32(), "traded_value": pl.Float64()}
)
"""What `compute_features` returns. `volatility` is the population standard deviation of the latest log returns (as many as
`RegimeConfig.window`), `traded_value` the money usually traded in one bar."""


class FeatureConfig(StrictModel):
    """What may be chosen about features without changing the observation schema."""

    regime: RegimeConfig = RegimeConfig()
    trend: TrendConfig = TrendConfig()
    sentiment: SentimentConfig = SentimentConfig()
    health: HealthConfig = HealthConfig()


def compute_features(
    bars: pl.DataFrame, universe: Universe, sentiment: pl.DataFrame | None, config: FeatureConfig
) -> pl.DataFrame:
    """Features of every bar, as they were known at its close.

    Parameters
    ----------
    bars
        `[N]` canonical bars of any number of symbols, with `symbol`: one block per symbol, increasing in time within it.
    universe
        Whose calendar says which bars were to be expected, and whose `volume_unit` what volume counts.
    sentiment
        Published sentiment (`SENTIMENT_SCHEMA`) of any symbols, or None.

    Returns
    -------
    pl.DataFrame
        `FEATURE_SCHEMA`, `[N]` rows in the order given. A feature is null until its look-back is complete.

    Raises
    ------
    ValueError
        If the bars of a symbol are scattered or not in order.
    """
    table = _with_blocks(with_sentiment(bars, sentiment, config.sentiment))
    table = table.with_columns(data_health(table, universe, config.health), log_return().alias(LOG_RETURN))
    table = table.with_columns(moves(), *smoothed(), volatility(config.regime), noise(config.trend), traded_value(universe))
    table = table.with_columns(log_volatility(config.regime), trend_strength(config.trend))
    table = table.with_columns(*usual_volatility(config.regime))
    table = table.with_columns(*lagged_returns(), *indicators(), *regimes(config.regime))
    table = table.with_columns(*trends(config.trend), known_volatility(config.regime))
    return table.select(pl.col(name).cast(dtype) for name, dtype in FEATURE_SCHEMA.items())


def _with_blocks(bars: pl.DataFrame) -> pl.DataFrame:
    """Bars with `block`, which symbol each belongs to, and `row`, its position within the symbol."""
    symbol, position = pl.col("symbol"), pl.int_range(pl.len(), dtype=pl.UInt32)
    table = bars.with_columns(first=symbol != symbol.shift(1, fill_value=""))
    table = table.with_columns(
        # Windows over a sorted number cost a third of windows over the name.
        pl.col("first").cum_sum().cast(pl.UInt32).set_sorted().alias(BLOCK),
        (position - pl.when("first").then(position).forward_fill()).alias(ROW),
    )
    backwards = (~pl.col("first") & (pl.col("close_time").diff() <= timedelta(0))).any()
    scattered = symbol.filter("first").is_duplicated().any()
    if table.select(backwards | scattered).item():
        raise ValueError("bars must come in one block per symbol, increasing in close_time: sort by symbol and close_time")
    return table
