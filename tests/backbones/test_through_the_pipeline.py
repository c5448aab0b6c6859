"""Weights from elsewhere all the way: a head, specialists, embeddings and forecasts that no later bar changes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.unit.forecasting.embeddings.embedding_samples import CONFIG, bars_of_coins, panel_of_bars, series_of_bars, spans_of
from toto_ops.forecasting.backbones.loading import choose_backbone
from toto_ops.forecasting.config import ChronosConfig, ForecastingConfig, TotoConfig
from toto_ops.forecasting.embeddings.embedding_model import EmbeddingModel
from toto_ops.forecasting.embeddings.export_onnx import export_onnx
from toto_ops.forecasting.embeddings.fitting import fit_embedder
from toto_ops.forecasting.embeddings.placing import placed
from toto_ops.forecasting.embeddings.table import EmbeddingTable
from toto_ops.forecasting.embeddings.update import update_embeddings
from toto_ops.forecasting.forecaster_files import load_forecaster, save_forecaster
from toto_ops.forecasting.pretraining.pretrain import PretrainingInputs, pretrain
from toto_ops.forecasting.pretraining.series_source import SeriesInMemory
from toto_ops.forecasting.specialists.fitting import fit_specialists
from toto_ops.storage.store import ArtefactStore

RELEASED = date(2025, 10, 20)
LATER = 12
"""Bars that come afterwards."""

BARS = bars_of_coins(300)
PAST = BARS.filter(pl.col("close_time") <= BARS["close_time"].unique().sort()[-LATER - 1])


def config_for(name: str, weights: Path) -> ForecastingConfig:
    kind, section = ("toto", TotoConfig) if name == "toto" else ("chronos", ChronosConfig)
    short = CONFIG.pretraining.model_copy(update={"epochs": 1, "hidden": 16})
    chosen = {kind: section(weights=str(weights / name), context=64, released=RELEASED)}
    return CONFIG.model_copy(update={"preference": (kind,), "pretraining": short, **chosen})


def fitted(config: ForecastingConfig, folder: Path) -> EmbeddingModel:
    """Fitted on bars that have long closed, saved, and read back."""
    panel, series = panel_of_bars(BARS), series_of_bars(BARS)
    spans = spans_of(panel)
    inputs = PretrainingInputs(
        universe="coins",
        source=SeriesInMemory(series),
        spans=spans,
        loaded=choose_backbone(config, len(BARS), seed=0),
        config=config,
        data_hash="data",
        inputs_hash="inputs",
        code_version="1",
    )
    (folder / "stored").mkdir()
    save_forecaster(pretrain(inputs, folder / "checkpoints"), folder / "stored")
    forecaster = load_forecaster(folder / "stored")
    embedder = fit_embedder(forecaster, series, panel, spans=spans, config=config, work="work", folder=folder / "embedder")
    return EmbeddingModel(forecaster, fit_specialists(forecaster, series, spans, config, 0), embedder)


def table_of(model: EmbeddingModel, bars: pl.DataFrame) -> EmbeddingTable:
    panel = panel_of_bars(bars)
    return model.rows(panel, placed(panel, series_of_bars(bars)), slice(0, panel.rows))


@pytest.mark.parametrize("name", ["toto", "bolt", "chronos-2"])
def test_forecasts_and_embeddings_depend_on_no_later_bar(name: str, weights: Path, tmp_path: Path) -> None:
    model = fitted(config_for(name, weights), tmp_path)
    released = datetime(2025, 10, 21, tzinfo=UTC)
    assert model.forecaster.manifest.possibly_knows_until == model.embedder.manifest.possibly_knows_until == released
    whole, past = table_of(model, BARS), table_of(model, PAST)
    assert past.known[-LATER:].any()
    np.testing.assert_array_equal(whole.known[: len(past)], past.known)
    np.testing.assert_allclose(whole.embedding[: len(past)], past.embedding, atol=1e-4)
    np.testing.assert_allclose(whole.forecast[: len(past)], past.forecast, atol=1e-5)

    store = ArtefactStore(str(tmp_path / "store"))
    update_embeddings(store, "coins", model, panel_of_bars(PAST), series_of_bars(PAST))
    grown = update_embeddings(store, "coins", model, panel_of_bars(BARS), series_of_bars(BARS))
    assert (grown.rows_computed, grown.rows_reused) == (LATER, len(past))
    np.testing.assert_allclose(grown.table.embedding, whole.embedding, atol=1e-4)
    assert export_onnx(model, tmp_path / "embeddings.onnx").stat().st_size > 0
