"""`toto-ops admin migrate`: bring what an earlier release stored to the present schema versions."""

from __future__ import annotations

from typing import Annotated

import typer

from toto_ops.cli.console import OUT, AsJson, errors_shown, print_json, print_table


def migrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be rewritten, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Rewrite what the previous release stored as the present schema versions.

    Safe to repeat and to interrupt. Refuses while a run is in progress, and changes nothing where a document cannot be read.
    """
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.migration import migrate as rewrite
    from toto_ops.pipeline.migration import survey
    from toto_ops.pipeline.project import Project

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        if dry_run:
            report = survey(project)
        else:
            from deploy.maintenance import nothing_running
            from toto_ops.pipeline.collection import only_collection

            with only_collection(project.settings), nothing_running(project):
                report = rewrite(project)
    if as_json:
        print_json({"dry_run": dry_run, "migrated": 0 if dry_run else report.outdated, **report.model_dump(mode="json")})
        return
    columns = {"outdated": "outdated" if dry_run else "rewritten"}
    rows = [{columns.get(name, name): value for name, value in kind.model_dump().items()} for kind in report.kinds]
    print_table("stored documents", rows)
    for line in report.unreadable_artefacts:
        OUT.print(f"left as it is: {line}", markup=False, highlight=False, soft_wrap=True)
    if report.outdated == 0:
        OUT.print("everything is of the present version")
    else:
        OUT.print(f"{report.outdated} documents {'would be' if dry_run else 'were'} rewritten", highlight=False)
