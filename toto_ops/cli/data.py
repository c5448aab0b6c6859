"""`toto-ops data validate | sample`: look at bars before anything is trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from toto_ops.cli.console import EXIT_ERROR, OUT, AsJson, errors_shown, print_json, print_table

app = typer.Typer(help="Validate bars, or copy the bundled sample.", no_args_is_help=True)


@app.command("validate")
def validate(
    universe: Annotated[str, typer.Argument(help="Universe whose rules apply.")],
    folder: Annotated[Path | None, typer.Option(help="Validate this CSV folder instead of the universe's source.")] = None,
    timezone: Annotated[str, typer.Option(help="Zone of timestamps that carry none; with --folder.")] = "UTC",
    as_json: AsJson = False,
) -> None:
    """Validate every symbol and store nothing; exit code 1 if any symbol would be quarantined."""
    from toto_ops.configuration import Settings, parse_config
    from toto_ops.pipeline.data_validation import validate_source
    from toto_ops.pipeline.project import Project
    from toto_ops.universes import CsvSource

    with errors_shown(as_json=as_json):
        chosen = Project(Settings()).universe(universe)
        if folder is not None:
            content = {"folder": folder.expanduser().absolute(), "timezone": timezone}
            source = parse_config(content, CsvSource, Path("command line"))
            chosen = chosen.model_copy(update={"source": source, "symbols": None})
        validated = validate_source(chosen)
    rows: list[dict[str, Any]] = [
        {
            "symbol": one.symbol,
            "passed": one.passed,
            "bars": one.rows,
            "errors": "; ".join(one.errors),
            "warnings": "; ".join(one.warnings),
        }
        for one in validated
    ]
    print_json(rows) if as_json else print_table(f"bars of {universe}", rows)
    if not all(row["passed"] for row in rows):
        raise typer.Exit(EXIT_ERROR)


@app.command("sample")
def sample(
    folder: Annotated[Path, typer.Argument(help="New folder to copy the bundled bars into.")],
    universe: Annotated[str, typer.Option(help="Which sample: stocks or crypto.")] = "stocks",
    as_json: AsJson = False,
) -> None:
    """Copy the bundled daily bars into a folder, as a start for a CSV source of your own."""
    from toto_ops.market.sample_export import export_sample

    with errors_shown(as_json=as_json):
        files = export_sample(universe, folder)
    if as_json:
        print_json({"folder": str(folder), "files": [path.name for path in files]})
    else:
        OUT.print(f"copied {len(files)} files to {folder}", highlight=False)
