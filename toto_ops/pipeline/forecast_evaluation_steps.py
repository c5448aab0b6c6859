"""How good the forecasts of a retraining are on bars its forecaster was not fitted on, against naive forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toto_ops.configuration import VersionedModel
from toto_ops.evaluation.forecasts.documents import ForecastEvaluation
from toto_ops.pipeline.forecasting_steps import (
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
from toto_ops.pipeline.spans import spans_of, splits_of
from toto_ops.pipeline.versions import FORECAST_EVALUATION_VERSION
from toto_ops.storage.hashing import value_hash
from toto_ops.storage.manifests import stored_manifest
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.learning.splits import Span

FORECAST_EVALUATION = "forecast_evaluation"
EVALUATION_FILE = "forecasts.json"
FANS = 4
"""Symbols whose forecasts are drawn."""

FAN_COUNT = 8
"""Bars of each from which is foretold."""


class ForecastEvaluations(VersionedModel):
    """One evaluation for each span, in their order in time."""

    parts: tuple[ForecastEvaluation, ...]


@dataclass(frozen=True)
class ForecastEvaluationMade:
    """What an evaluation of forecasts found.

    Attributes
    ----------
    fans
        PNG by symbol: forecasts from several bars, and what came.
    """

    evaluations: tuple[ForecastEvaluation, ...]
    fans: dict[str, bytes]
    reused: bool

    @property
    def statement(self) -> str:
        """In words, for the newest span."""
        from toto_ops.evaluation.reports.forecast_statements import forecast_verdict

        return forecast_verdict(self.evaluations[-1])

    @property
    def skilled(self) -> bool:
        """Whether the forecaster surely beats every naive forecast at some horizon of the newest span."""
        return any(horizon.beats_all for horizon in self.evaluations[-1].pooled)


def make_forecast_evaluation(project: Project, retraining: Retraining, universe: Universe) -> ForecastEvaluationMade | NotMade:
    """Evaluate on the policies' half of train and on validation, or reuse the evaluation of the very same forecasts.

    The test span stays closed: the evaluation report opens it, and says what the forecasts came to there.
    """
    if not retraining.has(FORECASTER):
        return NO_FORECASTER
    spans, splits = spans_of(project, retraining, universe), splits_of(project, retraining, universe)
    parts = {"policies": spans.policies, "validation": splits.validation}
    inputs_hash = value_hash(
        {
            "identity": forecasts_hash(project, retraining, universe),
            "data": snapshot_of(project, retraining, universe).data_hash,
            "parts": parts,
        }
    )

    def write(folder: Path) -> None:
        found = tuple(evaluate_forecasts_on(project, retraining, universe, part, span) for part, span in parts.items())
        (folder / EVALUATION_FILE).write_text(ForecastEvaluations(parts=found).model_dump_json(indent=1))

    ref, reused = retraining.store.get_or_make(retraining.key(FORECAST_EVALUATION), inputs_hash, write)
    retraining.record(ref)
    evaluations = forecast_evaluations_of(retraining)
    return ForecastEvaluationMade(evaluations, _fans(project, retraining, universe, splits.validation), reused)


def forecast_evaluations_of(retraining: Retraining) -> tuple[ForecastEvaluation, ...]:
    """What `make_forecast_evaluation` found in this retraining.

    Raises
    ------
    StorageError
        If it has not run, or what it stored cannot be read.
    """
    path = retraining.store.local_folder(retraining.ref(FORECAST_EVALUATION)) / EVALUATION_FILE
    return stored_manifest(path, ForecastEvaluations, "evaluation of forecasts", remedy="remove this folder and retrain").parts


def forecasts_hash(project: Project, retraining: Retraining, universe: Universe) -> str:
    """Identity of what forecasts are judged: who makes them, against what, and how they are measured."""
    config = project.forecasting_of(universe)
    return value_hash(
        {
            "forecaster": retraining.ref(FORECASTER).content_hash,
            "specialists": retraining.ref(SPECIALISTS).content_hash,
            "horizons": config.horizons,
            "baselines": config.statistical,
            "bootstrap": project.gates(universe).bootstrap,
            "version": FORECAST_EVALUATION_VERSION,
        }
    )


def evaluate_forecasts_on(
    project: Project, retraining: Retraining, universe: Universe, part: str, span: Span
) -> ForecastEvaluation:
    """Forecasts of a retraining on one span; whoever names the test span has written that down before."""
    from toto_ops.evaluation.forecasts.asking import span_forecasts
    from toto_ops.evaluation.forecasts.evaluation import evaluate_forecasts

    forecaster, _ = forecaster_of(retraining)
    made = span_forecasts(
        forecaster,
        specialists_of(retraining, forecaster),
        series_in(retraining.store, snapshot_of(project, retraining, universe)),
        part=part,
        span=span,
        fit=spans_of(project, retraining, universe).fit,
        config=project.forecasting_of(universe),
    )
    return evaluate_forecasts(made, project.gates(universe).bootstrap)


def _fans(project: Project, retraining: Retraining, universe: Universe, span: Span) -> dict[str, bytes]:
    """Forecasts of some symbols from several bars of a span, drawn over what came."""
    from toto_ops.evaluation.forecasts.fans import forecast_fans
    from toto_ops.evaluation.reports.forecast_plots import fan_plot

    forecaster, _ = forecaster_of(retraining)
    specialists = specialists_of(retraining, forecaster)
    series = series_in(retraining.store, snapshot_of(project, retraining, universe))
    horizon, needed = forecaster.head.horizon, forecaster.backbone.minimum_bars
    # A symbol that came late or ended early has nothing to show in this span.
    shown = [one for one in series if len(one.between(span.after, span.until)) > horizon and len(one.until(span.after)) >= needed]
    return {one.symbol: fan_plot(forecast_fans(forecaster, specialists, one, span, FAN_COUNT)) for one in shown[:FANS]}
