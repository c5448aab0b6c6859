"""The market as policies see it that observe forecasts: whose forecasts, and to whom they may be shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from toto_ops.errors import StorageError
from toto_ops.features.panel import Panel
from toto_ops.pipeline.project import Project
from toto_ops.serving.market_view import read_market
from toto_ops.storage.hashing import value_hash
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.forecasting.embeddings.embedder import EmbedderManifest
    from toto_ops.policies.contract import Policy, PolicyManifest
    from toto_ops.training.observed_forecasts import ObservedForecasts


def forecaster_hash(retraining: Retraining) -> str:
    """Hash of everything that forecasts in a retraining: whatever else it is shown, a policy trained on one observes that one."""
    from toto_ops.pipeline.forecasting_steps import EMBEDDER, FORECASTER, SPECIALISTS

    return value_hash([retraining.ref(name).content_hash for name in (FORECASTER, SPECIALISTS, EMBEDDER)])


def embedder_manifest_of(retraining: Retraining) -> EmbedderManifest:
    """What the embedder of a retraining is; what it knows, its forecaster and specialists know at most."""
    from toto_ops.forecasting.embeddings.embedder import read_embedder_manifest
    from toto_ops.pipeline.forecasting_steps import EMBEDDER

    return read_embedder_manifest(retraining.store.local_folder(retraining.ref(EMBEDDER)))


def observed_forecasts(project: Project, retraining: Retraining, universe: Universe, until: datetime) -> ObservedForecasts:
    """What the forecaster of a retraining says of the bars up to a moment, and what it knows.

    Raises
    ------
    StorageError
        If the retraining has made no embeddings yet.
    """
    from toto_ops.pipeline.forecasting_steps import observed_panel
    from toto_ops.pipeline.spans import spans_of
    from toto_ops.training.observed_forecasts import ObservedForecasts

    manifest, spans = embedder_manifest_of(retraining), spans_of(project, retraining, universe)
    return ObservedForecasts(
        panel=observed_panel(retraining).between(None, until),
        policies=spans.policies,
        knows_until=manifest.knows_until,
        possibly_knows_until=manifest.possibly_knows_until,
        forecaster=forecaster_hash(retraining),
    )


def panel_shown_to(deciders: Sequence[tuple[Policy, PolicyManifest]], panel: Panel, retraining: Retraining) -> Panel:
    """The panel as it is, or with forecasts and embeddings attached if one of those who decide on it observes them.

    Everyone is shown the same bars: those without an embedding are masked for all of them.

    Raises
    ------
    StorageError
        If one of them observes another forecaster than that of the retraining, or the retraining has made none.
    """
    from toto_ops.pipeline.forecasting_steps import observed_panel

    observers = [manifest for policy, manifest in deciders if policy.observes_forecasts()]
    if not observers:
        return panel
    present = forecaster_hash(retraining)
    for manifest in observers:
        if manifest.forecaster != present:
            raise StorageError(
                f"{manifest.line} observes forecaster {manifest.forecaster}, that of this market is {present}",
                where=retraining.universe,
                remedy=f"run `toto-ops retrain {retraining.universe}`: another forecaster says other things by the same names",
            )
    return observed_panel(retraining)


def served_panel(project: Project, universe: Universe) -> Panel:
    """The bars that are served, with forecasts and embeddings where the run that published them made some.

    Raises
    ------
    StorageError
        If nothing of the universe is served yet.
    """
    from toto_ops.forecasting.embeddings.index import EMBEDDINGS
    from toto_ops.pipeline.forecasting_steps import observed_panel

    view = read_market(project.store, universe.name)
    retraining = project.retraining(universe, view.snapshot.retrain_id)
    return observed_panel(retraining) if retraining.has(EMBEDDINGS) else view.panel
