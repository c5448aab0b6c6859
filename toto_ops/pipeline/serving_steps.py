"""Publish the market serving answers from: a validated snapshot and its panel, together."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from toto_ops.errors import StorageError
from toto_ops.pipeline.feature_steps import panel_of
from toto_ops.pipeline.market_steps import snapshot_of
from toto_ops.pipeline.new_symbols import may_replace, note_joined
from toto_ops.pipeline.project import Project
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import Universe

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """What serving reads from now on; `published` is False where newer bars are served already."""

    published: bool
    as_of: datetime
    symbols: tuple[str, ...]


def publish_served_market(project: Project, retraining: Retraining, universe: Universe) -> Published:
    """Make this run's snapshot and panel what serving reads, unless it stands at an earlier moment than what it would replace.

    Nor does a run over some symbols replace anything but the market it added them to.
    """
    from toto_ops.serving.market_view import is_published, publish_market, read_market

    snapshot = snapshot_of(project, retraining, universe)
    newer = True
    if is_published(retraining.store, universe.name):
        try:
            served = read_market(retraining.store, universe.name).snapshot
            newer = snapshot.as_of >= served.as_of and may_replace(retraining, served)
        except StorageError as damage:
            LOGGER.warning("what served until now cannot be read and is replaced: %s", damage)
    if newer:
        publish_market(retraining.store, snapshot, panel_of(retraining)[1])
        note_joined(retraining, snapshot.symbols)
    return Published(newer, snapshot.as_of, snapshot.symbols)
