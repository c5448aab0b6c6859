"""Embeddings and forecasts of the rows of a panel, and one stretch of them on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toto_ops.errors import StorageError

TENSORS = "embeddings.safetensors"


@dataclass(frozen=True)
class EmbeddingTable:
    """What is known of every bar and symbol, row by row of a panel.

    Attributes
    ----------
    symbols
        `A` symbols, as in the panel.
    close_time
        `[T]` `datetime64[us]`, UTC: close of each row.
    embedding
        `[T, A, E]` float32; NaN where the symbol is masked in the row or no state is known yet.
    forecast_names
        `Q` names along the last axis of `forecast`.
    forecast
        `[T, A, Q]` float32, NaN in the same places.
    """

    symbols: tuple[str, ...]
    close_time: NDArray[np.datetime64]
    embedding: NDArray[np.float32]
    forecast_names: tuple[str, ...]
    forecast: NDArray[np.float32]

    def __post_init__(self) -> None:
        cells = (len(self.close_time), len(self.symbols))
        if self.embedding.shape[:2] != cells or self.forecast.shape != (*cells, len(self.forecast_names)):
            raise ValueError(f"{cells} rows and symbols have embeddings {self.embedding.shape}, forecasts {self.forecast.shape}")

    def __len__(self) -> int:
        return len(self.close_time)

    @property
    def known(self) -> NDArray[np.bool_]:
        """`[T, A]` bool: whether there is an embedding."""
        return np.isfinite(self.embedding[..., 0])

    def take(self, rows: slice) -> EmbeddingTable:
        """Some of the rows, one after the other."""
        return EmbeddingTable(self.symbols, self.close_time[rows], self.embedding[rows], self.forecast_names, self.forecast[rows])

    @classmethod
    def joined(cls, parts: Sequence[EmbeddingTable]) -> EmbeddingTable:
        """Tables of the same symbols, one after the other; at least one."""
        first = parts[0]
        if len(parts) == 1:
            return first
        return cls(
            first.symbols,
            np.concatenate([part.close_time for part in parts]),
            np.concatenate([part.embedding for part in parts]),
            first.forecast_names,
            np.concatenate([part.forecast for part in parts]),
        )


def save_rows(table: EmbeddingTable, folder: Path) -> None:
    """Write `embeddings.safetensors` into an existing folder. Names of symbols and forecasts stand in the index."""
    from safetensors.numpy import save_file

    arrays: dict[str, NDArray[Any]] = {
        "close_time": np.ascontiguousarray(table.close_time.astype("datetime64[us]").view(np.int64)),
        "embedding": np.ascontiguousarray(table.embedding),
        "forecast": np.ascontiguousarray(table.forecast),
    }
    save_file(arrays, folder / TENSORS)


def load_rows(folder: Path, symbols: tuple[str, ...], forecast_names: tuple[str, ...]) -> EmbeddingTable:
    """Read what `save_rows` wrote.

    Raises
    ------
    StorageError
        If it is missing, damaged, or of other symbols.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(folder / TENSORS)
        moments = arrays["close_time"].view("datetime64[us]")
        return EmbeddingTable(symbols, moments, arrays["embedding"], forecast_names, arrays["forecast"])
    except (OSError, SafetensorError, LookupError, ValueError) as error:
        raise StorageError(
            f"holds no readable embeddings ({error})",
            where=str(folder),
            remedy="remove this folder and retrain with --force; they are made again",
        ) from error
