"""Lines of policies that observe forecasts: from which bars they may learn, and what they know through their forecaster.

A forecaster looks better on the bars it was fitted on than anywhere else, so that policies which observe it are trained on
those that follow (`toto_ops.forecasting.spans`). Folds of cross-validation observe a forecaster of their own, fitted on the
first half of the fold's train: one fitted on the whole of train would carry the bars that a fold is tested on into it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from toto_ops.errors import LookAheadError
from toto_ops.features.panel import Panel
from toto_ops.learning.splits import Span
from toto_ops.policies.contract import PolicyManifest
from toto_ops.storage.hashing import value_hash
from toto_ops.training.cross_validation import Fold, fold_inputs, fold_panel
from toto_ops.training.line import TrainingInputs


@dataclass(frozen=True)
class ObservedForecasts:
    """What a forecaster says of a market, and what it knows.

    Attributes
    ----------
    panel
        Bars with forecasts and embeddings attached (`toto_ops.features.panel_forecasts`).
    policies
        Bars of train that the policies may learn from: those the forecaster was not fitted on.
    knows_until
        Latest close that influenced forecaster or embedder.
    possibly_knows_until
        Release of weights from elsewhere in them; None where there are none.
    forecaster
        Hash of forecaster, specialists and embedder.
    """

    panel: Panel
    policies: Span
    knows_until: datetime
    possibly_knows_until: datetime | None
    forecaster: str


Refit = Callable[[Panel, Fold], ObservedForecasts]
"""Fits a forecaster for one fold, and attaches what it says to every row of the panel.

The panel is that of train and validation of the universe. Weights, scales and selection may depend on nothing but the first
half of the bars of `fold.splits.train` that the fold is given (`forecasting_spans` of `fold_closes`), and on no price of
`fold.left_out` but what features that look back carry over its end, as they do for policies (purge and embargo); what the
fitted forecaster then says of a later row may depend on all rows up to that one.
"""


def observing(inputs: TrainingInputs, forecasts: ObservedForecasts) -> TrainingInputs:
    """The inputs of a trainer whose policies observe forecasts: it learns from what the forecaster was not fitted on.

    Parameters
    ----------
    inputs
        Without forecasts.
    forecasts
        Of the rows of `inputs.panel`.

    Raises
    ------
    LookAheadError
        If the forecaster knows a bar that the policies are to learn from or to be tested on, or those bars are not of train.
    """
    train, policies = inputs.splits.train, forecasts.policies
    if forecasts.knows_until > policies.after:
        raise LookAheadError(
            f"the forecaster knows bars up to {forecasts.knows_until:%Y-%m-%d %H:%M}, and policies that observe it would learn "
            f"from bars after {policies.after:%Y-%m-%d %H:%M}",
            where=inputs.universe,
            remedy="fit the forecaster on the first half of train",
        )
    if policies.after < train.after or policies.until > train.until:
        raise LookAheadError(
            f"policies would learn from bars after {policies.after:%Y-%m-%d %H:%M} up to {policies.until:%Y-%m-%d %H:%M}, "
            f"outside of train ({train.after:%Y-%m-%d %H:%M} to {train.until:%Y-%m-%d %H:%M})",
            where=inputs.universe,
            remedy="share the train span of this universe between forecaster and policies",
        )
    return replace(
        inputs,
        panel=forecasts.panel,
        splits=inputs.splits.model_copy(update={"train": policies}),
        parents_know_until=max(filter(None, (inputs.parents_know_until, forecasts.knows_until))),
        parents_possibly_know_until=forecasts.possibly_knows_until,
        forecaster=forecasts.forecaster,
    )


def observing_fold_inputs(inputs: TrainingInputs, fold: Fold, forecasts: ObservedForecasts) -> TrainingInputs:
    """What the trainer of one fold is given (`fold_inputs`), with the forecasts that were fitted for this fold.

    Raises
    ------
    LookAheadError
        As `observing`.
    """
    shown = replace(forecasts, panel=fold_panel(forecasts.panel, fold))
    given = observing(fold_inputs(inputs, fold), shown)
    return replace(given, inputs_hash=value_hash([given.inputs_hash, forecasts.forecaster]))


def refuse_forgotten_parents(inputs: TrainingInputs, manifest: PolicyManifest) -> None:
    """Refuse a manifest that claims to know less than what its policy learned from.

    Raises
    ------
    LookAheadError
        Naming what the trainer left out.
    """
    knows, parents = manifest.knows_until, inputs.parents_know_until
    forgotten = [
        name
        for name, left_out in (
            ("knows_until", parents is not None and (knows is None or knows < parents)),
            ("possibly_knows_until", manifest.possibly_knows_until != inputs.parents_possibly_know_until),
            ("forecaster", manifest.forecaster != inputs.forecaster),
        )
        if left_out
    ]
    if forgotten:
        raise LookAheadError(
            f"the manifest of {manifest.line} leaves out what its parents know: {', '.join(forgotten)}",
            where=inputs.universe,
            remedy="let the trainer copy it from its inputs",
        )
