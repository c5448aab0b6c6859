"""From features per symbol to the aligned panel, and the panel to and from disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

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

Scalar = TypeVar("Scalar", bound=np.generic)


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
    known = features.filter(pl.col("symbol").is_in(names)) if set(features["symbol"].unique()) - set(names) else features
    absent = sorted(set(names) - set(known["symbol"].unique()))
    if absent:
        raise InsufficientDataError(f"there are no features of {', '.join(absent)}", remedy="compute features of every symbol")

    open_time, row = _grid(known)
    column = _codes(known["symbol"], names)
    cell = row * len(names) + column
    values = known.select(MARKET_FEATURES).to_numpy(order="c")
    # A sum is finite exactly if every feature is: one pass, where a test of each value would make three.
    complete = np.isfinite(values @ np.ones(len(MARKET_FEATURES), dtype=np.float32))
    if not complete.any():
        raise InsufficientDataError("no bar of any symbol has complete features", remedy="add history before the first bar")

    shape = (len(open_time), len(names))
    has_bar = np.zeros(shape, dtype=bool)
    has_bar.flat[cell] = True
    repeated = len(cell) - int(has_bar.sum())
    if repeated:
        raise BarDataError(f"{repeated} bars repeat a symbol and open time", remedy="keep one bar for each period")
    last_row = shape[0] - 1 - has_bar[::-1].argmax(axis=0)
    usable = _Cells(cell, complete, shape)
    keep = slice(int(row[complete].min()), None)
    return Panel(
        symbols=names,
        feature_names=MARKET_FEATURES,
        open_time=open_time[keep],
        close_time=_close_times(known["close_time"], row, shape[0])[keep],
        features=usable.fill(values, np.float32(0))[keep],
        mask=usable.fill(complete, np.False_)[keep],
        open=usable.fill(known["open"].to_numpy(), np.float64(np.nan))[keep],
        close=usable.fill(known["close"].to_numpy(), np.float64(np.nan))[keep],
        ended=last_row < shape[0] - 1,
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

    remedy = "remove this folder and retrain the universe"
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
    return Panel(symbols=manifest.symbols, feature_names=manifest.feature_names, **(arrays | moments))


def _grid(features: pl.DataFrame) -> tuple[NDArray[np.datetime64], NDArray[np.int64]]:
    """Distinct open times `[T]`, increasing, and the row of each bar `[N]`."""
    moments = features["open_time"].to_physical().to_numpy()
    grid = features["open_time"].unique().sort().to_physical().to_numpy()
    return grid.view("datetime64[us]"), np.searchsorted(grid, moments)


def _codes(symbols: pl.Series, names: tuple[str, ...]) -> NDArray[np.int64]:
    """`[N]` position of each symbol in `names`."""
    return symbols.cast(pl.Enum(names)).to_physical().to_numpy().astype(np.int64)


def _close_times(close_time: pl.Series, row: NDArray[np.int64], rows: int) -> NDArray[np.datetime64]:
    moments = close_time.to_physical().to_numpy()
    closes = np.empty(rows, dtype=np.int64)
    closes[row] = moments
    if not np.array_equal(closes[row], moments):
        raise BarDataError(
            "symbols disagree on when the same bar closed", remedy="give all symbols of a universe one calendar and bar"
        )
    return closes.view("datetime64[us]")


@dataclass(frozen=True)
class _Cells:
    """Where the bars of a table `[N]` go in a grid `[T, A]`, and which of them may be used."""

    cell: NDArray[np.int64]
    use: NDArray[np.bool_]
    shape: tuple[int, int]

    def fill(self, values: NDArray[Scalar], empty: Scalar) -> NDArray[Scalar]:
        """`[T, A, ...]` with `values` `[N, ...]` where they may be used, `empty` elsewhere."""
        flat = np.full((self.shape[0] * self.shape[1], *values.shape[1:]), empty, dtype=values.dtype)
        flat[self.cell] = values
        flat[self.cell[~self.use]] = empty
        return flat.reshape(*self.shape, *values.shape[1:])
