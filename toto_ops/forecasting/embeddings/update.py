"""Embeddings of a universe, kept row by row: a new day costs that day, and what is stored is never written again.

The table of a panel is an index that names **segments**: stretches of rows, each an immutable artefact. Beside them the
index holds a digest of everything each row was made from. An update compares those digests with the panel and the bars it is
given: rows up to the first that differs are taken over as they are, whether a day was added or one in the past was mended;
those after it are computed and become new segments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toto_ops.errors import StorageError
from toto_ops.features.panel import Panel
from toto_ops.forecasting.embeddings.embedding_model import EmbeddingModel
from toto_ops.forecasting.embeddings.index import (
    EMBEDDINGS,
    INDEX,
    MEND,
    SEGMENTS,
    EmbeddingIndex,
    NewestIndex,
    Segment,
    newest_document,
    read_index,
)
from toto_ops.forecasting.embeddings.placing import PlacedSeries, placed
from toto_ops.forecasting.embeddings.row_digests import beginning_digest, row_digests
from toto_ops.forecasting.embeddings.table import EmbeddingTable, load_rows, save_rows
from toto_ops.forecasting.series import BarSeries
from toto_ops.storage.hashing import value_hash
from toto_ops.storage.store import ArtefactKey, ArtefactRef, ArtefactStore

DIGESTS = "digests.npy"

MOST_SEGMENTS = 64
"""With more of them, the small ones become one."""

CELLS_IN_SEGMENT = 1 << 19
"""Rows times symbols in one segment: about 300 MB at 128 numbers and 21 forecasts."""


@dataclass(frozen=True)
class Updated:
    """Embeddings of a panel, as they are stored now.

    Attributes
    ----------
    ref
        The index; its content hash is that of everything it names.
    refs
        The segments.
    rows_computed, rows_reused
        Together the rows of the panel.
    """

    store: ArtefactStore
    ref: ArtefactRef
    refs: tuple[ArtefactRef, ...]
    rows_computed: int
    rows_reused: int

    @cached_property
    def table(self) -> EmbeddingTable:
        """All rows, read when first asked for."""
        return read_embeddings(self.store, self.ref)


def update_embeddings(
    store: ArtefactStore, universe: str, model: EmbeddingModel, panel: Panel, series: Sequence[BarSeries]
) -> Updated:
    """Bring the embeddings of a universe up to a panel, computing only rows that are new or whose past has changed.

    Parameters
    ----------
    series
        Bars of every symbol of the panel, from their first one.

    Raises
    ------
    InsufficientDataError
        If a symbol of the panel has no series.
    StorageError
        If the panel has another context than the embedder reads, or what is stored is damaged.
    """
    model.require_context(panel)
    at = placed(panel, series)
    wanted = _Wanted(store, universe, model, panel, at, beginning_digest(panel, at), row_digests(panel, at))
    kept = wanted.still_valid()
    reused = sum(segment.rows for segment in kept)
    made = wanted.computed(reused)
    index = EmbeddingIndex(
        universe=universe,
        model=model.identity,
        beginning=wanted.beginning,
        symbols=panel.symbols,
        forecast_names=model.forecast_names,
        segments=(*kept, *made),
    )
    if len(index.segments) > MOST_SEGMENTS:
        index = _merged(store, index)
    ref = _publish(store, index, wanted.digests)
    refs = tuple(segment.ref(universe) for segment in index.segments)
    return Updated(store, ref, refs, rows_computed=panel.rows - reused, rows_reused=reused)


def read_embeddings(store: ArtefactStore, ref: ArtefactRef) -> EmbeddingTable:
    """All rows that an index names.

    Raises
    ------
    StorageError
        If it or a segment is missing or damaged.
    """
    index = read_index(store, ref)
    return EmbeddingTable.joined([_read(store, index, segment) for segment in index.segments])


@dataclass(frozen=True)
class _Wanted:
    """A table to be had: the rows of a panel by a model."""

    store: ArtefactStore
    universe: str
    model: EmbeddingModel
    panel: Panel
    series: Sequence[PlacedSeries]
    beginning: str
    digests: NDArray[np.uint64]

    def still_valid(self) -> tuple[Segment, ...]:
        """Segments of the newest index of this model, as far as their rows were made from what there is now."""
        newest = self.store.read_model(newest_document(self.universe, self.model.identity), NewestIndex)
        if newest is None:
            return ()
        ref = self.store.find(ArtefactKey(self.universe, EMBEDDINGS), newest.inputs_hash)
        if ref is None:  # collected meanwhile
            return ()
        index = read_index(self.store, ref)
        if (index.model, index.beginning) != (self.model.identity, self.beginning):
            return ()
        return self._up_to(index.segments, _equal_rows(_read_digests(self.store.local_folder(ref)), self.digests))

    def _up_to(self, segments: Sequence[Segment], left: int) -> tuple[Segment, ...]:
        """The first `left` rows of segments, as far as they are stored."""
        kept: list[Segment] = []
        for segment in segments:
            rows = min(segment.rows, left)
            # What is found is renewed: it cannot be collected before the index that names it is stored.
            if rows == 0 or self.store.find(ArtefactKey(self.universe, SEGMENTS), segment.inputs_hash) is None:
                break
            kept.append(segment.model_copy(update={"rows": rows}))
            left -= rows
        return tuple(kept)

    def computed(self, first: int) -> tuple[Segment, ...]:
        """Segments with rows `first` and on of the panel."""
        at_once = max(1, CELLS_IN_SEGMENT // len(self.panel.symbols))
        starts = range(first, self.panel.rows, at_once)
        return tuple(self._segment(slice(start, min(start + at_once, self.panel.rows))) for start in starts)

    def _segment(self, rows: slice) -> Segment:
        # The rows before one are part of what it is made from.
        made_from = [self.model.identity, self.beginning, _digest(self.digests[: rows.stop]), rows.start]

        def write(folder: Path) -> None:
            save_rows(self.model.rows(self.panel, self.series, rows), folder)

        ref, _ = self.store.get_or_make(ArtefactKey(self.universe, SEGMENTS), value_hash(made_from), write)
        return Segment(content_hash=ref.content_hash, inputs_hash=ref.inputs_hash, rows=rows.stop - rows.start)


def _equal_rows(before: NDArray[np.uint64], now: NDArray[np.uint64]) -> int:
    """Rows up to the first that differs."""
    both = min(len(before), len(now))
    differ = np.flatnonzero(before[:both] != now[:both])
    return int(differ[0]) if len(differ) else both


def _merged(store: ArtefactStore, index: EmbeddingIndex) -> EmbeddingIndex:
    """The same rows in fewer segments: the newest ones that fit into one become one, value for value."""
    most = max(1, CELLS_IN_SEGMENT // len(index.symbols))
    sizes = list(accumulate(segment.rows for segment in reversed(index.segments)))
    count = sum(size <= most for size in sizes)
    if count == len(index.segments) and len(index.segments) > 1:
        # The first one is mostly the history an embedder began with, far larger than the days since.
        count -= 1
    if count < 2:
        return index
    left, joined = index.segments[:-count], index.segments[-count:]
    inputs_hash = value_hash([[segment.inputs_hash, segment.rows] for segment in joined])

    def write(folder: Path) -> None:
        save_rows(EmbeddingTable.joined([_read(store, index, segment) for segment in joined]), folder)

    ref, _ = store.get_or_make(ArtefactKey(index.universe, SEGMENTS), inputs_hash, write)
    rows = sum(segment.rows for segment in joined)
    merged = Segment(content_hash=ref.content_hash, inputs_hash=ref.inputs_hash, rows=rows)
    return index.model_copy(update={"segments": (*left, merged)})


def _publish(store: ArtefactStore, index: EmbeddingIndex, digests: NDArray[np.uint64]) -> ArtefactRef:
    inputs_hash = value_hash([index, _digest(digests)])
    ref, _ = store.get_or_make(ArtefactKey(index.universe, EMBEDDINGS), inputs_hash, partial(_write_index, index, digests))
    store.write_model(newest_document(index.universe, index.model), NewestIndex(inputs_hash=ref.inputs_hash))
    return ref


def _write_index(index: EmbeddingIndex, digests: NDArray[np.uint64], folder: Path) -> None:
    (folder / INDEX).write_text(index.model_dump_json(indent=1))
    np.save(folder / DIGESTS, digests, allow_pickle=False)


def _read_digests(folder: Path) -> NDArray[np.uint64]:
    try:
        digests: NDArray[np.uint64] = np.load(folder / DIGESTS, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot be read ({error})", where=str(folder / DIGESTS), remedy=MEND) from error
    return digests


def _read(store: ArtefactStore, index: EmbeddingIndex, segment: Segment) -> EmbeddingTable:
    folder = store.local_folder(segment.ref(index.universe))
    return load_rows(folder, index.symbols, index.forecast_names).take(slice(0, segment.rows))


def _digest(digests: NDArray[np.uint64]) -> str:
    return hashlib.blake2b(digests.tobytes(), digest_size=8).hexdigest()
