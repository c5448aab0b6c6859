"""`toto-ops export embeddings`: take what the product makes to where it is used."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from toto_ops.cli.console import EXIT_ERROR, OUT, AsJson, error_content, errors_shown, print_error, print_json

app = typer.Typer(help="Export embeddings for other systems.", no_args_is_help=True)


class Format(StrEnum):
    """Shapes of an export: tables of vectors, arrays of vectors, or the model that makes them."""

    PARQUET = "parquet"
    NPZ = "npz"
    ONNX = "onnx"


@app.command("embeddings")
def embeddings(
    universe: Annotated[str | None, typer.Argument(help="Universe whose served market is exported; all by default.")] = None,
    shape: Annotated[Format, typer.Option("--format", "-f", help="parquet, npz: vectors; onnx: the model.")] = Format.PARQUET,
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder for <universe>-embeddings.<format>.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Bring the embeddings of the served market up to date and write them to a file for each universe."""
    from toto_ops.configuration import Settings
    from toto_ops.errors import TotoOpsError
    from toto_ops.pipeline.embedding_steps import export_served_embeddings
    from toto_ops.pipeline.project import Project

    with errors_shown(as_json=as_json):
        project = Project(Settings())
        chosen = [project.universe(universe)] if universe else list(project.universes.universes.values())
    exported, failures = [], []
    for one in chosen:
        try:
            exported.append(export_served_embeddings(project, one, shape.value, folder / f"{one.name}-embeddings.{shape.value}"))
        except TotoOpsError as error:
            failures.append(error)
    if as_json:
        print_json([*(one.model_dump(mode="json") for one in exported), *(error_content(failure) for failure in failures)])
    else:
        for done in exported:
            OUT.print(f"wrote {done.file} ({done.description})", highlight=False)
        for failure in failures:
            print_error(failure)
    if failures:
        raise typer.Exit(EXIT_ERROR)
