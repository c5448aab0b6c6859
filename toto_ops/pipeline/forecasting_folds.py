"""A forecaster for every fold of a cross-validation: that of the retraining knows bars the folds are tested on.

It stands on the statistical backbone, which has no weights of its own: what a fold is asked is what its policies make of
forecasts, and pretraining a transformer for each would take longer than all policies together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toto_ops.errors import InsufficientDataError
from toto_ops.features.moments import to_aware, to_utc64
from toto_ops.features.panel import Panel
from toto_ops.pipeline.checkpoint_folders import checkpoint_folder
from toto_ops.pipeline.feature_steps import panel_of
from toto_ops.pipeline.forecasting_steps import series_in
from toto_ops.pipeline.market_steps import snapshot_of
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.versions import EMBEDDER_VERSION, FORECASTER_VERSION
from toto_ops.storage.hashing import value_hash
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.forecasting.config import ForecastingConfig
    from toto_ops.forecasting.spans import ForecastingSpans
    from toto_ops.learning.splits import Span
    from toto_ops.training.cross_validation import Fold
    from toto_ops.training.observed_forecasts import ObservedForecasts, Refit


def refit_on(project: Project, retraining: Retraining, universe: Universe) -> Refit:
    """What fits forecaster and embedder for one fold on the first half of its train, and asks them about every row."""
    config = project.forecasting_of(universe)
    snapshot = snapshot_of(project, retraining, universe)
    series = series_in(retraining.store, snapshot)
    panel_hash = panel_of(retraining)[1].content_hash

    def refit(panel: Panel, fold: Fold) -> ObservedForecasts:
        from toto_ops.features.panel_forecasts import panel_with_forecasts
        from toto_ops.forecasting.backbones.loading import Loaded
        from toto_ops.forecasting.backbones.statistical import StatisticalBackbone
        from toto_ops.forecasting.embeddings.embedding_model import EmbeddingModel
        from toto_ops.forecasting.embeddings.fitting import fit_embedder
        from toto_ops.forecasting.embeddings.placing import placed
        from toto_ops.forecasting.pretraining.pretrain import PretrainingInputs, pretrain
        from toto_ops.forecasting.pretraining.series_source import SeriesInMemory
        from toto_ops.training.observed_forecasts import ObservedForecasts

        spans = spans_of_fold(panel.close_time, fold, config)
        # Nothing before the stretch either: it may follow bars that the fold is tested on.
        taught = [one.between(spans.fit.after, spans.knows_until) for one in series]
        rows = panel.between(spans.fit.after, spans.knows_until)
        inputs_hash = value_hash(
            {
                "data": snapshot.data_hash,
                "panel": panel_hash,
                "spans": [spans.fit, spans.validation],
                "config": config,
                "versions": [FORECASTER_VERSION, EMBEDDER_VERSION],
            }
        )
        work = checkpoint_folder(project, retraining, "fold_forecaster", inputs_hash)
        inputs = PretrainingInputs(
            universe=universe.name,
            source=SeriesInMemory(taught),
            spans=spans,
            loaded=Loaded(StatisticalBackbone(config.statistical), config.statistical, ()),
            config=config,
            data_hash=snapshot.data_hash,
            inputs_hash=inputs_hash,
            code_version=FORECASTER_VERSION,
        )
        forecaster = pretrain(inputs, work / "forecaster")
        embedder = fit_embedder(forecaster, taught, rows, spans=spans, config=config, work=inputs_hash, folder=work / "embedder")
        model = EmbeddingModel(forecaster, None, embedder)
        table = model.rows(panel, placed(panel, series), slice(0, panel.rows))
        return ObservedForecasts(
            panel=panel_with_forecasts(panel, table.forecast_names, table.forecast, table.embedding),
            policies=spans.policies,
            knows_until=max(forecaster.manifest.knows_until, embedder.manifest.knows_until),
            possibly_knows_until=forecaster.manifest.possibly_knows_until,
            forecaster=model.identity,
        )

    return refit


def spans_of_fold(close_time: NDArray[np.datetime64], fold: Fold, config: ForecastingConfig) -> ForecastingSpans:
    """How the train span of a fold is shared between forecaster and policies.

    Where bars were left out of the forecaster's half, it has the longest stretch of that half without such a gap: a change
    across a gap is none that any market made.
    """
    from toto_ops.forecasting.spans import forecasting_spans
    from toto_ops.learning.splits import Span
    from toto_ops.training.cross_validation import fold_closes

    spans = forecasting_spans(fold_closes(close_time, fold), fold.splits.train, config.validation)
    half = Span(after=spans.fit.after, until=spans.validation.until)
    inside = _within(close_time, [half])
    given = inside & ~_within(close_time, fold.left_out)
    if np.array_equal(inside, given):
        return spans
    stretch = close_time[_longest_run(given)]
    fitted = round(len(stretch) * (1.0 - config.validation))
    if not 0 < fitted < len(stretch):
        raise InsufficientDataError(
            f"fold {fold.number} leaves {len(stretch)} bars in a row to fit a forecaster on",
            where=f"{half.after:%Y-%m-%d} to {half.until:%Y-%m-%d}",
            remedy="ask for fewer folds, or add history",
        )
    before, fit_until, until = to_aware(stretch[[0, fitted - 1, -1]])
    return replace(
        spans,
        fit=Span(after=before - timedelta(microseconds=1), until=fit_until),
        validation=Span(after=fit_until, until=until),
    )


def _within(close_time: NDArray[np.datetime64], spans: Sequence[Span]) -> NDArray[np.bool_]:
    """`[T]`: closes that lie in one of the spans."""
    within = np.zeros(len(close_time), dtype=bool)
    for span in spans:
        within |= (close_time > to_utc64(span.after)) & (close_time <= to_utc64(span.until))
    return within


def _longest_run(chosen: NDArray[np.bool_]) -> slice:
    """The longest stretch of rows one after the other that are all chosen, the first of equals."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], chosen, [False])).astype(np.int8)))
    begins, ends = edges[::2], edges[1::2]
    if not len(begins):
        return slice(0, 0)
    longest = int(np.argmax(ends - begins))
    return slice(int(begins[longest]), int(ends[longest]))
