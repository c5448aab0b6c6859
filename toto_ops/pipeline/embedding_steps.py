"""Embeddings of a retraining, of the market that is served, and for export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime

from toto_ops.configuration import StrictModel
from toto_ops.errors import InsufficientDataError
from toto_ops.features.moments import to_aware
from toto_ops.features.trends import TREND_FEATURES
from toto_ops.forecasting.embeddings.index import EMBEDDINGS
from toto_ops.pipeline.checkpoint_folders import checkpoint_folder
from toto_ops.pipeline.feature_steps import panel_of
from toto_ops.pipeline.forecast_answers import retraining_with
from toto_ops.pipeline.forecasting_steps import (
    EMBEDDER,
    FORECASTER,
    NO_FORECASTER,
    SPECIALISTS,
    NotMade,
    forecaster_of,
    series_in,
    specialists_of,
)
from toto_ops.pipeline.market_steps import snapshot_of
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import last_retraining
from toto_ops.pipeline.spans import spans_of
from toto_ops.pipeline.versions import EMBEDDER_VERSION
from toto_ops.serving.market_view import read_market
from toto_ops.storage.hashing import value_hash
from toto_ops.storage.refusals import PLACES, named_refusals
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.features.panel import Panel
    from toto_ops.forecasting.embeddings.embedder import EmbedderManifest
    from toto_ops.forecasting.embeddings.embedding_model import EmbeddingModel
    from toto_ops.forecasting.embeddings.table import EmbeddingTable
    from toto_ops.forecasting.embeddings.update import Updated

PLOTTED_ROWS = 400
"""The newest rows of the panel: their embeddings are drawn."""

ExportFormat = Literal["parquet", "npz", "onnx"]


class SymbolEmbeddings(StrictModel):
    """Embeddings of one symbol: how many bars have one, and the closes of the first and the last of them."""

    symbol: str
    bars: int
    first_close: AwareDatetime | None
    last_close: AwareDatetime | None


@dataclass(frozen=True)
class EmbeddingsMade:
    """Embeddings of a retraining.

    Attributes
    ----------
    plot
        PNG of the newest of them, coloured by trend regime.
    """

    manifest: EmbedderManifest
    symbols: tuple[SymbolEmbeddings, ...]
    rows_computed: int
    rows_reused: int
    plot: bytes


@named_refusals(PLACES)
def make_embeddings(
    project: Project, retraining: Retraining, universe: Universe, note: Callable[[str], None] = lambda _: None
) -> EmbeddingsMade | NotMade:
    """Fit the embedder on what the forecaster was fitted on, and bring embeddings and forecasts of the panel up to date.

    Parameters
    ----------
    note
        Told of every finished epoch.
    """
    import torch

    if not retraining.has(FORECASTER):
        return NO_FORECASTER
    torch.set_num_threads(project.settings.torch_threads)
    try:
        _make_embedder(project, retraining, universe, note)
    except InsufficientDataError as error:
        return NotMade(str(error))
    model = embedding_model_of(retraining)
    panel, _ = panel_of(retraining)
    updated = _update(project, retraining, universe, model, panel)
    table = updated.table
    return EmbeddingsMade(
        manifest=model.embedder.manifest,
        symbols=_by_symbol(table),
        rows_computed=updated.rows_computed,
        rows_reused=updated.rows_reused,
        plot=_plot(panel, table),
    )


@named_refusals(PLACES)
def serve_embeddings(project: Project, retraining: Retraining, universe: Universe) -> Updated | NotMade:
    """Embeddings and forecasts of new bars and new symbols, by the forecaster of the last settled retraining.

    A retraining makes its own, or says why it makes none.
    """
    import torch

    last = last_retraining(project, universe)
    if retraining.has(EMBEDDINGS):
        return NotMade("this retraining made its own: see the asset `embeddings`")
    if last is None or not last.has(EMBEDDER):
        return NotMade("no settled retraining has made an embedder yet")
    torch.set_num_threads(project.settings.torch_threads)
    for name in (FORECASTER, SPECIALISTS, EMBEDDER):
        retraining.record(last.ref(name))
    panel, _ = panel_of(retraining)
    return _update(project, retraining, universe, embedding_model_of(retraining), panel)


def embedding_model_of(retraining: Retraining) -> EmbeddingModel:
    """Forecaster, specialists and embedder of a retraining."""
    from toto_ops.forecasting.embeddings.embedder import load_embedder
    from toto_ops.forecasting.embeddings.embedding_model import EmbeddingModel

    forecaster, _ = forecaster_of(retraining)
    embedder = load_embedder(retraining.store.local_folder(retraining.ref(EMBEDDER)))
    return EmbeddingModel(forecaster, specialists_of(retraining, forecaster), embedder)


class Exported(StrictModel):
    """What was written where."""

    universe: str
    file: Path
    format: ExportFormat
    description: str


@named_refusals(PLACES)
def export_served_embeddings(project: Project, universe: Universe, fmt: ExportFormat, path: Path) -> Exported:
    """Write the embeddings of the served market, brought up to date, or the model that makes them.

    Raises
    ------
    StorageError
        If nothing was retrained or served yet, or the file is there and is no such export.
    """
    from toto_ops.forecasting.embeddings.export_onnx import export_onnx
    from toto_ops.forecasting.embeddings.export_tables import export_npz, export_parquet
    from toto_ops.forecasting.embeddings.update import update_embeddings

    model = embedding_model_of(retraining_with(project, universe, FORECASTER, SPECIALISTS, EMBEDDER))
    if fmt == "onnx":
        backbone = model.forecaster.manifest.backbone
        return Exported(universe=universe.name, file=export_onnx(model, path), format=fmt, description=f"{backbone} embedder")
    market = read_market(project.store, universe.name)
    series = series_in(project.store, market.snapshot)
    table = update_embeddings(project.store, universe.name, model, market.panel, series).table
    write = export_parquet if fmt == "parquet" else export_npz
    known = int(table.known.sum())
    said = f"{known} vectors of {table.embedding.shape[-1]} numbers, {len(table.symbols)} symbols"
    return Exported(universe=universe.name, file=write(table, path), format=fmt, description=said)


def _make_embedder(project: Project, retraining: Retraining, universe: Universe, note: Callable[[str], None]) -> None:
    from toto_ops.forecasting.embeddings.embedder import save_embedder
    from toto_ops.forecasting.embeddings.fitting import fit_embedder

    forecaster, forecaster_ref = forecaster_of(retraining)
    panel, panel_ref = panel_of(retraining)
    spans, config = spans_of(project, retraining, universe), project.forecasting_of(universe)
    inputs_hash = value_hash(
        {
            "forecaster": forecaster_ref.content_hash,
            "panel": panel_ref.content_hash,
            "spans": [spans.fit, spans.validation],
            "config": config.embeddings,
            "horizons": config.horizons,
            "version": EMBEDDER_VERSION,
        }
    )

    def write(folder: Path) -> None:
        series = series_in(retraining.store, snapshot_of(project, retraining, universe))
        work = checkpoint_folder(project, retraining, EMBEDDER, inputs_hash)
        fitted = fit_embedder(
            forecaster,
            series,
            panel,
            spans=spans,
            config=config,
            work=inputs_hash,
            folder=work,
            on_epoch=lambda epoch, scores: note(f"epoch {epoch}: {scores}"),
        )
        save_embedder(fitted, folder)

    ref, _ = retraining.store.get_or_make(retraining.key(EMBEDDER), inputs_hash, write)
    retraining.record(ref)


def _update(project: Project, retraining: Retraining, universe: Universe, model: EmbeddingModel, panel: Panel) -> Updated:
    from toto_ops.forecasting.embeddings.update import update_embeddings

    series = series_in(retraining.store, snapshot_of(project, retraining, universe))
    updated = update_embeddings(retraining.store, universe.name, model, panel, series)
    retraining.record(updated.ref)
    return updated


def _by_symbol(table: EmbeddingTable) -> tuple[SymbolEmbeddings, ...]:
    made = []
    for column, symbol in enumerate(table.symbols):
        closes = to_aware(table.close_time[table.known[:, column]])
        first, last = (closes[0], closes[-1]) if closes else (None, None)
        made.append(SymbolEmbeddings(symbol=symbol, bars=len(closes), first_close=first, last_close=last))
    return tuple(made)


def _plot(panel: Panel, table: EmbeddingTable) -> bytes:
    from toto_ops.evaluation.reports.forecast_plots import embedding_plot, trend_regimes

    columns = [panel.context_names.index(name) for name in TREND_FEATURES]
    newest = slice(max(0, panel.rows - PLOTTED_ROWS), panel.rows)
    known = table.known[newest]
    return embedding_plot(table.embedding[newest][known], trend_regimes(panel.context[newest][known][:, columns]))
