"""From features per symbol to the aligned panel, and the panel to and from disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ValidationError

from toto_ops.configuration import VersionedModel
from toto_ops.errors import BarDataError, InsufficientDataError, StorageError
from toto_ops.features.panel import Panel
from toto_ops.features.state import ACCOUNT_FEATURES, ACCOUNT_SLICE, MARKET_FEATURES, STATE_FEATURES, STATE_SCHEMA

TENSORS = "panel.safetensors"
MANIFEST = "panel.json"
ARRAYS = ("open_time", "close_time", "features", "mask", "open", "close", "ended")
PIECE = 8192
"""Bars turned from columns to rows at a time: a megabyte of features."""


class PanelManifest(VersionedModel):
    """What lies beside the tensors."""

    symbols: tuple[str, ...]
    feature_names: tuple[str, ...]
    state_schema: str


def build_panel(features: pl.DataFrame, symbols: Sequence[str]) -> Panel:
    """Align features and prices of `symbols` on the union of their bars, by open time.

    Rows before the first bar that any symbol can be decided on are left out; everything later stays, masked where a
    symbol has no bar or its look-back is incomplete. A symbol has ended if its last bar is not the panel's last row.

    Parameters
    ----------
    features
        `[N]` rows of `FEATURE_SCHEMA`, in any order, at most one for a symbol and open time; symbols that are not
        asked for are ignored.

    Raises
    ------
    InsufficientDataError
        If a symbol has no bars, or no bar of any symbol has complete features.
    BarDataError
        If a symbol has two bars at one open time, or symbols disagree on when a bar closed.
    """
    names = tuple(sorted(symbols))
    known, column = _of_symbols(features, names)
    open_time, row = _grid(known)
    shape = (len(open_time), len(names))
    cell = row * len(names) + column
    bars = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    if (bars > 1).any():
        raise BarDataError(f"{(bars > 1).sum()} bars repeat a symbol and open time", remedy="keep one bar for each period")

    values, mask = _feature_grid(known, cell, shape)
    if not mask.any():
        raise InsufficientDataError("no bar of any symbol has complete features", remedy="add history before the first bar")
    open_, close = (_price_grid(known[name], cell, mask) for name in ("open", "close"))
    keep = slice(int(mask.any(axis=1).argmax()), None)
    return Panel.of_prices(
        symbols=names,
        feature_names=MARKET_FEATURES,
        open_time=open_time[keep],
        close_time=_close_times(known["close_time"], row, shape[0])[keep],
        features=values[keep],
        mask=mask[keep],
        open=open_[keep],
        close=close[keep],
        ended=bars[-1] == 0,
    )


def states(panel: Panel, account: NDArray[np.float32]) -> NDArray[np.float32]:
    """Join the panel's features with account features `[T, A, 4]` into states `[T, A, 34]` (order: `STATE_FEATURES`)."""
    expected = (*panel.mask.shape, len(ACCOUNT_FEATURES))
    if account.shape != expected:
        raise ValueError(f"account features must be {expected}, got {account.shape}")
    joined = np.empty((*panel.mask.shape, len(STATE_FEATURES)), dtype=np.float32)
    joined[..., : ACCOUNT_SLICE.start] = panel.features[..., : ACCOUNT_SLICE.start]
    joined[..., ACCOUNT_SLICE] = account
    joined[..., ACCOUNT_SLICE.stop :] = panel.features[..., ACCOUNT_SLICE.start :]
    return joined


def save_panel(panel: Panel, folder: Path) -> None:
    """Write `panel.safetensors` and `panel.json` into an existing folder."""
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(getattr(panel, name)) for name in ARRAYS}
    moments = {name: arrays[name].astype("datetime64[us]").view(np.int64) for name in ("open_time", "close_time")}
    manifest = PanelManifest(symbols=panel.symbols, feature_names=panel.feature_names, state_schema=STATE_SCHEMA)
    save_file(arrays | moments, folder / TENSORS)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1))


def load_panel(folder: Path) -> Panel:
    """Read what `save_panel` wrote.

    Raises
    ------
    StorageError
        If it is missing, damaged, or was written for another observation schema.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    remedy = "remove this folder and run `toto-ops retrain <universe> --force`"
    try:
        manifest = PanelManifest.model_validate_json((folder / MANIFEST).read_bytes())
        arrays = load_file(folder / TENSORS)
    except (OSError, ValidationError, SafetensorError) as error:
        raise StorageError(f"cannot be read ({error})", where=str(folder), remedy=remedy) from error
    if manifest.state_schema != STATE_SCHEMA:
        raise StorageError(f"panel is of schema {manifest.state_schema}, not {STATE_SCHEMA}", where=str(folder), remedy=remedy)
    if set(arrays) != set(ARRAYS):
        raise StorageError(f"panel holds {sorted(arrays)}, not {sorted(ARRAYS)}", where=str(folder), remedy=remedy)
    moments = {name: arrays[name].view("datetime64[us]") for name in ("open_time", "close_time")}
    return Panel.of_prices(symbols=manifest.symbols, feature_names=manifest.feature_names, **(arrays | moments))


def _of_symbols(features: pl.DataFrame, names: tuple[str, ...]) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """The rows of `names` and, for each `[N]`, the position of its symbol there."""
    codes = features["symbol"].cast(pl.Enum(names), strict=False).to_physical()
    if codes.has_nulls():
        asked = codes.is_not_null()
        features, codes = features.filter(asked), codes.filter(asked)
    column = codes.to_numpy().astype(np.int64)
    absent = np.flatnonzero(np.bincount(column, minlength=len(names)) == 0)
    if len(absent):
        listed = ", ".join(names[a] for a in absent)
        raise InsufficientDataError(f"there are no features of {listed}", remedy="compute features of every symbol")
    return features, column


def _grid(features: pl.DataFrame) -> tuple[NDArray[np.datetime64], NDArray[np.int64]]:
    """Distinct open times `[T]`, increasing, and the row of each bar `[N]`."""
    moments = features["open_time"].to_physical().to_numpy()
    grid = features["open_time"].unique().sort().to_physical().to_numpy()
    return grid.view("datetime64[us]"), np.searchsorted(grid, moments)


def _feature_grid(
    features: pl.DataFrame, cell: NDArray[np.int64], shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Features `[T, A, F]`, 0 where incomplete, and the mask `[T, A]` of those that are complete.

    Columns become rows in pieces that fit into the processor's cache; in one go it takes twice as long.
    """
    table = features.select(MARKET_FEATURES)
    values = np.zeros((shape[0] * shape[1], table.width), dtype=np.float32)
    mask = np.zeros(len(values), dtype=bool)
    for start in range(0, len(cell), PIECE):
        where = cell[start : start + PIECE]
        piece = table.slice(start, PIECE).to_numpy(order="c")
        # A sum is finite exactly if every feature is.
        complete = np.isfinite(np.einsum("nf->n", piece))
        mask[where] = complete
        values[where] = piece if complete.all() else np.where(complete[:, None], piece, np.float32(0))
    return values.reshape(*shape, table.width), mask.reshape(shape)


def _price_grid(prices: pl.Series, cell: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Prices `[T, A]`, NaN where masked."""
    grid = np.full(mask.shape, np.nan)
    grid.reshape(-1)[cell] = prices.to_numpy()
    grid[~mask] = np.nan
    return grid


def _close_times(close_time: pl.Series, row: NDArray[np.int64], rows: int) -> NDArray[np.datetime64]:
    """Close time of each row of the grid `[T]`."""
    moments = close_time.to_physical().to_numpy()
    closes = np.empty(rows, dtype=np.int64)
    closes[row] = moments
    if not np.array_equal(closes[row], moments):
        raise BarDataError(
            "symbols disagree on when the same bar closed", remedy="give all symbols of a universe one calendar and bar"
        )
    return closes.view("datetime64[us]")
