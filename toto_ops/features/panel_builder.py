"""From features per symbol to the aligned panel, and the panel to and from disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import ValidationError

from toto_ops.configuration import VersionedModel
from toto_ops.errors import BarDataError, InsufficientDataError, StorageError
from toto_ops.features.context import CONTEXT_FEATURES, CORRELATION_FEATURES
from toto_ops.features.correlations import CorrelationConfig, correlations
from toto_ops.features.panel import Panel
from toto_ops.features.state import ACCOUNT_FEATURES, ACCOUNT_SLICE, MARKET_FEATURES, STATE_FEATURES, STATE_SCHEMA

TENSORS = "panel.safetensors"
MANIFEST = "panel.json"
PRICE_ARRAYS = ("open_time", "close_time", "features", "mask", "open", "close", "ended")
"""What a panel of the first version holds."""
ARRAYS = (*PRICE_ARRAYS, "tradable", "context", "volatility", "traded_value")
PIECE = 8192
"""Bars turned from columns to rows at a time: a megabyte of features."""


class PanelManifest(VersionedModel):
    """What lies beside the tensors. Of the second version: panels of the first have prices and features alone."""

    schema_version: int = 2
    symbols: tuple[str, ...]
    feature_names: tuple[str, ...]
    context_names: tuple[str, ...]
    state_schema: str
    parts: tuple[str, ...] = ()

    @classmethod
    def upgraded(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        return {**content, "context_names": ()}


def build_panel(
    features: pl.DataFrame,
    symbols: Sequence[str],
    correlation: CorrelationConfig | None = None,
    calendars: Mapping[str, str] | None = None,
) -> Panel:
    """Align features and prices of `symbols` on the union of the times at which their bars open.

    Rows before the first bar that any symbol can be decided on are left out; everything later stays, masked where no bar
    of a symbol closes or its look-back is incomplete. A symbol has ended if others of its calendar have later bars.

    Parameters
    ----------
    features
        `[N]` rows of `FEATURE_SCHEMA`, in any order, at most one for a symbol and open time; symbols that are not
        asked for are ignored.
    correlation
        How the dynamic correlations of `context` are weighted; None: as RiskMetrics does.
    calendars
        Calendar of each symbol where markets of different hours stand side by side; None: all have the same.

    Raises
    ------
    InsufficientDataError
        If a symbol has no bars, or no bar of any symbol has complete features.
    BarDataError
        If a symbol has two bars at one open time, or two that overlap, or symbols of one calendar disagree on when a
        bar closed.
    """
    names = tuple(sorted(symbols))
    known, column = _of_symbols(features, names)
    open_time, opens_in = _grid(known)
    shape = (len(open_time), len(names))
    close_time, closes_in = _closes(known["close_time"], open_time)
    opening, closing = opens_in * len(names) + column, closes_in * len(names) + column
    hours = _hours(names, calendars)
    _require_agreement(known["close_time"], opens_in, hours[column])
    bars = _one_bar_each(opening, shape, "repeat a symbol and open time", "keep one bar for each period")
    _one_bar_each(closing, shape, "of a symbol overlap", "give each symbol bars that close before the next one opens")

    values, mask, complete = _feature_grid(known, closing, shape)
    if not mask.any():
        raise InsufficientDataError("no bar of any symbol has complete features", remedy="add history before the first bar")
    tradable = np.zeros(shape, dtype=bool)
    tradable.reshape(-1)[opening] = complete
    keep = slice(int(mask.any(axis=1).argmax()), None)
    return Panel(
        symbols=names,
        feature_names=MARKET_FEATURES,
        open_time=open_time[keep],
        close_time=close_time[keep],
        features=values[keep],
        mask=mask[keep],
        open=_price_grid(known["open"], opening, tradable)[keep],
        close=_price_grid(known["close"], closing, mask)[keep],
        ended=_ended(bars, hours),
        tradable=tradable[keep],
        context_names=CONTEXT_FEATURES,
        context=_context(known, closing, mask, correlation or CorrelationConfig())[keep],
        volatility=_carried(known["volatility"], closing, shape)[keep],
        traded_value=_carried(known["traded_value"], closing, shape)[keep],
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
    """Write `panel.safetensors` and `panel.json` into an existing folder; forecasts and embeddings are left out."""
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(getattr(panel, name)) for name in ARRAYS}
    moments = {name: arrays[name].astype("datetime64[us]").view(np.int64) for name in ("open_time", "close_time")}
    manifest = PanelManifest(
        symbols=panel.symbols,
        feature_names=panel.feature_names,
        context_names=panel.context_names,
        state_schema=STATE_SCHEMA,
        parts=panel.parts,
    )
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
    moments = {name: arrays[name].view("datetime64[us]") for name in ("open_time", "close_time") if name in arrays}
    fields: dict[str, Any] = {"symbols": manifest.symbols, "feature_names": manifest.feature_names, **(arrays | moments)}
    if set(arrays) == set(ARRAYS):
        return Panel(context_names=manifest.context_names, parts=manifest.parts, **fields)
    if set(arrays) == set(PRICE_ARRAYS) and not manifest.context_names:
        return Panel.of_prices(**fields)
    raise StorageError(f"panel holds {sorted(arrays)}, not {sorted(ARRAYS)}", where=str(folder), remedy=remedy)


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


def _closes(close_time: pl.Series, open_time: NDArray[np.datetime64]) -> tuple[NDArray[np.datetime64], NDArray[np.int64]]:
    """When each row of the grid ends `[T]`: with the last bar that closes in it. And the row each bar closes in `[N]`.

    A row in which no bar closes ends where the next one begins.
    """
    moments = close_time.to_physical().to_numpy()
    opens = open_time.view(np.int64)
    row = np.searchsorted(opens, moments) - 1
    closes = np.append(opens[1:], opens[-1])
    latest = np.full(len(opens), np.iinfo(np.int64).min)
    np.maximum.at(latest, row, moments)
    return np.where(latest > opens, latest, closes).view("datetime64[us]"), row


def _one_bar_each(cell: NDArray[np.int64], shape: tuple[int, int], fault: str, remedy: str) -> NDArray[np.bool_]:
    """`[T, A]`: whether there is a bar in each cell; more than one is an error."""
    bars = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    if (bars > 1).any():
        raise BarDataError(f"{(bars > 1).sum()} bars {fault}", remedy=remedy)
    return bars > 0


def _feature_grid(
    features: pl.DataFrame, cell: NDArray[np.int64], shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Features `[T, A, F]`, 0 where incomplete, the mask `[T, A]` of those that are complete, and which bars `[N]` are.

    Columns become rows in pieces that fit into the processor's cache; in one go it takes twice as long.
    """
    table = features.select(MARKET_FEATURES)
    values = np.zeros((shape[0] * shape[1], table.width), dtype=np.float32)
    mask, bar_complete = np.zeros(len(values), dtype=bool), np.zeros(len(cell), dtype=bool)
    for start in range(0, len(cell), PIECE):
        where = cell[start : start + PIECE]
        piece = table.slice(start, PIECE).to_numpy(order="c")
        # A sum is finite exactly if every feature is.
        complete = np.isfinite(np.einsum("nf->n", piece))
        bar_complete[start : start + PIECE] = mask[where] = complete
        values[where] = piece if complete.all() else np.where(complete[:, None], piece, np.float32(0))
    return values.reshape(*shape, table.width), mask.reshape(shape), bar_complete


def _context(
    features: pl.DataFrame, cell: NDArray[np.int64], mask: NDArray[np.bool_], correlation: CorrelationConfig
) -> NDArray[np.float32]:
    """Context `[T, A, G]` in the order of `CONTEXT_FEATURES`, 0 where masked."""
    together = correlations(_spread(features["return_1"], cell, mask.shape), correlation)
    of_all = dict(zip(CORRELATION_FEATURES, (together.market, together.mean), strict=True))
    context = np.zeros((*mask.shape, len(CONTEXT_FEATURES)), dtype=np.float32)
    for g, name in enumerate(CONTEXT_FEATURES):
        grid = of_all[name] if name in of_all else _spread(features[name], cell, mask.shape)
        np.copyto(context[..., g], grid, where=mask, casting="same_kind")
    return context


def _spread(values: pl.Series, cell: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """One value per bar as a grid `[T, A]`, NaN where there is no bar or nothing is known."""
    grid = np.full(shape, np.nan)
    grid.reshape(-1)[cell] = values.to_numpy()
    return grid


def _price_grid(prices: pl.Series, cell: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Prices `[T, A]`, NaN where masked."""
    grid = _spread(prices, cell, mask.shape)
    grid[~mask] = np.nan
    return grid


def _carried(values: pl.Series, cell: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """The latest known value `[T, A]` at the end of each row, NaN before there is one."""
    grid = _spread(values, cell, shape)
    rows = np.arange(shape[0])[:, None]
    newest = np.maximum.accumulate(np.where(np.isfinite(grid), rows, 0), axis=0)
    return np.take_along_axis(grid, newest, axis=0)


def _hours(names: tuple[str, ...], calendars: Mapping[str, str] | None) -> NDArray[np.int64]:
    """`[A]` number of each symbol's calendar."""
    if calendars is None:
        return np.zeros(len(names), dtype=np.int64)
    return np.unique([calendars[name] for name in names], return_inverse=True)[1]


def _require_agreement(close_time: pl.Series, row: NDArray[np.int64], hours: NDArray[np.int64]) -> None:
    """Bars `[N]` of one calendar that open together close together."""
    moments = close_time.to_physical().to_numpy()
    period = row * (int(hours.max()) + 1) + hours
    closes = np.empty(int(period.max()) + 1, dtype=np.int64)
    closes[period] = moments
    if not np.array_equal(closes[period], moments):
        raise BarDataError(
            "symbols disagree on when the same bar closed",
            remedy="give all symbols of a calendar the same bars, or name calendars",
        )


def _ended(bars: NDArray[np.bool_], hours: NDArray[np.int64]) -> NDArray[np.bool_]:
    """`[A]`: whether others of the same calendar have bars after the last of each symbol."""
    last = np.where(bars, np.arange(len(bars))[:, None], -1).max(axis=0)
    newest = np.full(int(hours.max()) + 1, -1)
    np.maximum.at(newest, hours, last)
    ended: NDArray[np.bool_] = last < newest[hours]
    return ended
