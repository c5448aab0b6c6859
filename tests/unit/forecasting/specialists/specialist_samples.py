"""A forecaster that knows nothing yet, and symbols whose bars hold something to learn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import torch

from toto_ops.forecasting.backbones.market import MarketBackbone
from toto_ops.forecasting.config import ForecastingConfig, MarketConfig, SpecialistConfig
from toto_ops.forecasting.forecaster import Forecaster, ForecasterManifest, Network
from toto_ops.forecasting.series import BarSeries
from toto_ops.forecasting.spans import ForecastingSpans
from toto_ops.learning.splits import Span

CONFIG = ForecastingConfig(
    market=MarketConfig(width=16, layers=1, heads=2, window=8, patch=4),
    horizon=5,
    horizons=(1, 3),
    specialists=SpecialistConfig(rank=2, steps=40, learning_rate=0.02, batch=32, margin=0.0),
)

START = datetime(2020, 1, 1, tzinfo=UTC)

MINIMUM_BARS = 36
"""Of the forecaster: a window of the scale and a patch."""


def after(bars: int) -> datetime:
    """The close of the daily bar of this number, the first one being 1."""
    return START + timedelta(days=bars)


SPANS = ForecastingSpans(
    fit=Span(after=START, until=after(200)),
    validation=Span(after=after(200), until=after(280)),
    policies=Span(after=after(280), until=after(400)),
)


def forecaster_of(seed: int = 0, config: ForecastingConfig = CONFIG) -> Forecaster:
    """A forecaster with random weights but for its last layer, which says what a random walk does."""
    torch.manual_seed(seed)
    network = Network(MarketBackbone(config.market, config.horizon, 16)).eval()
    manifest = ForecasterManifest(
        universe="sample",
        backbone="market",
        backbone_config={},
        backbone_identity=network.backbone.identity,
        head={},
        symbols=(),
        config={},
        inputs_hash="inputs",
        data_hash="data",
        code_version="1",
        seed=seed,
        knows_until=SPANS.knows_until,
    )
    return Forecaster(network, manifest)


def trending(symbol: str, bars: int = 300, seed: int = 0, drift: float = 0.03, first: int = 0) -> BarSeries:
    """Daily bars that rise by `drift` in the mean, with noise of 0.01: a random walk is a poor forecast of them."""
    return _walk(symbol, bars, seed, drift, first)


def wandering(symbol: str, bars: int = 300, seed: int = 0) -> BarSeries:
    """A random walk: the forecaster knows all there is to know."""
    return _walk(symbol, bars, seed, 0.0, 0)


def _walk(symbol: str, bars: int, seed: int, drift: float, first: int) -> BarSeries:
    draw = np.random.default_rng(seed)
    returns = drift + 0.01 * draw.standard_normal(bars)
    values = np.column_stack((3.0 + returns.cumsum(), np.abs(returns) + 0.01, 9.0 + draw.standard_normal(bars)))
    closes = np.datetime64(START.replace(tzinfo=None), "us") + np.arange(first + 1, first + bars + 1) * np.timedelta64(1, "D")
    return BarSeries(symbol, closes.astype("datetime64[us]"), values)


def states_of(forecaster: Forecaster, series: Sequence[BarSeries]) -> torch.Tensor:
    """States `[B, T, D]` of all bars of some series."""
    from toto_ops.forecasting.series import stacked

    with torch.no_grad():
        return forecaster.backbone.states(stacked(series))
