"""Plain text for terminals, mails and logs: aligned tables without colours or markup."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

WIDTH = 120
"""Characters to which prose is wrapped; tables are as wide as what they hold."""


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest cell: the first one left-aligned, the others right-aligned.

    Raises
    ------
    ValueError
        If a row has another number of cells than the header.
    """
    lines = [header, *rows]
    if any(len(line) != len(header) for line in lines):
        raise ValueError(f"a row has not {len(header)} cells as the header has")
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    written = [
        "  ".join(_aligned(cell, width, column) for column, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join(line.rstrip() for line in (written[0], rule, *written[1:]))


def section(title: str, *blocks: str) -> str:
    """A titled part; blocks that are empty are left out, and nothing is left of a part without any."""
    present = [block for block in blocks if block]
    return "\n".join((title.upper(), *present)) if present else ""


def bullets(lines: Sequence[str], width: int = WIDTH) -> str:
    """Each line as an item of a list, wrapped."""
    return "\n".join("\n".join(wrap(line, width, initial_indent="- ", subsequent_indent="  ")) for line in lines)


def document(*sections: str) -> str:
    """Sections one below the other; the text ends with a line break."""
    return "\n\n".join(part for part in sections if part) + "\n"


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)
