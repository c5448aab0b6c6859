"""`toto-ops forecasters`: the models a retraining could begin from, which one it would, and why none of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from toto_ops.cli.console import OUT, AsJson, errors_shown, print_json, print_records

if TYPE_CHECKING:
    from toto_ops.pipeline.forecaster_reuse import ReuseCandidate, ReuseOutlook


def forecasters(
    universe: Annotated[str | None, typer.Option(help="One universe; all by default.")] = None, as_json: AsJson = False
) -> None:
    """List registered forecasters and those of the folder `reuse.folder`, the best first, as a retraining would see them.

    Nothing is trained, and nothing that is stored changes.
    """
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.forecaster_reuse import reuse_outlook
    from toto_ops.pipeline.project import Project

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        chosen = [project.universe(universe)] if universe else list(project.universes.universes.values())
        outlooks = [reuse_outlook(project, one) for one in chosen]
    if as_json:
        print_json([outlook.model_dump(mode="json") for outlook in outlooks])
        return
    for outlook in outlooks:
        print_records(f"models for {outlook.universe}", [_row(one) for one in outlook.candidates], ("model",))
        OUT.print(_conclusion(outlook), highlight=False, markup=False, soft_wrap=True)


def _row(one: ReuseCandidate) -> dict[str, object]:
    return {
        "model": one.name,
        "backbone": one.kind,
        "validation loss": one.score,
        "knows until": f"{one.knows_until:%Y-%m-%d}" if one.knows_until else None,
        "could be begun from": f"no, it {one.refused}" if one.refused else "yes",
    }


def _conclusion(outlook: ReuseOutlook) -> str:
    limit = f", which may know bars until {outlook.before:%Y-%m-%d}" if outlook.before else ", which has not been trained yet"
    trained = f"the {outlook.backbone} backbone of {outlook.universe}{limit}"
    if not outlook.enabled:
        return f"{trained}, begins from nothing: reuse is off (reuse.enabled in forecasting.yaml)"
    return f"{trained}, would begin from {outlook.begins_from or 'nothing: no model is usable'}"
