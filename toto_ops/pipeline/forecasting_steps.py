"""The forecaster of a retraining, its specialists, and the embeddings of every bar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from toto_ops.errors import InsufficientDataError
from toto_ops.features.panel import Panel
from toto_ops.forecasting.embeddings.index import EMBEDDINGS
from toto_ops.market.bars import TABLE, load_bars
from toto_ops.pipeline.checkpoint_folders import checkpoint_folder
from toto_ops.pipeline.feature_steps import panel_of
from toto_ops.pipeline.market_steps import snapshot_of
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.spans import spans_of
from toto_ops.pipeline.versions import FORECASTER_VERSION, SPECIALISTS_VERSION
from toto_ops.storage.hashing import value_hash
from toto_ops.storage.refusals import PLACES, named_refusals
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import ArtefactRef, ArtefactStore
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.forecasting.backbones.loading import Loaded
    from toto_ops.forecasting.config import ForecastingConfig
    from toto_ops.forecasting.forecaster import Forecaster, ForecasterManifest
    from toto_ops.forecasting.reuse.library import StoredModel
    from toto_ops.forecasting.series import BarSeries
    from toto_ops.forecasting.specialists.specialists import Specialists
    from toto_ops.market.snapshot import Snapshot

FORECASTER = "forecaster"
SPECIALISTS = "specialist_forecaster"
EMBEDDER = "embedder"


@dataclass(frozen=True)
class ForecasterMade:
    """The generic forecaster of a retraining."""

    manifest: ForecasterManifest
    folder: Path
    reused: bool


@dataclass(frozen=True)
class NotMade:
    """Why a retraining goes on without something that only those who observe it need: there are too few bars for it."""

    reason: str


NO_FORECASTER = NotMade("this retraining made no forecaster: see the asset `forecaster`")


def series_in(store: ArtefactStore, snapshot: Snapshot) -> tuple[BarSeries, ...]:
    """Bars of every symbol of a snapshot, in its order."""
    from toto_ops.forecasting.series import series_of

    return tuple(series_of(symbol, load_bars(store, snapshot.bars_ref(symbol))) for symbol in snapshot.symbols)


@named_refusals(PLACES)
def make_forecaster(
    project: Project, retraining: Retraining, universe: Universe, note: Callable[[str], None] = lambda _: None
) -> ForecasterMade | NotMade:
    """Pretrain the forecaster of a universe, or reuse the one fitted on the same bars with the same configuration and code.

    A universe too young for one is retrained without: nothing that is judged and served depends on it but the policies that
    observe forecasts, and those then say what they lack.

    Parameters
    ----------
    note
        Told what is going on: backbones that were passed over, and every finished epoch.
    """
    import torch

    from toto_ops.forecasting.forecaster_files import load_forecaster, save_forecaster
    from toto_ops.forecasting.pretraining.pretrain import PretrainingInputs, pretrain
    from toto_ops.forecasting.pretraining.series_source import ParquetSeries

    torch.set_num_threads(project.settings.torch_threads)
    snapshot, config = snapshot_of(project, retraining, universe), project.forecasting_of(universe)
    spans = spans_of(project, retraining, universe)
    files = {symbol: _bars_file(retraining.store, snapshot, symbol) for symbol in snapshot.symbols}
    source = ParquetSeries(files)
    loaded = _loaded(config, max(len(source.rows(symbol, spans.fit)) for symbol in source.symbols))
    for passed_over in loaded.passed_over:
        note(f"{passed_over.backbone} was passed over: {passed_over.reason}")
    reuse = _model_to_reuse(project, config, loaded, spans.knows_until, snapshot.data_hash)
    inputs_hash = value_hash(
        {
            "data": snapshot.data_hash,
            "spans": [spans.fit, spans.validation],
            "config": config.model_dump(mode="json", include={"horizon", "horizons", "pretraining", "reuse"}),
            "backbone": loaded.backbone.identity,
            "released": str(loaded.backbone.released),
            # The manifest says why others were passed over: with other reasons it is another manifest.
            "passed_over": loaded.passed_over,
            "reuse": reuse.identity if reuse else None,
            "version": FORECASTER_VERSION,
        }
    )
    inputs = PretrainingInputs(
        universe=universe.name,
        source=source,
        spans=spans,
        loaded=loaded,
        config=config,
        data_hash=snapshot.data_hash,
        inputs_hash=inputs_hash,
        code_version=FORECASTER_VERSION,
        reuse=reuse,
    )

    def write(folder: Path) -> None:
        work = checkpoint_folder(project, retraining, FORECASTER, inputs_hash)
        save_forecaster(pretrain(inputs, work, lambda epoch, scores: note(f"epoch {epoch}: {scores}")), folder)

    try:
        ref, reused = retraining.store.get_or_make(retraining.key(FORECASTER), inputs_hash, write)
    except InsufficientDataError as error:
        return NotMade(str(error))
    retraining.record(ref)
    folder = retraining.store.local_folder(ref)
    made = load_forecaster(folder)
    _register(project, retraining, folder)
    return ForecasterMade(made.manifest, folder, reused)


def forecaster_of(retraining: Retraining) -> tuple[Forecaster, ArtefactRef]:
    """The generic forecaster of a retraining."""
    from toto_ops.forecasting.forecaster_files import load_forecaster

    ref = retraining.ref(FORECASTER)
    return load_forecaster(retraining.store.local_folder(ref)), ref


@dataclass(frozen=True)
class SpecialistsMade:
    """Specialists of a retraining, symbol by symbol in their table."""

    specialists: Specialists
    folder: Path
    reused: bool


@named_refusals(PLACES)
def make_specialists(project: Project, retraining: Retraining, universe: Universe) -> SpecialistsMade | NotMade:
    """Fit a specialist for every symbol in one batch; those that do not beat the generic forecaster do not serve."""
    if not retraining.has(FORECASTER):
        return NO_FORECASTER
    import torch

    from toto_ops.forecasting.specialists.files import save_specialists
    from toto_ops.forecasting.specialists.fitting import fit_specialists

    torch.set_num_threads(project.settings.torch_threads)
    snapshot, config = snapshot_of(project, retraining, universe), project.forecasting_of(universe)
    forecaster, forecaster_ref = forecaster_of(retraining)
    spans = spans_of(project, retraining, universe)
    inputs_hash = value_hash(
        {
            "forecaster": forecaster_ref.content_hash,
            "data": snapshot.data_hash,
            "spans": [spans.fit, spans.validation],
            "config": config.specialists,
            "horizons": config.horizons,
            "version": SPECIALISTS_VERSION,
        }
    )

    def write(folder: Path) -> None:
        series = series_in(retraining.store, snapshot)
        save_specialists(fit_specialists(forecaster, series, spans, config, config.pretraining.seed), folder)

    ref, reused = retraining.store.get_or_make(retraining.key(SPECIALISTS), inputs_hash, write)
    retraining.record(ref)
    return SpecialistsMade(specialists_of(retraining, forecaster), retraining.store.local_folder(ref), reused)


def specialists_of(retraining: Retraining, forecaster: Forecaster) -> Specialists:
    """The specialists of a retraining, which stand on its forecaster."""
    from toto_ops.forecasting.specialists.files import load_specialists

    return load_specialists(retraining.store.local_folder(retraining.ref(SPECIALISTS)), forecaster)


def observed_panel(retraining: Retraining) -> Panel:
    """The panel with forecasts and embeddings attached; bars without an embedding are masked."""
    from toto_ops.features.panel_forecasts import panel_with_forecasts
    from toto_ops.forecasting.embeddings.update import read_embeddings

    panel, _ = panel_of(retraining)
    table = read_embeddings(retraining.store, retraining.ref(EMBEDDINGS))
    return panel_with_forecasts(panel, table.forecast_names, table.forecast, table.embedding)


def embedding_hash_of(retraining: Retraining) -> str:
    """Identity of the embeddings and forecasts of a retraining."""
    return retraining.ref(EMBEDDINGS).content_hash


def _bars_file(store: ArtefactStore, snapshot: Snapshot, symbol: str) -> Path:
    return store.local_folder(snapshot.bars_ref(symbol)) / TABLE


def _loaded(config: ForecastingConfig, fit_bars: int) -> Loaded:
    from toto_ops.forecasting.backbones.loading import choose_backbone

    return choose_backbone(config, fit_bars, config.pretraining.seed)


def _model_to_reuse(
    project: Project, config: ForecastingConfig, loaded: Loaded, before: datetime, data_hash: str
) -> StoredModel | None:
    from toto_ops.forecasting.forecaster import Network
    from toto_ops.forecasting.reuse.library import Beginning
    from toto_ops.registry.forecasters import forecaster_library

    if not config.reuse.enabled:
        return None
    network = Network.untrained(loaded.backbone, config.horizon, config.pretraining.hidden)
    beginning = Beginning(loaded.backbone.kind, before, network, data_hash)
    return forecaster_library(project.registry, config.reuse).best(beginning)


def _register(project: Project, retraining: Retraining, folder: Path) -> None:
    from toto_ops.pipeline.provenance import provenance
    from toto_ops.registry.forecasters import register_forecaster

    register_forecaster(project.registry, folder, retraining.retrain_id, provenance(retraining))
