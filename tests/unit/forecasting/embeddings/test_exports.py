"""Embeddings for other programs: the same numbers, whole files, and nothing overwritten that is not an export."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
import torch

from tests.unit.forecasting.embeddings.embedding_samples import (
    CONFIG,
    bars_of_coins,
    forecaster,
    panel_of_bars,
    series_of_bars,
    untrained,
)
from toto_ops.errors import StorageError
from toto_ops.features.clock import CLOCK_FEATURES, clock
from toto_ops.features.panel import Panel
from toto_ops.forecasting.embeddings import export_onnx as exporting
from toto_ops.forecasting.embeddings.embedding_model import EmbeddingModel
from toto_ops.forecasting.embeddings.export_onnx import export_onnx, run_onnx
from toto_ops.forecasting.embeddings.export_tables import export_npz, export_parquet
from toto_ops.forecasting.embeddings.inputs import context_of, symbol_numbers
from toto_ops.forecasting.embeddings.placing import placed
from toto_ops.forecasting.embeddings.table import EmbeddingTable
from toto_ops.forecasting.series import VARIATES, BarSeries, stacked

SHALLOW = CONFIG.model_copy(update={"market": CONFIG.market.model_copy(update={"layers": 1})})
"""A network that torch.export is done with in a moment."""

LATEST = slice(-1, None)


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return bars_of_coins(150)


@pytest.fixture(scope="module")
def panel(bars: pl.DataFrame) -> Panel:
    return panel_of_bars(bars)


@pytest.fixture(scope="module")
def series(bars: pl.DataFrame) -> tuple[BarSeries, ...]:
    """One symbol has just become old enough, one not yet."""
    whole = series_of_bars(bars)
    minimum = forecaster(config=SHALLOW).backbone.minimum_bars
    return (whole[0], whole[1].take(slice(-minimum, None)), whole[2].take(slice(1 - minimum, None)))


def model_of(kind: str, panel: Panel) -> EmbeddingModel:
    own = forecaster(kind, SHALLOW)
    # Fitted on two of the three: the third is unknown.
    return EmbeddingModel(own, None, untrained(own, panel, panel.symbols[:2], SHALLOW))


@pytest.fixture(scope="module")
def model(panel: Panel) -> EmbeddingModel:
    return model_of("market", panel)


@pytest.fixture(scope="module")
def table(model: EmbeddingModel, panel: Panel, series: tuple[BarSeries, ...]) -> EmbeddingTable:
    return model.rows(panel, placed(panel, series), slice(0, panel.rows))


@pytest.fixture(scope="module")
def onnx_file(model: EmbeddingModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(model, tmp_path_factory.mktemp("onnx") / "embeddings.onnx")


def surroundings(panel: Panel, model: EmbeddingModel) -> tuple[np.ndarray, ...]:
    """What the graph takes beside bars or states, of the newest row."""
    return (
        context_of(panel, LATEST)[0],
        clock(panel.close_time[LATEST])[0],
        symbol_numbers(panel.symbols, model.embedder.manifest.symbols).numpy(),
        panel.mask[-1],
    )


def test_onnx_makes_the_embeddings_of_the_newest_bars_from_bars_alone(
    onnx_file: Path, model: EmbeddingModel, panel: Panel, series: tuple[BarSeries, ...], table: EmbeddingTable
) -> None:
    window = int(onnx.load(onnx_file).graph.input[0].type.tensor_type.shape.dim[2].dim_value)
    values = np.full((len(series), len(VARIATES), window), np.nan)
    for symbol, one in zip(values, series, strict=True):
        recent = one.values[-window:].T
        symbol[:, window - recent.shape[1] :] = recent
    got = run_onnx(onnx_file, values, *surroundings(panel, model))
    np.testing.assert_allclose(got, table.embedding[-1], atol=1e-4)
    assert np.isnan(got).all(axis=-1).tolist() == [False, False, True]
    alone = run_onnx(onnx_file, values[:1], *(part[:1] if len(part) == 3 else part for part in surroundings(panel, model)))
    assert alone.shape == (1, CONFIG.embeddings.width)
    assert np.isfinite(alone).all()


def test_onnx_says_what_it_is_and_takes(onnx_file: Path, model: EmbeddingModel) -> None:
    properties = {entry.key: entry.value for entry in onnx.load(onnx_file).metadata_props}
    manifest = model.embedder.manifest
    assert properties["takes"] == "bars"
    assert properties["backbone"] == "market"
    assert properties["symbols"] == ",".join(manifest.symbols)
    assert properties["context"] == ",".join(manifest.context_names)
    assert properties["clock"] == ",".join(CLOCK_FEATURES)
    assert properties["knows_until"] == manifest.knows_until.isoformat()


def test_onnx_of_a_backbone_from_elsewhere_takes_its_states(panel: Panel, bars: pl.DataFrame, tmp_path: Path) -> None:
    # The statistical backbone has no weights to put into a graph, as those from elsewhere have none that are ours.
    model, series = model_of("statistical", panel), series_of_bars(bars)
    path = export_onnx(model, tmp_path / "embeddings.onnx")
    assert {entry.key: entry.value for entry in onnx.load(path).metadata_props}["takes"] == "states"
    expected = model.rows(panel, placed(panel, series), slice(panel.rows - 1, panel.rows)).embedding[0]
    states = np.concatenate([model.forecaster.backbone.latest_states(stacked([one]), 1)[:, 0].numpy() for one in series])
    np.testing.assert_allclose(run_onnx(path, states, *surroundings(panel, model)), expected, atol=1e-4)


def test_onnx_of_other_weights_is_not_written(
    onnx_file: Path, model: EmbeddingModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = deepcopy(model)
    with torch.no_grad():
        other.embedder.network.clock.weight *= 1.1
    monkeypatch.setattr(exporting, "write_onnx", lambda *given, **_: given[2].write_bytes(onnx_file.read_bytes()))
    with pytest.raises(StorageError, match="is not the embedding model"):
        export_onnx(other, tmp_path / "embeddings.onnx")
    assert not list(tmp_path.iterdir())


def test_parquet_has_a_row_for_every_embedding(table: EmbeddingTable, tmp_path: Path) -> None:
    frame = pl.read_parquet(export_parquet(table, tmp_path / "embeddings.parquet"))
    assert frame.height == table.known.sum() > 0
    vectors = frame.select(f"e{place}" for place in range(CONFIG.embeddings.width)).to_numpy()
    np.testing.assert_array_equal(vectors, table.embedding[table.known])
    np.testing.assert_array_equal(frame.select(table.forecast_names).to_numpy(), table.forecast[table.known])
    newest = frame.filter(pl.col("close_time") == frame["close_time"].max())
    assert newest["symbol"].to_list() == [symbol for symbol, known in zip(table.symbols, table.known[-1], strict=True) if known]


def test_npz_is_read_without_pickles_and_keeps_what_is_unknown_unknown(table: EmbeddingTable, tmp_path: Path) -> None:
    with np.load(export_npz(table, tmp_path / "embeddings.npz"), allow_pickle=False) as arrays:
        assert tuple(arrays["symbols"]) == table.symbols
        assert tuple(arrays["forecast_names"]) == table.forecast_names
        np.testing.assert_array_equal(arrays["close_time"], table.close_time)
        np.testing.assert_array_equal(arrays["embedding"], table.embedding)
        np.testing.assert_array_equal(arrays["forecast"], table.forecast)
        assert np.isnan(arrays["embedding"]).any()


WRITERS: dict[str, Callable[[EmbeddingTable, Path], Path]] = {"parquet": export_parquet, "npz": export_npz}


@pytest.mark.parametrize("kind", WRITERS)
def test_an_export_replaces_an_export_and_nothing_else(kind: str, table: EmbeddingTable, tmp_path: Path) -> None:
    path = tmp_path / f"embeddings.{kind}"
    WRITERS[kind](table, path)
    WRITERS[kind](table, path)
    assert list(tmp_path.iterdir()) == [path]
    foreign = {"text": b"notes of a week", "nothing": b""}
    for content in foreign.values():
        path.write_bytes(content)
        with pytest.raises(StorageError, match="is no export"):
            WRITERS[kind](table, path)
        assert path.read_bytes() == content


def test_data_of_others_in_the_same_format_is_not_replaced(table: EmbeddingTable, model: EmbeddingModel, tmp_path: Path) -> None:
    pl.DataFrame({"profit": [1.0]}).write_parquet(tmp_path / "results.parquet")
    np.savez(tmp_path / "results.npz", profit=np.ones(1))
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "policy", [], [])), tmp_path / "policy.onnx")
    (tmp_path / "folder.npz").mkdir()
    for write in (
        lambda: export_parquet(table, tmp_path / "results.parquet"),
        lambda: export_npz(table, tmp_path / "results.npz"),
        lambda: export_npz(table, tmp_path / "folder.npz"),
        lambda: export_onnx(model, tmp_path / "policy.onnx"),
    ):
        with pytest.raises(StorageError, match="is no export"):
            write()


def test_a_folder_that_cannot_be_is_named_with_what_to_do(table: EmbeddingTable, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("in the way")
    path = tmp_path / "a file" / "embeddings.npz"
    with pytest.raises(StorageError, match=r"cannot be written .*--output") as refused:
        export_npz(table, path)
    assert refused.value.where == str(path)
