"""The index of embeddings: which stretches of rows the table of a panel consists of."""

from __future__ import annotations

from pydantic import Field

from toto_ops.configuration import StrictModel, VersionedModel
from toto_ops.storage.manifests import stored_manifest
from toto_ops.storage.store import ArtefactKey, ArtefactRef, ArtefactStore

EMBEDDINGS = "embeddings"
"""Asset of the index."""

SEGMENTS = "embedding_segments"
"""Asset of the segments."""

NEWEST = "embedding_indexes"
"""Folder of a universe with one document per model: its newest index, where the next update begins."""

INDEX = "index.json"

MEND = "remove this folder and run `toto-ops retrain <universe> --force`; embeddings are made again"


class Segment(StrictModel):
    """The first rows of a stored stretch.

    Attributes
    ----------
    rows
        How many of its rows count; those after them were superseded.
    """

    content_hash: str
    inputs_hash: str
    rows: int = Field(ge=1)

    def ref(self, universe: str) -> ArtefactRef:
        return ArtefactRef(ArtefactKey(universe, SEGMENTS), self.content_hash, self.inputs_hash)


class EmbeddingIndex(VersionedModel):
    """What the embeddings of a panel consist of."""

    universe: str
    model: str = Field(description="identity of the embedding model")
    beginning: str = Field(description="digest of the symbols and of the bars before the first row")
    symbols: tuple[str, ...]
    forecast_names: tuple[str, ...]
    segments: tuple[Segment, ...]


class NewestIndex(VersionedModel):
    """Where the index of a model is that was made last."""

    inputs_hash: str


def segment_refs(store: ArtefactStore, ref: ArtefactRef) -> tuple[ArtefactRef, ...]:
    """The segments that an index names: whoever needs the one needs the others."""
    return tuple(segment.ref(ref.key.universe) for segment in read_index(store, ref).segments)


def read_index(store: ArtefactStore, ref: ArtefactRef) -> EmbeddingIndex:
    """What the embeddings of a panel consist of.

    Raises
    ------
    StorageError
        If it is missing, damaged, or of a schema version this release cannot read.
    """
    return stored_manifest(store.local_folder(ref) / INDEX, EmbeddingIndex, "index of embeddings", remedy=MEND)


def newest_document(universe: str, model: str) -> str:
    """Where it is noted which index of a model is the newest."""
    return f"{universe}/{NEWEST}/{model}.json"
