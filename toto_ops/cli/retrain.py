"""`toto-ops retrain`: the main job, with a progress display and a summary a person can judge by."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toto_ops.cli.console import (
    ERR,
    EXIT_ERROR,
    OUT,
    AsJson,
    as_utc,
    error_content,
    errors_shown,
    print_error,
    print_json,
    print_table,
)
from toto_ops.cli.progress import StepDisplay, unseen
from toto_ops.errors import TotoOpsError
from toto_ops.storage.store import LIVE

if TYPE_CHECKING:
    from deploy.launch import Launch
    from toto_ops.pipeline.outcome import RetrainingOutcome, SymbolOutcome
    from toto_ops.pipeline.project import Project
    from toto_ops.universes import Universe

Universes = Annotated[list[str] | None, typer.Argument(help="Universes to retrain; all of them by default.", show_default=False)]


def retrain(
    universes: Universes = None,
    force: Annotated[bool, typer.Option("--force", help="Retrain even if nothing changed.")] = False,
    as_of: Annotated[datetime | None, typer.Option(help="Moment after which nothing may be known (UTC).")] = None,
    as_json: AsJson = False,
) -> None:
    """Retrain universes through Dagster and report health, gates and what was promoted.

    Exit code 0 means the pipeline worked, whether or not a model passed its gates.
    """
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.project import Project

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        chosen = [project.universe(name) for name in universes or list(project.universes.universes)]
        moment = as_utc(as_of)
        try:
            reports = [_attempt(project, universe, force=force, as_of=moment, quiet=as_json) for universe in chosen]
        except KeyboardInterrupt:
            ERR.print(
                "interrupted; what serves is as it was. Run it again to go on: what was finished is reused.", soft_wrap=True
            )
            raise
    if as_json:
        print_json([report for report, _ in reports])
    if not all(worked for _, worked in reports):
        raise typer.Exit(EXIT_ERROR)


def _attempt(
    project: Project, universe: Universe, *, force: bool, as_of: datetime | None, quiet: bool
) -> tuple[dict[str, Any], bool]:
    """Retrain one universe; an error of its own is reported and leaves the others to go on."""
    try:
        return _retrain_one(project, universe, force=force, as_of=as_of, quiet=quiet)
    except TotoOpsError as error:
        if not quiet:
            print_error(error)
        return {"universe": universe.name, "status": "error", **error_content(error)}, False


def _retrain_one(
    project: Project, universe: Universe, *, force: bool, as_of: datetime | None, quiet: bool
) -> tuple[dict[str, Any], bool]:
    from deploy import launch
    from toto_ops.pipeline.outcome import read_outcome
    from toto_ops.pipeline.project import Project

    if quiet:
        result = launch.retrain(launch.LaunchRequest(project, universe, unseen, force, as_of))
    else:
        OUT.rule(f"[bold]{universe.name}[/]")
        with StepDisplay(universe) as display:
            result = launch.retrain(launch.LaunchRequest(project, universe, display.show, force, as_of))
    outcome = read_outcome(Project(project.settings, result.namespace), universe, result.retrain_id)
    if not quiet:
        _print(universe, result, outcome)
    content: dict[str, Any] = {
        "universe": universe.name,
        "namespace": result.namespace,
        "status": result.status,
        "reason": result.reason,
        "failures": list(result.failures),
    }
    return {**content, "outcome": outcome.model_dump(mode="json") if outcome else None}, result.status != "failed"


def _print(universe: Universe, launched: Launch, outcome: RetrainingOutcome | None) -> None:
    if launched.status == "failed":
        OUT.print(f"[bold red]{universe.name}: the pipeline failed[/]; what serves is as it was, unless a failure says otherwise")
        for failure in launched.failures:
            OUT.print(f"  {failure}", markup=False, highlight=False, soft_wrap=True)
        OUT.print(f"stack traces: `make dev`, run {launched.retrain_id}", highlight=False)
        return
    if launched.status == "up_to_date":
        OUT.print(f"[green]{universe.name} is up to date:[/] {launched.reason}. No run was started.")
    if outcome is None:
        return
    if launched.namespace != LIVE:
        OUT.print(f"[yellow]{launched.namespace}[/]: it stood at {outcome.as_of:%Y-%m-%d %H:%M} UTC; what serves is untouched")
    if launched.status == "retrained":
        print_table("data health", [row.model_dump() | {"remarks": _brief(row)} for row in outcome.symbols])
        print_table("models trained", [row.in_brief() for row in outcome.trained])
        print_table(f"criteria for {outcome.challenger}, out of sample", [row.in_brief() for row in outcome.criteria])
    OUT.print(f"[bold]{'promoted' if outcome.promoted else 'not promoted'}[/]: {outcome.decision}", highlight=False)
    OUT.print(f"serving: {outcome.incumbent}", highlight=False)
    OUT.print(f"report: {outcome.report}", highlight=False, soft_wrap=True)


def _brief(row: SymbolOutcome) -> str:
    """What was remarked, without the symbol and the remedies; `toto-ops data validate` and Data Docs have them."""
    return "; ".join(remark.split(" Remedy:")[0].removesuffix(".").removeprefix(f"{row.symbol}: ") for remark in row.remarks)
