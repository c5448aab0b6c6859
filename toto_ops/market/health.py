"""Data health index (DSI): how far the recent bars of a symbol can be trusted, from 0 to 1, known at each close.

Quality decides whether bars may be used at all; health says how good the usable ones are, bar by bar, and is itself a
feature. Over a trailing window it counts five faults: bars the calendar expected and the feed lacks, bars without
volume, bars whose price stood still, extreme jumps, and no published sentiment. Each share is set against the share at
which that fault alone makes the data worthless; the index is one minus the weighted mean.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from toto_ops.configuration import StrictModel
from toto_ops.market.calendars import ALWAYS_OPEN, expected_open_times
from toto_ops.universes import Universe

Whole = TypeVar("Whole", np.int32, np.int64)

STEPS = 1e9
"""Returns are counted in whole billionths: far below any tick, and sums of whole numbers are exact."""


class Fault(StrictModel):
    """What one kind of fault costs."""

    weight: float = Field(ge=0, description="share of the index it can take away; weights are normalised")
    intolerable: float = Field(default=0.5, gt=0, le=1, description="share of faulty bars that takes all of it away")


class HealthConfig(StrictModel):
    """Window and faults of the data health index."""

    window: int = Field(default=60, ge=2, description="trailing bars, the current one included")
    missing: Fault = Fault(weight=0.35)
    untraded: Fault = Fault(weight=0.2)
    stale: Fault = Fault(weight=0.2)
    jump: Fault = Fault(weight=0.15, intolerable=0.1)
    no_sentiment: Fault = Fault(weight=0.1, intolerable=1.0)
    jump_multiple: float = Field(default=8.0, gt=1, description="a return this many times the mean size before it is a jump")
    jump_history: int = Field(default=20, ge=1, description="earlier returns needed to call something a jump")

    @model_validator(mode="after")
    def _weighs_something(self) -> HealthConfig:
        if sum(fault.weight for fault in self.faults) <= 0:
            raise ValueError("at least one fault needs a weight above 0")
        if self.jump_history > self.window:
            raise ValueError(f"jump_history ({self.jump_history}) does not fit into the window ({self.window})")
        return self

    @property
    def faults(self) -> tuple[Fault, ...]:
        """In the order missing, untraded, stale, jump, no sentiment."""
        return (self.missing, self.untraded, self.stale, self.jump, self.no_sentiment)


def data_health(bars: pl.DataFrame, universe: Universe, config: HealthConfig) -> pl.Series:
    """Data health index of every bar.

    Parameters
    ----------
    bars
        `[N]` canonical bars of many symbols with `symbol` and `has_sentiment` (bool): one block per symbol, increasing
        in time within it.
    universe
        Whose calendar says which bars were to be expected.

    Returns
    -------
    pl.Series
        `data_health`, `[N]` Float64 in [0, 1]. Bars before a symbol's first are not held against it; windows at its
        start are shorter.
    """
    row = np.arange(len(bars))
    first_row = _first_rows(bars["symbol"])
    position = row - first_row
    window_start = np.maximum(first_row, row - config.window + 1)
    present = row - window_start + 1
    expected_row = calendar_rows(bars["open_time"], universe)
    expected = expected_row - expected_row[window_start] + 1

    size = _move_sizes(bars["close"], position)
    untraded = (bars["volume"] <= 0).to_numpy()
    stale = (size == 0) & (position > 0) & (bars["high"] == bars["low"]).to_numpy()
    jump = _jumps(size, position, window_start, config)
    shares = [
        1.0 - present / np.maximum(present, expected),
        *(_window_sum(fault, window_start, np.int32) / present for fault in (untraded, stale, jump)),
        (~bars["has_sentiment"]).to_numpy(),
    ]
    lost = sum(
        fault.weight * np.minimum(1.0, share / fault.intolerable) for fault, share in zip(config.faults, shares, strict=True)
    )
    health = 1.0 - lost / sum(fault.weight for fault in config.faults)
    return pl.Series("data_health", np.clip(health, 0.0, 1.0))


def calendar_rows(open_time: pl.Series, universe: Universe) -> NDArray[np.int64]:
    """Which bar of the universe's calendar each bar is: two neighbours differ by 1, a hole between them by more.

    Parameters
    ----------
    open_time
        `[N]` of `Datetime("us", "UTC")`, in any order.

    Returns
    -------
    NDArray[np.int64]
        `[N]`; only differences have a meaning.
    """
    moments = open_time.to_physical().to_numpy()
    if universe.calendar == ALWAYS_OPEN:
        return moments // int(universe.bar_length.total_seconds() * 1e6)
    if len(open_time) == 0:
        return moments
    grid = expected_open_times(universe, open_time.min(), open_time.max())  # type: ignore[arg-type]
    return np.searchsorted(grid.to_physical().to_numpy(), moments, side="right")


def _first_rows(symbol: pl.Series) -> NDArray[np.int64]:
    """`[N]` first row of the symbol each row belongs to."""
    first = (symbol != symbol.shift(1)).fill_null(value=True).to_numpy()
    return np.maximum.accumulate(np.where(first, np.arange(len(symbol)), 0))


def _move_sizes(close: pl.Series, position: NDArray[np.int64]) -> NDArray[np.int64]:
    """`[N]` size of each bar's log return in `STEPS`, 0 at the first bar of a symbol."""
    log_close = close.log().to_numpy()
    size = np.abs(np.diff(log_close, prepend=log_close[:1])) * STEPS
    return np.where(position > 0, np.rint(size), 0.0).astype(np.int64)


def _jumps(
    size: NDArray[np.int64], position: NDArray[np.int64], window_start: NDArray[np.int64], config: HealthConfig
) -> NDArray[np.bool_]:
    """`[N]` whether a return dwarfs the mean size of those in the window that ended just before it."""
    total = _window_sum(size, window_start, np.int64)
    total_before = np.concatenate((total[:1], total[:-1]))
    count = np.minimum(position - 1, config.window)
    jumps: NDArray[np.bool_] = (count >= config.jump_history) & (size * count > config.jump_multiple * total_before)
    return jumps


def _window_sum(
    values: NDArray[np.int64] | NDArray[np.bool_], window_start: NDArray[np.int64], dtype: type[Whole]
) -> NDArray[Whole]:
    """`[N]` sum from `window_start` to each row. Sums of integers are exact, so symbols leave no residue in each other."""
    before = np.zeros(len(values) + 1, dtype=dtype)
    np.cumsum(values, out=before[1:])
    return before[1:] - before[window_start]
