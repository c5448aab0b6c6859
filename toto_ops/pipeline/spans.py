"""Which bars of a retraining are for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toto_ops.pipeline.feature_steps import panel_of
from toto_ops.pipeline.market_steps import snapshot_of
from toto_ops.pipeline.project import Project
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.forecasting.spans import ForecastingSpans
    from toto_ops.learning.splits import Splits


def splits_of(project: Project, retraining: Retraining, universe: Universe) -> Splits:
    """The spans of a universe: one set for every symbol, line and scaler.

    By share of the span, unless `training.yaml` gives explicit windows or the source keeps its test bars in a folder of
    their own; then train and validation share what comes before, in their configured proportion.
    """
    from toto_ops.learning.splits import make_splits

    panel, _ = panel_of(retraining)
    boundary = snapshot_of(project, retraining, universe).train_folders_until
    return make_splits(panel.close_time, project.split_settings(universe).with_test_after(boundary, panel.close_time))


def spans_of(project: Project, retraining: Retraining, universe: Universe) -> ForecastingSpans:
    """Which part of train forecaster and embedder learn from, and which is left to the policies that observe them."""
    from toto_ops.forecasting.spans import forecasting_spans

    panel, _ = panel_of(retraining)
    train = splits_of(project, retraining, universe).train
    return forecasting_spans(panel.close_time, train, project.forecasting.validation)
