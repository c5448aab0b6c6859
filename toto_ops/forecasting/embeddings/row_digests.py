"""Digests of everything that the embeddings of each row are made from: rows of equal digests up to one have equal embeddings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toto_ops.features.panel import Panel
from toto_ops.forecasting.embeddings.inputs import context_of
from toto_ops.forecasting.embeddings.placing import PlacedSeries
from toto_ops.forecasting.series import VARIATES

DIGEST_BYTES = 8

ROWS_AT_ONCE = 1024


def beginning_digest(panel: Panel, series: Sequence[PlacedSeries]) -> str:
    """Digest of what every row stands on: the symbols, and the bars before the panel begins or in rows it leaves out."""
    hasher = hashlib.blake2b("\x00".join(panel.symbols).encode(), digest_size=DIGEST_BYTES)
    for one in series:
        outside = one.rows < 0
        hasher.update(f"{one.series.symbol}:{outside.sum()};".encode())
        hasher.update(one.series.close_time[outside].astype("datetime64[us]").tobytes())
        hasher.update(one.series.values[outside].tobytes())
    return hasher.hexdigest()


def row_digests(panel: Panel, series: Sequence[PlacedSeries]) -> NDArray[np.uint64]:
    """`[T]` digest of each row: its close, the bars that close in it, whether they are decided on, and their context.

    The embeddings of a row also depend on the rows before it, which have digests of their own.
    """
    digests = [
        _digests(panel, series, slice(first, min(first + ROWS_AT_ONCE, panel.rows)))
        for first in range(0, panel.rows, ROWS_AT_ONCE)
    ]
    return np.concatenate(digests) if digests else np.zeros(0, dtype=np.uint64)


def _digests(panel: Panel, series: Sequence[PlacedSeries], rows: slice) -> NDArray[np.uint64]:
    bars = np.full((rows.stop - rows.start, len(series), len(VARIATES)), np.nan)
    for column, one in enumerate(series):
        # Rows increase but for bars before the panel, so those of a stretch of rows are one stretch of bars.
        placed = one.rows >= 0
        begin, end = np.searchsorted(one.rows[placed], (rows.start, rows.stop))
        bars[one.rows[placed][begin:end] - rows.start, column] = one.series.values[placed][begin:end]
    parts = (
        panel.close_time[rows].astype("datetime64[us]").view(np.int64),
        bars,
        panel.mask[rows],
        context_of(panel, rows),
    )
    packed = np.concatenate([_bytes_by_row(part) for part in parts], axis=1)
    digests = b"".join(hashlib.blake2b(row.data, digest_size=DIGEST_BYTES).digest() for row in packed)
    return np.frombuffer(digests, dtype=np.uint64)


def _bytes_by_row(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """`[N, bytes]` what stands in memory, row by row."""
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
