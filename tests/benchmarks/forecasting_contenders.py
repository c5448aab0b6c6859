"""The markets of the forecasting benchmark, its untrained models, and who gives the bars of a symbol their states."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl
import torch
from contenders import Market
from torch import Tensor

from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.features.panel import Panel
from toto_ops.forecasting.backbones.loading import choose_backbone
from toto_ops.forecasting.backbones.market import MarketBackbone
from toto_ops.forecasting.config import ForecastingConfig, TotoConfig, load_forecasting
from toto_ops.forecasting.embeddings.embedder import EmbedderManifest, FittedEmbedder
from toto_ops.forecasting.embeddings.embedding_model import EmbeddingModel
from toto_ops.forecasting.embeddings.inputs import context_names
from toto_ops.forecasting.embeddings.network import Embedder, EmbedderShape
from toto_ops.forecasting.forecaster import Forecaster, ForecasterManifest, Network
from toto_ops.forecasting.pretraining.pretrain import PretrainingInputs
from toto_ops.forecasting.pretraining.series_source import SeriesInMemory
from toto_ops.forecasting.series import BarSeries, series_of
from toto_ops.forecasting.spans import ForecastingSpans, forecasting_spans
from toto_ops.learning.splits import SplitConfig, make_splits
from toto_ops.market.calendars import with_bar_times
from toto_ops.market.sources import open_source
from toto_ops.pipeline.project import Project

CONFIG_DIR = PROJECT_ROOT / "deploy" / "config"

MANY = Market("500 symbols, daily, 24/7", 500, "24/7", "1d")

WINDOWS_ALONE, WINDOWS_TOGETHER = 100, 512
"""Bars that are given states by a window of their own: what one of them costs does not depend on how many there are."""


def shipped() -> ForecastingConfig:
    """The profile that is delivered."""
    return load_forecasting(CONFIG_DIR)


def bundled_stocks() -> tuple[BarSeries, ...]:
    """The bundled shares, whole."""
    universe = Project(Settings(config_dir=CONFIG_DIR, env="local")).universe("stocks")
    source = open_source(universe)
    return tuple(series_of(symbol, with_bar_times(source.read(symbol), universe)) for symbol in source.discover().symbols)


def many_bars(last: int) -> pl.DataFrame:
    """The last bars of 500 random walks."""
    bars = MANY.bars()
    return bars.filter(pl.col("close_time").rank("dense", descending=True) <= last)


def many_series(bars: pl.DataFrame) -> tuple[BarSeries, ...]:
    return tuple(series_of(table["symbol"][0], table) for table in bars.partition_by("symbol", maintain_order=True))


def spans_of(series: Sequence[BarSeries], config: ForecastingConfig) -> ForecastingSpans:
    """As a retraining shares its train span, of symbols that trade on the same days."""
    closes = max(series, key=len).close_time
    return forecasting_spans(closes, make_splits(closes, SplitConfig()).train, config.validation)


def untrained(config: ForecastingConfig, spans: ForecastingSpans, series: Sequence[BarSeries]) -> Forecaster:
    """A forecaster on the market backbone with weights as drawn: training would change no time that is taken of it."""
    torch.manual_seed(0)
    network = Network(MarketBackbone(config.market, config.horizon, config.pretraining.hidden)).eval()
    manifest = ForecasterManifest(
        universe="bench",
        backbone="market",
        backbone_config=config.market.model_dump(mode="json"),
        backbone_identity=network.backbone.identity,
        head={},
        symbols=tuple(one.symbol for one in series),
        config={},
        inputs_hash="bench",
        data_hash="bench",
        code_version="bench",
        seed=0,
        knows_until=spans.knows_until,
    )
    return Forecaster(network, manifest)


@dataclass(frozen=True)
class Contender:
    """One way to give bars their states.

    Attributes
    ----------
    states
        Gives states to `bars` bars.
    """

    name: str
    bars: int
    states: Callable[[], Tensor]


def of_one_pass(backbone: MarketBackbone, x: Tensor) -> Contender:
    """What the product does: every bar of every series from one pass over them."""
    return Contender("market, one pass", int(torch.isfinite(x[:, 0]).sum()), lambda: backbone.states(x))


def of_windows(backbone: MarketBackbone, x: Tensor) -> Contender:
    """A window of its own for each bar, one after the other: as long as what a state depends on, and no longer."""

    def states() -> Tensor:
        ends = range(x.shape[-1] - WINDOWS_ALONE, x.shape[-1])
        windows = [x[:1, :, end + 1 - backbone.receptive_bars : end + 1] for end in ends]
        return torch.cat([backbone.states(window)[:, -1] for window in windows])

    return Contender("market, a window for each bar", WINDOWS_ALONE, states)


def of_windows_together(backbone: MarketBackbone, x: Tensor) -> Contender:
    """Likewise, many windows in one batch."""
    windows = x[0].unfold(-1, backbone.receptive_bars, 1)[:, -WINDOWS_TOGETHER:].movedim(1, 0)
    return Contender("market, windows in a batch", WINDOWS_TOGETHER, lambda: backbone.states(windows)[:, -1])


def check_same_states(backbone: MarketBackbone, x: Tensor) -> float:
    """Largest difference between the states of one pass and those of windows.

    Raises
    ------
    AssertionError
        If it is more than float32 explains.
    """
    whole = backbone.states(x[:1])[0]
    differences = [
        float((contender.states() - whole[-contender.bars :]).abs().max())
        for contender in (of_windows(backbone, x), of_windows_together(backbone, x))
    ]
    if max(differences) > 1e-3:
        raise AssertionError(f"states of one pass and of windows differ by {max(differences)}")
    return max(differences)


def toto_4m(x: Tensor) -> tuple[Contender, int]:
    """Toto 2.0 in the size of its smallest published model, with random weights, and how many those are.

    Raises
    ------
    ImportError
        If the package is not installed.
    """
    from toto2 import Toto2Model, Toto2ModelConfig

    from toto_ops.forecasting.backbones.toto import TotoBackbone

    config = Toto2ModelConfig(
        patch_size=32,
        d_model=256,
        num_heads=4,
        num_layers=4,
        layer_group_size=4,
        num_variate_layers_per_group=1,
        variate_layer_first=False,
        residual_attn_ratio=Toto2ModelConfig.compute_residual_attn_ratio(4096, 32),
    )
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        Toto2Model(config).save_pretrained(folder)
        section = TotoConfig.model_validate({"weights": folder, "released": "2026-05-14"})
        backbone = TotoBackbone(section)
    weights = sum(parameter.numel() for parameter in backbone.parameters())
    return Contender("toto, 4m with random weights", x.shape[-1], lambda: backbone.states(x[:1])), weights


def yesterday(bars: pl.DataFrame) -> pl.DataFrame:
    """Without the newest day."""
    return bars.filter(pl.col("close_time") < bars["close_time"].max())


def embedding_model(config: ForecastingConfig, series: Sequence[BarSeries], panel: Panel) -> EmbeddingModel:
    """A forecaster and an embedder with weights as drawn."""
    spans = spans_of(series, config)
    forecaster = untrained(config, spans, series)
    shape = EmbedderShape(
        state=forecaster.backbone.width,
        context=len(context_names(panel)),
        symbols=len(panel.symbols),
        width=config.embeddings.width,
        heads=config.embeddings.heads,
        dropout=config.embeddings.dropout,
    )
    manifest = EmbedderManifest(
        universe="bench",
        forecaster_identity=forecaster.identity,
        shape=shape,
        symbols=panel.symbols,
        context_names=context_names(panel),
        horizons=config.horizons,
        config=config.embeddings,
        work="bench",
        knows_until=spans.knows_until,
        epochs=0,
    )
    return EmbeddingModel(forecaster, None, FittedEmbedder(Embedder(shape).eval(), manifest))


def pretraining_inputs(config: ForecastingConfig, series: Sequence[BarSeries]) -> PretrainingInputs:
    """What a retraining would pretrain the market backbone with, from weights as drawn."""
    own = config.model_copy(update={"preference": ("market",)})
    spans = spans_of(series, own)
    source = SeriesInMemory(series)
    fit_bars = max(len(source.rows(symbol, spans.fit)) for symbol in source.symbols)
    return PretrainingInputs(
        universe="bench",
        source=source,
        spans=spans,
        loaded=choose_backbone(own, fit_bars, own.pretraining.seed),
        config=own,
        data_hash="bench",
        inputs_hash="bench",
        code_version="bench",
    )
