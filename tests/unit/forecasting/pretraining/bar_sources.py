"""Made-up bars to pretrain on, in memory and as Parquet files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import torch

from toto_ops.features.moments import to_aware
from toto_ops.forecasting.backbones.loading import Loaded
from toto_ops.forecasting.backbones.market import MarketBackbone
from toto_ops.forecasting.config import AugmentationConfig, ForecastingConfig, MarketConfig, PretrainingConfig
from toto_ops.forecasting.pretraining.series_source import ParquetSeries, SeriesInMemory
from toto_ops.forecasting.series import series_of
from toto_ops.forecasting.spans import ForecastingSpans, forecasting_spans
from toto_ops.learning.seeds import seeded
from toto_ops.learning.splits import Span
from toto_ops.market.schema import BAR_SCHEMA

START = datetime(2020, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def bars_of(length: int, seed: int = 0, momentum: float = 0.0) -> pl.DataFrame:
    """Daily bars, `BAR_SCHEMA`, whose returns follow the one before by `momentum`."""
    rng = np.random.default_rng(seed)
    returns = 0.01 * rng.standard_normal(length)
    for bar in range(1, length):
        returns[bar] += momentum * returns[bar - 1]
    close = 100.0 * np.exp(returns.cumsum())
    width = 1.0 + 0.01 * rng.random(length)
    opens = [START + number * DAY for number in range(length)]
    return pl.DataFrame(
        {
            "open_time": opens,
            "close_time": [moment + DAY for moment in opens],
            "open": close,
            "high": close * width,
            "low": close / width,
            "close": close,
            "volume": rng.lognormal(10.0, 0.5, length),
        },
        schema=BAR_SCHEMA,
    )


def in_memory(tables: Mapping[str, pl.DataFrame]) -> SeriesInMemory:
    return SeriesInMemory([series_of(symbol, bars) for symbol, bars in tables.items()])


def in_parquet(tables: Mapping[str, pl.DataFrame], folder: Path, rows_per_group: int = 50) -> ParquetSeries:
    files = {symbol: folder / f"{symbol}.parquet" for symbol in tables}
    for symbol, bars in tables.items():
        bars.write_parquet(files[symbol], row_group_size=rows_per_group)
    return ParquetSeries(files)


def span(first: int, last: int) -> Span:
    """The span of daily bars number `first` to `last`, both included."""
    return Span(after=START + first * DAY, until=START + (last + 1) * DAY)


def spans_of(bars: pl.DataFrame, validation: float = 0.25) -> ForecastingSpans:
    close_time = bars["close_time"].to_physical().to_numpy().view("datetime64[us]")
    start, end = to_aware(close_time[[0, -1]])
    return forecasting_spans(close_time, Span(after=start - timedelta(microseconds=1), until=end), validation)


QUICK = ForecastingConfig(
    market=MarketConfig(width=16, layers=1, heads=2, window=16, patch=4, dropout=0.1),
    horizon=3,
    horizons=(1, 3),
    pretraining=PretrainingConfig(
        hidden=16,
        window=64,
        stride=32,
        epochs=4,
        patience=4,
        batch=8,
        learning_rate=0.01,
        augmentation=AugmentationConfig(jitter=0.2, mask=0.2, mirror=0.2, mixup=0.2),
    ),
)


def untrained_market(config: ForecastingConfig = QUICK) -> Loaded:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeded(config.pretraining.seed, 0))
        return Loaded(MarketBackbone(config.market, config.horizon, config.pretraining.hidden), config.market, ())
