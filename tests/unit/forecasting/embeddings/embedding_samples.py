"""A small universe of real bars, a forecaster of it with weights no training has seen, and an embedder fitted in a moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import torch

from tests.unit.features.bar_histories import DAILY, real_bars
from toto_ops.features.compute import FeatureConfig, compute_features
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.features.panel_builder import build_panel
from toto_ops.forecasting.backbones.contract import Backbone
from toto_ops.forecasting.backbones.market import MarketBackbone
from toto_ops.forecasting.backbones.statistical import StatisticalBackbone
from toto_ops.forecasting.config import EmbeddingConfig, ForecastingConfig, MarketConfig, StatisticalConfig
from toto_ops.forecasting.embeddings.embedder import EmbedderManifest, FittedEmbedder
from toto_ops.forecasting.embeddings.embedding_model import EmbeddingModel
from toto_ops.forecasting.embeddings.fitting import fit_embedder
from toto_ops.forecasting.embeddings.inputs import context_names
from toto_ops.forecasting.embeddings.network import Embedder, EmbedderShape
from toto_ops.forecasting.forecaster import Forecaster, ForecasterManifest, Network
from toto_ops.forecasting.series import BarSeries, series_of
from toto_ops.forecasting.spans import ForecastingSpans, forecasting_spans
from toto_ops.learning.splits import Span

CONFIG = ForecastingConfig(
    horizon=5,
    horizons=(1, 5),
    market=MarketConfig(width=16, layers=2, heads=2, window=8, patch=4, dropout=0.1),
    statistical=StatisticalConfig(season=5, span=10, look_back=33),
    embeddings=EmbeddingConfig(width=16, heads=2, epochs=2, batch=32),
)

COINS = ("BTCUSD", "ETHUSD", "XRPUSD")


def bars_of_coins(last: int = 320, symbols: Sequence[str] = COINS) -> pl.DataFrame:
    return real_bars(DAILY, *symbols, last=last)


def panel_of_bars(bars: pl.DataFrame) -> Panel:
    """The panel of some symbols' bars, one table of all."""
    tables = bars.partition_by("symbol", maintain_order=True)
    features = pl.concat(compute_features(table, DAILY, None, FeatureConfig()) for table in tables)
    return build_panel(features, tuple(bars["symbol"].unique()))


def series_of_bars(bars: pl.DataFrame) -> tuple[BarSeries, ...]:
    tables = bars.partition_by("symbol", maintain_order=True)
    return tuple(series_of(table["symbol"][0], table) for table in tables)


def backbone(kind: str, config: ForecastingConfig = CONFIG) -> Backbone:
    """An untrained one; its weights are those of the seed."""
    if kind == "statistical":
        return StatisticalBackbone(config.statistical)
    torch.manual_seed(3)
    return MarketBackbone(config.market, config.horizon, 16)


def forecaster(kind: str = "market", config: ForecastingConfig = CONFIG) -> Forecaster:
    """Of weights drawn at random, the head's among them: one that foretells a random walk would say the same of every bar."""
    network = Network.untrained(backbone(kind, config), config.horizon, 16)
    torch.manual_seed(4)
    torch.nn.init.normal_(network.head.out.weight, std=0.1)
    network.eval()
    manifest = ForecasterManifest(
        universe="coins",
        backbone=kind,
        backbone_config=getattr(config, kind).model_dump(mode="json"),
        backbone_identity=network.backbone.identity,
        head={"width": network.backbone.width, "hidden": 16, "horizon": config.horizon},
        symbols=COINS,
        config={},
        inputs_hash="0" * 16,
        data_hash="0" * 16,
        code_version="1",
        seed=0,
        knows_until=datetime(2020, 1, 1, tzinfo=UTC),
    )
    return Forecaster(network, manifest)


def spans_of(panel: Panel, share: float = 0.9) -> ForecastingSpans:
    """With a train span of the first share of the rows."""
    first, last = to_aware(panel.close_time[[0, int(panel.rows * share)]])
    return forecasting_spans(panel.close_time, Span(after=first, until=last), 0.25)


def fitted(
    own: Forecaster, bars: pl.DataFrame, folder: Path, config: ForecastingConfig = CONFIG, work: str = "work"
) -> FittedEmbedder:
    panel = panel_of_bars(bars)
    return fit_embedder(own, series_of_bars(bars), panel, spans=spans_of(panel), config=config, work=work, folder=folder)


def untrained(own: Forecaster, panel: Panel, symbols: tuple[str, ...], config: ForecastingConfig = CONFIG) -> FittedEmbedder:
    """An embedder with weights drawn at random: what holds for any weights needs no training."""
    shape = EmbedderShape(
        state=own.backbone.width,
        context=len(context_names(panel)),
        symbols=len(symbols),
        width=config.embeddings.width,
        heads=config.embeddings.heads,
        dropout=config.embeddings.dropout,
    )
    torch.manual_seed(5)
    manifest = EmbedderManifest(
        universe="coins",
        forecaster_identity=own.identity,
        shape=shape,
        symbols=symbols,
        context_names=context_names(panel),
        horizons=config.horizons,
        config=config.embeddings,
        work="none",
        knows_until=own.manifest.knows_until,
        epochs=0,
    )
    return FittedEmbedder(Embedder(shape).eval(), manifest)


def untrained_model(panel: Panel, kind: str = "market") -> EmbeddingModel:
    """Forecaster and embedder without specialists, for the symbols of a panel."""
    own = forecaster(kind)
    return EmbeddingModel(own, None, untrained(own, panel, panel.symbols))
