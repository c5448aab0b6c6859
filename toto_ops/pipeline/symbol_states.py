"""How every symbol of a universe stands, from served to removed, and how to change that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime

from toto_ops.configuration import StrictModel
from toto_ops.market.snapshot import SnapshotEntry
from toto_ops.pipeline.new_symbols import NewSymbols, find_new_symbols
from toto_ops.pipeline.project import Project
from toto_ops.serving.market_view import served_snapshot
from toto_ops.storage.store import ArtefactKey
from toto_ops.universes import CombinedSource, SampleSource, Universe

Status = Literal["served", "ended", "quarantined", "waiting", "new", "gone", "removed"]


class SymbolState(StrictModel):
    """One symbol as it stands now."""

    symbol: str
    status: Status
    """Ended: its bars are in the served market, and there are no newer ones to act on. Quarantined: it was part of a
    retraining once, and its bars cannot be used now. Waiting: it could not join yet. New: it was not tried yet, or its
    source has changed since. Gone: the source lost its file, and nobody removed it. Removed: no member any more."""
    partition: bool
    """Whether Dagster knows it."""
    bars: int = 0
    first_close: AwareDatetime | None = None
    last_close: AwareDatetime | None = None
    reason: str = ""


def symbol_states(project: Project, universe: Universe, partitions: Iterable[str]) -> tuple[SymbolState, ...]:
    """Every symbol that is a member, a partition or part of the served market, sorted.

    Raises
    ------
    SourceError
        If the source cannot be listed: that is never taken for a universe without symbols.
    """
    found = find_new_symbols(project, universe)
    served = served_snapshot(project.store, universe.name)
    entries = {} if served is None else {entry.symbol: entry for entry in served.entries if entry.status == "included"}
    known = set(partitions)
    return tuple(
        _state(project, universe, found, entries.get(symbol), symbol, partition=symbol in known)
        for symbol in sorted({*found.members, *known, *entries})
    )


def where_stored(project: Project, universe: Universe, symbol: str) -> str:
    """Where the bars of a symbol are, or would be."""
    return str(project.store.root / project.store.namespace / "/".join(ArtefactKey(universe.name, "bars", symbol).parts))


def how_to_add(universe: Universe, symbols: Sequence[str]) -> str:
    """What makes `symbols` members of a universe."""
    files = " and ".join(f"{symbol}.csv" for symbol in symbols)
    steps = (
        [] if universe.symbols is None else [f"list {', '.join(symbols)} under `symbols` of {universe.name} in universes.yaml"]
    )
    if universe.parts:
        return ", and ".join((*steps, f"add {files} to one of {', '.join(universe.parts)}"))
    folder = _folder_to_add_to(universe)
    steps.append(
        f"name a folder for further files under `source: added` of {universe.name} in universes.yaml"
        if folder is None
        else f"put {files} into {folder}"
    )
    return ", and ".join(steps)


def how_to_leave(universe: Universe, symbol: str) -> str:
    """What makes a symbol no member of a universe any more."""
    if universe.symbols is not None:
        return f"take {symbol} off `symbols` of {universe.name} in universes.yaml first"
    if universe.parts:
        return f"take {symbol} out of the universe it comes from ({', '.join(universe.parts)}) first"
    return (
        f"take {symbol}.csv out of the source ({_folder_to_add_to(universe) or 'the bundled sample'}), or list the symbols to "
        f"keep under `symbols` of {universe.name} in universes.yaml first"
    )


def _state(
    project: Project, universe: Universe, found: NewSymbols, entry: SnapshotEntry | None, symbol: str, *, partition: bool
) -> SymbolState:
    status, reason = _status(project, universe, found, entry, symbol)
    if status == "removed" and partition and universe.symbols is None:
        status, reason = "gone", f"its file is gone: put it back, or `toto-ops symbols remove {universe.name} {symbol}`"
    state = SymbolState(symbol=symbol, status=status, partition=partition, reason=reason)
    if entry is None:
        return state
    return state.model_copy(update={"bars": entry.rows, "first_close": entry.first_close, "last_close": entry.last_close})


def _status(
    project: Project, universe: Universe, found: NewSymbols, entry: SnapshotEntry | None, symbol: str
) -> tuple[Status, str]:
    if symbol not in found.members:
        return "removed", f"no longer in the universe; what is stored of it stays in {where_stored(project, universe, symbol)}"
    if entry is not None:
        return ("ended", "no newer bars to act on") if entry.ended else ("served", "")
    if symbol in found.waiting:
        was_part = project.store.latest(ArtefactKey(universe.name, "bars", symbol)) is not None
        return "quarantined" if was_part else "waiting", found.waiting[symbol]
    if not found.serving:
        return "new", f"the first `toto-ops retrain {universe.name}` takes it in"
    return "new", f"`toto-ops backfill {universe.name}` takes it in, or the sensor {universe.name}_new_symbols"


def _folder_to_add_to(universe: Universe) -> Path | None:
    source = universe.source
    if isinstance(source, CombinedSource):
        return None
    return source.added_folder if isinstance(source, SampleSource) else source.folder
