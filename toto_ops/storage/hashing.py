"""Stable content hashes of tables, folders and plain values.

Hashes are taken over values, never over a library's file encoding, so that upgrading Polars does not make every
stored bar look rewritten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel

HASH_LENGTH = 16
"""Hex digits kept: 64 bits, ample for the number of artefacts one store will ever hold."""


def value_hash(value: Any) -> str:
    """Hash of a JSON-like value or pydantic model, independent of key order."""
    return _digest(json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False).encode())


def table_hash(table: pl.DataFrame) -> str:
    """Hash of column names, dtypes and values in row order. Nulls differ from every value."""
    hasher = hashlib.sha256()
    for column in table.get_columns():
        hasher.update(f"{column.name}:{column.dtype};".encode())
        hasher.update(column.is_null().to_numpy().tobytes())
        if column.dtype == pl.String:
            hasher.update("\x00".join(column.fill_null("")).encode())
        else:
            filled = column.to_physical().fill_null(0)
            hasher.update(np.ascontiguousarray(filled.to_numpy()).tobytes())
    return hasher.hexdigest()[:HASH_LENGTH]


def folder_hash(folder: Path, leaving_out: str = "") -> str:
    """Hash of every file below `folder`, relative names and bytes, but for one `leaving_out` by its relative name."""
    hasher = hashlib.sha256()
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        if path.relative_to(folder).as_posix() == leaving_out:
            continue
        hasher.update(path.relative_to(folder).as_posix().encode() + b"\x00")
        hasher.update(file_digest(path).encode())
    return hasher.hexdigest()[:HASH_LENGTH]


def file_digest(path: Path) -> str:
    """SHA-256 of one file's bytes, full length."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:HASH_LENGTH]


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value
