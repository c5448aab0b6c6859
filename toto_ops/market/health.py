"""Data health index (DSI): how far the recent bars of a symbol can be trusted, from 0 to 1, known at each close.

Quality decides whether bars may be used at all; health says how good the usable ones are, bar by bar, and is itself a
feature. Over a trailing window it counts five faults: bars the calendar expected and the feed lacks, bars without
volume, bars whose price stood still, extreme jumps, and no published sentiment. Each share is set against the share at
which that fault alone makes the data worthless; the index is one minus the weighted mean.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from toto_ops.configuration import StrictModel
from toto_ops.market.calendars import ALWAYS_OPEN, expected_open_times
from toto_ops.universes import Universe


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
    close, symbol = pl.col("close"), pl.col("symbol")
    size = close.log().diff().abs()
    usual = pl.col("size").rolling_mean(config.window, min_samples=config.jump_history).shift(1).over("symbol")
    table = (
        bars.lazy()
        .with_columns(first=symbol != symbol.shift(1, fill_value=""))
        .with_columns(size=pl.when(~pl.col("first")).then(size))
        .with_columns(usual=usual)
        .select(
            "first",
            untraded=pl.col("volume") <= 0,
            stale=(pl.col("size") == 0) & (pl.col("high") == pl.col("low")),
            jump=pl.col("size") > config.jump_multiple * pl.col("usual").clip(lower_bound=0),
            no_sentiment=~pl.col("has_sentiment"),
        )
        .fill_null(value=False)
        .collect()
    )
    row = np.arange(len(bars))
    block_start = np.maximum.accumulate(np.where(table["first"].to_numpy(), row, 0))
    window_start = np.maximum(block_start, row - config.window + 1)
    present = row - window_start + 1
    expected_row = calendar_rows(bars["open_time"], universe)
    expected = expected_row - expected_row[window_start] + 1

    shares = [
        np.maximum(0.0, 1.0 - present / expected),
        *(_count(table[fault], window_start) / present for fault in ("untraded", "stale", "jump")),
        table["no_sentiment"].to_numpy().astype(np.float64),
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


def _count(flags: pl.Series, window_start: NDArray[np.int64]) -> NDArray[np.int64]:
    """`[N]` number of raised flags from `window_start` to each row. Integer sums are exact, so symbols cannot mix."""
    total = np.cumsum(flags.to_numpy(), dtype=np.int64)
    before = np.concatenate(([0], total[:-1]))
    return total - before[window_start]
