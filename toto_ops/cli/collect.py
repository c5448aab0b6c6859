"""`toto-ops admin gc`: remove what nothing needs any more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from toto_ops.cli.console import OUT, AsJson, errors_shown, print_json, print_table

if TYPE_CHECKING:
    from deploy.home_collection import HomeReport


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed, and what stays and why.")] = False,
    older_than: Annotated[int, typer.Option(min=1, metavar="DAYS", help="Spare what was made or used within these days.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Remove artefacts, checkpoints, controls and histories of runs that nothing needs any more; safe beside a retraining.

    What serves stays, and all that a model under an alias, one that once served or one that passed its gates rests on,
    what a run in progress uses, and everything recent. Trials, openings and MLflow are never touched.
    """
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.collection import only_collection

    with errors_shown(as_json=as_json), only_collection(settings := Settings()):
        from deploy import home_collection

        plan = home_collection.plan_home(settings, timedelta(days=older_than))
        report = home_collection.report_of(plan) if dry_run else home_collection.carry_out(plan)
    if as_json:
        print_json({"dry_run": dry_run, "removed_bytes": report.removed_bytes, **report.model_dump(mode="json")})
    else:
        _print(report, "would be removed" if dry_run else "removed")


def _print(report: HomeReport, verdict: str) -> None:
    for one in report.namespaces:
        removed = [{"kind": row.kind, "number": row.items, "size": _size(row.bytes)} for row in one.removed]
        print_table(f"{one.namespace}: {verdict}", removed)
        kept = [{"kind": row.kind, "why": row.reason, "number": row.items, "size": _size(row.bytes)} for row in one.kept]
        print_table(f"{one.namespace}: kept", kept)
        print_table(f"{one.namespace}: retrainings kept with all they used", [row.model_dump() for row in one.retrainings])
    for name, runs in (("the controls", report.controls), ("Dagster", report.dagster_runs)):
        OUT.print(f"runs of {name} {verdict}: {runs.items} ({_size(runs.bytes)})", highlight=False)
    OUT.print(f"[bold]{verdict} in all: {_size(report.removed_bytes)}[/]", highlight=False)


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
