"""The registry as people read it at a terminal, in 80 columns: versions, one version, the diary."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from toto_ops.cli.console import OUT, print_facts, print_table, print_title

if TYPE_CHECKING:
    from toto_ops.evaluation.judgement.evidence import Criterion
    from toto_ops.registry.events import RegistryEvent
    from toto_ops.registry.history import RegistryRow, VersionDetail

_INDENT = 5


def print_versions(rows: Sequence[RegistryRow]) -> None:
    """Print a table per model, of versions newest first, and who froze its promotions."""
    if not rows:
        OUT.print("registered versions: none")
    for model, group in groupby(rows, key=lambda row: row.model):
        versions = list(group)
        serving = next((f"version {row.version}" for row in versions if row.serves), "none")
        shown = [_version(row) for row in versions]
        print_table(f"{model}: {serving} serves", shown, unbroken=set(shown[0]) - {"aliases"})
        if versions[0].frozen:
            _print_line(f"promotions of {versions[0].universe} were frozen {versions[0].frozen}")


def print_version(detail: VersionDetail) -> None:
    """Print all that is known of one version: its row, the gates, where it comes from, and the diary about it."""
    print_title(f"{detail.row.model} version {detail.row.version}")
    content = detail.row.model_dump(mode="json")
    print_facts(content | {"aliases": ", ".join(detail.row.aliases) or None})
    print_table("gates", [_gate(row) for row in detail.criteria], unbroken={"required", "measured", "verdict"})
    for row in detail.criteria:
        if row.note:
            _print_line(f"{row.name}: {row.note}")
    print_title("provenance")
    print_facts(detail.provenance)
    print_diary("events", detail.events)


def print_diary(title: str, events: Sequence[RegistryEvent]) -> None:
    """Print a block per entry: what was tried and came of it, by whom and why, and what refused it or broke."""
    print_title(title if events else f"{title}: none")
    for event in events:
        _print_line(f"{event.number:<{_INDENT}}{event.at:%Y-%m-%d %H:%M} UTC  {_tried(event)}: {event.outcome}")
        _print_line(f"by {event.by}: {event.why}", indent=_INDENT)
        if event.detail:
            _print_line(event.detail, indent=_INDENT)


def _version(row: RegistryRow) -> dict[str, object]:
    return {
        "version": row.version,
        "line": row.line,
        "aliases": ", ".join(row.aliases) or None,
        "gates": row.gates,
        "created": f"{row.created_at:%Y-%m-%d}",
        "knows until": f"{row.knows_until:%Y-%m-%d}" if row.knows_until else None,
    }


def _gate(row: Criterion) -> dict[str, str]:
    from toto_ops.evaluation.reports.figures import measured_in_brief, required

    return {"criterion": row.name, "required": required(row), "measured": measured_in_brief(row), "verdict": row.verdict}


def _tried(event: RegistryEvent) -> str:
    version = f", version {event.version}" if event.version else ""
    return f"{event.kind}{version}" + (f" instead of {event.instead_of}" if event.instead_of else "")


def _print_line(text: str, *, indent: int = 0) -> None:
    """Wrapped between words, whatever people wrote."""
    OUT.print(Padding(Text(text), (0, 0, 0, indent), expand=False))
