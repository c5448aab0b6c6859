"""`toto-ops cross-validate`: what a line earns on bars kept from it, over and over, without a look at the test span."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from toto_ops.cli.console import ERR, OUT, AsJson, errors_shown, print_json, print_records

if TYPE_CHECKING:
    from toto_ops.pipeline.cross_validation import CrossValidated


def cross_validate(
    universe: Annotated[str, typer.Argument(help="Universe whose last retraining gives the bars.")],
    line: Annotated[str, typer.Option(help="Line of models.")] = "bc",
    scheme: Annotated[
        Literal["walk-forward", "combinatorial"],
        typer.Option(help="walk-forward: train on the past alone. combinatorial: many purged paths through the same bars."),
    ] = "walk-forward",
    folds: Annotated[int | None, typer.Option(help="Blocks to cut; 5 by default; for combinatorial 6, at most 14.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a line once per fold within train and validation, and show what each policy earned on the bars kept from it.

    Every training is a trial in the ledger. The test span is never read. Exit code 0 means that it ran, whatever was earned.
    """
    from toto_ops.configuration import Settings
    from toto_ops.pipeline.cross_validation import cross_validate as run
    from toto_ops.pipeline.cross_validation import scheme_of
    from toto_ops.pipeline.project import Project

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        asked = scheme_of(scheme, folds, Path("command line"))
        done = run(project, project.universe(universe), line, asked, lambda told: ERR.print(told, highlight=False))
    print_json(done.document.model_dump(mode="json")) if as_json else _show(done)


def _show(done: CrossValidated) -> None:
    from toto_ops.evaluation.reports.cross_validation_tables import block_rows, distribution, path_rows

    document = done.document
    title = f"{document.line} on {document.universe}, {document.scheme.scheme}: block by block"
    print_records(title, block_rows(document), ("fold", "path", "from", "to", "bars"))
    print_records("paths", path_rows(document), ("path", "bars"))
    for caveat in (distribution(document), *document.caveats):
        OUT.print(caveat, highlight=False, soft_wrap=True)
    OUT.print(f"written: {done.folder}", highlight=False, markup=False, soft_wrap=True)
