"""The snapshot: which bars, of which symbols, one retraining works on.

Bars are stored per symbol; the snapshot says for every symbol of the universe whether it takes part and with which
content. A quarantined symbol is listed with its reason and takes no part, whatever is stored of it from better days.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, ValidationError

from toto_ops.configuration import StrictModel, VersionedModel, in_words
from toto_ops.errors import StorageError
from toto_ops.storage.hashing import value_hash
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import ArtefactKey, ArtefactRef


class SnapshotEntry(StrictModel):
    """One symbol in a snapshot."""

    symbol: str
    status: Literal["included", "quarantined"]
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    bars: str | None = None
    """Content hash of the bars artefact; None when quarantined."""
    inputs_hash: str | None = None
    """Hash of the bars' values, independent of the file they are stored in; None when quarantined."""
    rows: int = 0
    first_close: AwareDatetime | None = None
    last_close: AwareDatetime | None = None
    train_folder_until: AwareDatetime | None = None
    """Close of the last bar in the source's `train/` folder, where it keeps test bars apart."""
    ended: bool = False
    part: str | None = None
    """The universe it comes from, in a combined one."""


class Snapshot(VersionedModel):
    """All entries of one retraining, sorted by symbol."""

    universe: str
    retrain_id: str
    as_of: AwareDatetime
    config_hash: str
    entries: tuple[SnapshotEntry, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols that take part."""
        return tuple(entry.symbol for entry in self.entries if entry.status == "included")

    @property
    def quarantined(self) -> dict[str, tuple[str, ...]]:
        return {entry.symbol: entry.reasons for entry in self.entries if entry.status == "quarantined"}

    @property
    def data_hash(self) -> str:
        """Identity of the data alone: the same for two retrainings over the same bars."""
        return value_hash({entry.symbol: entry.inputs_hash for entry in self.entries if entry.status == "included"})

    @property
    def train_folders_until(self) -> datetime | None:
        """Close of the newest bar in any `train/` folder; None for a source that does not keep test bars apart."""
        moments = [entry.train_folder_until for entry in self.entries if entry.train_folder_until is not None]
        return max(moments) if moments else None

    def entry(self, symbol: str) -> SnapshotEntry:
        for candidate in self.entries:
            if candidate.symbol == symbol:
                return candidate
        raise StorageError(f"{symbol} is not in the snapshot", where=f"{self.universe} {self.retrain_id}")

    def bars_ref(self, symbol: str) -> ArtefactRef:
        """The bars of a symbol that takes part."""
        entry = self.entry(symbol)
        if entry.bars is None or entry.inputs_hash is None:
            raise StorageError(f"{symbol} is quarantined: {'; '.join(entry.reasons)}", where=self.universe)
        return ArtefactRef(ArtefactKey(self.universe, "bars", symbol), entry.bars, entry.inputs_hash)


def record_entry(retraining: Retraining, entry: SnapshotEntry) -> None:
    """Write one symbol's entry of the snapshot being built."""
    retraining.store.write_document(f"{retraining.folder}/snapshot/{entry.symbol}.json", entry.model_dump(mode="json"))


def read_snapshot(retraining: Retraining, config_hash: str) -> Snapshot:
    """The snapshot of a retraining, assembled from its entries.

    Raises
    ------
    StorageError
        If `bars` has not run in this retraining, or an entry cannot be read.
    """
    documents = retraining.store.documents(f"{retraining.folder}/snapshot")
    entries = tuple(_entry(retraining, name, content) for name, content in documents)
    if not entries:
        raise StorageError(
            f"retraining {retraining.retrain_id} has no snapshot",
            where=retraining.universe,
            remedy="materialise `bars` in the same run first",
        )
    return Snapshot(
        universe=retraining.universe,
        retrain_id=retraining.retrain_id,
        as_of=retraining.as_of,
        config_hash=config_hash,
        entries=entries,
    )


def _entry(retraining: Retraining, name: str, content: dict[str, Any]) -> SnapshotEntry:
    try:
        return SnapshotEntry.model_validate(content)
    except ValidationError as error:
        raise StorageError(
            f"cannot be read ({in_words(error)})",
            where=f"{retraining.folder}/snapshot/{name}.json",
            remedy="restore the file from a backup, or retrain: a new retraining writes a snapshot of its own",
        ) from error
