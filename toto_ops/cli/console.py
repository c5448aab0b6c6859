"""What every command shares: output as text or JSON, and errors shown as one clear message."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from toto_ops.errors import TotoOpsError

OUT = Console()
ERR = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

EXIT_ERROR = 1


@contextmanager
def errors_shown(*, as_json: bool = False) -> Iterator[None]:
    """Turn the project's own errors into a message and exit code 1; anything else is a bug and keeps its traceback."""
    try:
        yield
    except TotoOpsError as error:
        if as_json:
            print_json({"error": type(error).__name__, "problem": error.problem, "where": error.where, "remedy": error.remedy})
        else:
            ERR.print(f"[bold red]error[/] {type(error).__name__}: ", end="")
            ERR.print(str(error), markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(EXIT_ERROR) from error


def print_json(content: Any) -> None:
    """Print a JSON document on standard output."""
    print(json.dumps(content, indent=2, default=str))


def print_table(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print rows of equal keys as a table."""
    if not rows:
        OUT.print(f"{title}: none")
        return
    shown = Table(title=title, title_justify="left", title_style="bold")
    for column in rows[0]:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(_cell(value) for value in row.values()))
    OUT.print(shown)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "[green]yes[/]" if value else "[red]no[/]"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
