"""What every command shares: moments in UTC, output as text or JSON, and errors shown as one clear message."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.columns import Columns
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from toto_ops.errors import StorageError, TotoOpsError
from toto_ops.storage.refusals import PLACES, refusal

OUT = Console()
ERR = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

EXIT_ERROR = 1


@contextmanager
def errors_shown(*, as_json: bool = False) -> Iterator[None]:
    """Turn errors a user can act on into a message and exit code 1; anything else is a bug and keeps its traceback.

    Those are the project's own, and a file system that refuses: full, read-only, not there.
    """
    try:
        yield
    except TotoOpsError as error:
        _show(error, as_json=as_json)
        raise typer.Exit(EXIT_ERROR) from error
    except Exception as error:
        refused = refusal(error, PLACES) or _not_there(error)
        if refused is None:
            raise
        _show(refused, as_json=as_json)
        raise typer.Exit(EXIT_ERROR) from error


def _not_there(error: Exception) -> StorageError | None:
    """What names a file that cannot be used is about that file: TOTO_HOME may be a file, or lie on a disk not mounted."""
    if not isinstance(error, OSError) or error.filename is None:
        return None
    remedy = "check that TOTO_HOME is a folder this user can write to"
    return StorageError(str(error.strerror), where=str(error.filename), remedy=remedy)


def as_utc(moment: datetime | None) -> datetime | None:
    """A moment as it was typed, which has no zone, in UTC."""
    return None if moment is None else moment.replace(tzinfo=UTC)


def error_content(error: TotoOpsError) -> dict[str, str]:
    """An error as `--json` tells it."""
    return {"error": type(error).__name__, "problem": error.problem, "where": error.where, "remedy": error.remedy}


def print_error(error: TotoOpsError) -> None:
    """Print an error as one message on standard error."""
    ERR.print(f"[bold red]error[/] {type(error).__name__}: ", end="")
    ERR.print(str(error), markup=False, highlight=False, soft_wrap=True)


def _show(error: TotoOpsError, *, as_json: bool) -> None:
    if as_json:
        print_json(error_content(error))
    else:
        print_error(error)


def print_json(content: Any) -> None:
    """Print a JSON document on standard output."""
    print(json.dumps(content, indent=2, default=str))


def print_title(title: str) -> None:
    """Print what stands above a table, records or facts."""
    OUT.print(Text(title, style="bold"))


def print_facts(content: Mapping[str, Any]) -> None:
    """Print names and values, one to a line that is never broken: addresses and hashes stay whole."""
    width = max(map(len, content), default=0) + 2
    for name, value in content.items():
        shown = Text(value) if isinstance(value, str) else Text.from_markup(_cell(value))
        OUT.print(Text(f"{name:{width}}") + shown, soft_wrap=True)


def print_records(title: str, rows: Sequence[dict[str, Any]], headed_by: Sequence[str]) -> None:
    """Print rows of equal keys, too wide for a table, as a block each: a line that identifies it, and its figures below."""
    print_title(title if rows else f"{title}: none")
    for row in rows:
        OUT.print(Text(", ".join(f"{key} {_cell(row[key])}" for key in headed_by)))
        figures = [Text(f"{key} {_cell(value)}") for key, value in row.items() if key not in headed_by]
        OUT.print(Padding(Columns(figures, padding=(0, 2)), (0, 0, 0, 2)))


def print_table(title: str, rows: Sequence[dict[str, Any]], unbroken: Collection[str] = ()) -> None:
    """Print rows of equal keys as a table; columns that are `unbroken` keep each cell in one line."""
    if not rows:
        OUT.print(f"{title}: none")
        return
    shown = Table(title=title, title_justify="left", title_style="bold")
    for column in rows[0]:
        shown.add_column(column, overflow="fold", no_wrap=column in unbroken)
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
