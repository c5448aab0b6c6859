"""Which earlier model the next forecaster of a universe would begin from, and why none of the others."""

from __future__ import annotations

import sys
from datetime import datetime

import numpy as np
from pydantic import AwareDatetime, Field

from toto_ops.configuration import StrictModel
from toto_ops.features.moments import to_utc64
from toto_ops.pipeline.feature_steps import panel_of
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import last_retraining
from toto_ops.pipeline.spans import spans_of
from toto_ops.universes import Universe


class ReuseCandidate(StrictModel):
    """One model that there is.

    Attributes
    ----------
    score
        Recorded validation loss.
    refused
        Why a retraining would not begin from it; empty if it could.
    """

    name: str
    where: str
    kind: str | None
    score: float | None
    knows_until: AwareDatetime | None
    refused: str


class ReuseOutlook(StrictModel):
    """What there is to begin from.

    Attributes
    ----------
    begins_from
        Name of the model that the next retraining would take weights from; None: none, or reuse is off.
    """

    universe: str
    enabled: bool = Field(description="whether forecasting.yaml allows it")
    backbone: str = Field(description="kind of the backbone that would be trained")
    before: AwareDatetime | None = Field(
        description="latest close a model may know, by the spans of the last retraining; None: there was none yet"
    )
    begins_from: str | None
    candidates: tuple[ReuseCandidate, ...] = Field(description="the best first")


def reuse_outlook(project: Project, universe: Universe) -> ReuseOutlook:
    """Look for models as a retraining with new bars would; nothing that is stored changes.

    Raises
    ------
    ConfigError
        If no backbone can be used, or the configured folder is not there.
    """
    from toto_ops.forecasting.backbones.loading import choose_backbone
    from toto_ops.forecasting.forecaster import Network
    from toto_ops.forecasting.reuse.library import Beginning
    from toto_ops.registry.forecasters import forecaster_library

    config = project.forecasting_of(universe)
    fit_bars, before = _history(project, universe)
    backbone = choose_backbone(config, fit_bars, config.pretraining.seed).backbone
    network = Network.untrained(backbone, config.horizon, config.pretraining.hidden)
    listing = forecaster_library(project.registry, config.reuse).listing(Beginning(backbone.kind, before, network))
    usable = [candidate.name for candidate in listing if not candidate.refused]
    return ReuseOutlook(
        universe=universe.name,
        enabled=config.reuse.enabled,
        backbone=backbone.kind,
        before=before,
        begins_from=usable[0] if usable and config.reuse.enabled else None,
        candidates=tuple(
            ReuseCandidate(
                name=one.name,
                where=one.where,
                kind=one.record.kind,
                score=one.record.score,
                knows_until=one.record.knows_until,
                refused=one.refused,
            )
            for one in listing
        ),
    )


def _history(project: Project, universe: Universe) -> tuple[int, datetime | None]:
    """Bars to fit on and the latest close a model may know, by the last retraining; before the first, any number."""
    retraining = last_retraining(project, universe)
    if retraining is None:
        return sys.maxsize, None
    spans = spans_of(project, retraining, universe)
    panel, _ = panel_of(retraining)
    fitted = (panel.close_time > to_utc64(spans.fit.after)) & (panel.close_time <= to_utc64(spans.fit.until))
    return int(np.count_nonzero(fitted)), spans.knows_until
