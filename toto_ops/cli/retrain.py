"""`toto-ops retrain`: the main job, with a progress display and a summary a person can judge by."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Self

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
from toto_ops.errors import TotoOpsError
from toto_ops.storage.store import LIVE

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from deploy.launch import Launch, StepEvent
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
        result = launch.retrain(project, universe, force=force, as_of=as_of, on_event=lambda _event: None)
    else:
        OUT.rule(f"[bold]{universe.name}[/]")
        with _Display(universe) as display:
            result = launch.retrain(project, universe, force=force, as_of=as_of, on_event=display.show)
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


class _Display:
    """A progress bar over the steps of one run; plain lines where there is no terminal."""

    def __init__(self, universe: Universe) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:<32}"),
            BarColumn(),
            TextColumn("{task.completed} steps"),
            TimeElapsedColumn(),
        )
        self._progress: Progress = Progress(*columns, console=OUT, transient=True)
        self._prefix = f"{universe.name}__"
        self._interactive = sys.stdout.isatty()
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._interactive:
            self._progress.start()
            self._task = self._progress.add_task("starting Dagster", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._interactive:
            self._progress.stop()

    def show(self, event: StepEvent) -> None:
        step = event.step.removeprefix(self._prefix)
        if not self._interactive:
            OUT.print(f"  {event.status:<9} {step}", highlight=False)
        elif self._task is not None:
            advance = 1 if event.status == "succeeded" else 0
            self._progress.update(self._task, description=f"{step} {event.status}", advance=advance)


def _print(universe: Universe, launched: Launch, outcome: RetrainingOutcome | None) -> None:
    if launched.status == "failed":
        OUT.print(f"[bold red]{universe.name}: the pipeline failed[/]; what serves is as it was")
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
        print_table("models trained", [row.model_dump() for row in outcome.trained])
        print_table(f"gates of {outcome.challenger}, out of sample", [row.model_dump() for row in outcome.criteria])
    OUT.print(f"[bold]{'promoted' if outcome.promoted else 'not promoted'}[/]: {outcome.decision}", highlight=False)
    OUT.print(f"serving: {outcome.incumbent}", highlight=False)
    OUT.print(f"report: {outcome.report}", highlight=False, soft_wrap=True)


def _brief(row: SymbolOutcome) -> str:
    """What was remarked, without the symbol and the remedies; `toto-ops data validate` and Data Docs have them."""
    return "; ".join(remark.split(" Remedy:")[0].removeprefix(f"{row.symbol}: ") for remark in row.remarks)
