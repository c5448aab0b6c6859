"""What one retraining used and made: the index that every later step reads its inputs through.

A retraining is identified by `retrain_id`. It may be one Dagster run over all symbols or a backfill of several runs;
both record into the same index, so both give the same artefacts. Each entry is its own document: concurrent runs
never write the same file, and no lock is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import AwareDatetime

from toto_ops.configuration import VersionedModel
from toto_ops.errors import StorageError
from toto_ops.storage.store import ArtefactKey, ArtefactRef, ArtefactStore

RETRAININGS = "retrainings"
"""Folder of a universe that holds one index per retraining."""

AS_OF_DOCUMENT = "as_of.json"


class AsOf(VersionedModel):
    """The moment a retraining stands at."""

    as_of: AwareDatetime


@dataclass(frozen=True)
class Retraining:
    """One retraining of one universe, bound to the store it reads and writes."""

    store: ArtefactStore
    universe: str
    retrain_id: str

    @property
    def folder(self) -> str:
        return f"{self.universe}/{RETRAININGS}/{self.retrain_id}"

    def document(self, name: str) -> str:
        """Where the store keeps a document of this retraining."""
        return f"{self.folder}/{name}"

    def key(self, asset: str, symbol: str | None = None) -> ArtefactKey:
        return ArtefactKey(self.universe, asset, symbol)

    def resolve_as_of(self, as_of: datetime) -> datetime:
        """Fix the `as_of` of this retraining once; later callers get what the first one said."""
        self.store.create_model(self.document(AS_OF_DOCUMENT), AsOf(as_of=as_of.astimezone(UTC)))
        return self.as_of

    @property
    def as_of(self) -> datetime:
        """The moment after which nothing is known to this retraining."""
        stored = self.store.read_model(self.document(AS_OF_DOCUMENT), AsOf)
        if stored is None:
            raise StorageError("has no as_of yet", where=self.folder, remedy="materialise `bars` first")
        return stored.as_of

    def record(self, ref: ArtefactRef) -> None:
        """Note that this retraining made or reused `ref`."""
        self.store.write_document(self._entry(ref.key.asset, ref.key.symbol), ref.to_dict())

    def ref(self, asset: str, symbol: str | None = None) -> ArtefactRef:
        """The version of an artefact this retraining uses.

        Raises
        ------
        StorageError
            If the step that makes it has not run in this retraining, or its entry was damaged.
        """
        entry = self._entry(asset, symbol)
        stored = self.store.read_document(entry)
        if stored is None:
            raise StorageError(
                f"retraining {self.retrain_id} has no {asset}" + (f" for {symbol}" if symbol else ""),
                where=self.universe,
                remedy=f"materialise `{asset}` in the same run first",
            )
        return ArtefactRef.from_dict(stored, entry)

    def has(self, asset: str, symbol: str | None = None) -> bool:
        return self.store.read_document(self._entry(asset, symbol)) is not None

    def refs(self) -> Iterator[ArtefactRef]:
        """Every artefact of this retraining."""
        for name, content in self.store.documents(f"{self.folder}/artefacts"):
            yield ArtefactRef.from_dict(content, f"{self.folder}/artefacts/{name}.json")

    def _entry(self, asset: str, symbol: str | None) -> str:
        return f"{self.folder}/artefacts/{asset}{'@' + symbol if symbol else ''}.json"
