"""Publish the market serving answers from: a validated snapshot and its panel, together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from toto_ops.errors import StorageError
from toto_ops.pipeline.feature_steps import panel_of
from toto_ops.pipeline.market_steps import snapshot_of
from toto_ops.pipeline.project import Project
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import Universe


@dataclass(frozen=True)
class Published:
    """What serving reads from now on; `published` is False where newer bars are served already."""

    published: bool
    as_of: datetime
    symbols: tuple[str, ...]


def publish_served_market(project: Project, retraining: Retraining, universe: Universe) -> Published:
    """Make this run's snapshot and panel what serving reads, unless it stands at an earlier moment than what it would replace."""
    from toto_ops.serving.market_view import publish_market, read_market

    snapshot = snapshot_of(project, retraining, universe)
    try:
        served_as_of: datetime | None = read_market(retraining.store, universe.name).snapshot.as_of
    except StorageError:  # nothing published yet, or it cannot be read: in both cases this one takes its place
        served_as_of = None
    newer = served_as_of is None or snapshot.as_of >= served_as_of
    if newer:
        publish_market(retraining.store, snapshot, panel_of(retraining)[1])
    return Published(newer, snapshot.as_of, snapshot.symbols)
