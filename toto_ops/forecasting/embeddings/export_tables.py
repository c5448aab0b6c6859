"""Embeddings as a table for notebooks (Parquet) or as arrays for training code (npz)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import polars as pl

from toto_ops.forecasting.embeddings.exports import EMBEDDINGS, KIND, write_export
from toto_ops.forecasting.embeddings.table import EmbeddingTable


def export_parquet(table: EmbeddingTable, path: Path) -> Path:
    """One row for every bar and symbol with an embedding, by close and symbol.

    Columns: `symbol`, `close_time` (UTC, of the row of the panel), `e0` and on (Float32), then the forecasts by name. What has
    no embedding has no row.

    Raises
    ------
    StorageError
        If the file is there and is no export.
    """
    row, column = np.nonzero(table.known)
    vectors, forecasts = table.embedding[row, column], table.forecast[row, column]
    frame = pl.DataFrame(
        {
            "symbol": pl.Series(np.array(table.symbols, dtype=object)[column].tolist(), dtype=pl.String),
            "close_time": pl.Series(table.close_time[row].astype("datetime64[us]")).dt.replace_time_zone("UTC"),
            **{f"e{place}": vectors[:, place] for place in range(vectors.shape[1])},
            **{name: forecasts[:, place] for place, name in enumerate(table.forecast_names)},
        }
    )

    def write(staged: Path) -> None:
        frame.write_parquet(staged, compression="zstd", metadata={KIND: EMBEDDINGS})

    return write_export(path, write, _is_parquet_export)


def export_npz(table: EmbeddingTable, path: Path) -> Path:
    """Arrays `symbols [A]`, `close_time [T]`, `embedding [T, A, E]`, `forecast_names [Q]` and `forecast [T, A, Q]`.

    NaN where there is no embedding. No array holds objects: read it with `allow_pickle=False`.

    Raises
    ------
    StorageError
        If the file is there and is no export.
    """

    def write(staged: Path) -> None:
        with staged.open("wb") as stream:
            np.savez_compressed(
                stream,
                kind=np.array(f"{KIND}={EMBEDDINGS}"),
                symbols=np.array(table.symbols, dtype=str),
                close_time=table.close_time.astype("datetime64[us]"),
                embedding=table.embedding,
                forecast_names=np.array(table.forecast_names, dtype=str),
                forecast=table.forecast,
            )

    return write_export(path, write, _is_npz_export)


def _is_parquet_export(path: Path) -> bool:
    try:
        return pl.read_parquet_metadata(path).get(KIND) == EMBEDDINGS
    except pl.exceptions.PolarsError:
        return False


def _is_npz_export(path: Path) -> bool:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return str(arrays["kind"]) == f"{KIND}={EMBEDDINGS}"
    # An array alone is loaded as one, and what is neither is told in as many ways.
    except (OSError, EOFError, ValueError, LookupError, AttributeError, TypeError, zipfile.BadZipFile):
        return False
