"""Bars of a symbol as the series a backbone reads: log close, range and volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from toto_ops.errors import BarDataError
from toto_ops.features.moments import to_utc64

VARIATES = ("close", "range", "volume")
"""Logarithm of the close; logarithm of high over low; logarithm of one plus the volume."""

CLOSE = VARIATES.index("close")


@dataclass(frozen=True)
class BarSeries:
    """The bars of one symbol, without gaps: bar `t + 1` is the next one there is.

    Attributes
    ----------
    close_time
        `[T]` `datetime64[us]`, UTC, increasing.
    values
        `[T, V]` float64 in the order of `VARIATES`, finite.
    """

    symbol: str
    close_time: NDArray[np.datetime64]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.close_time), len(VARIATES)):
            raise ValueError(f"{self.symbol}: {len(self.close_time)} bars have values of shape {self.values.shape}")

    def __len__(self) -> int:
        return len(self.close_time)

    def until(self, moment: datetime) -> BarSeries:
        """The bars that have closed by a moment."""
        return self.take(slice(0, int(np.searchsorted(self.close_time, to_utc64(moment), side="right"))))

    def between(self, after: datetime, until: datetime) -> BarSeries:
        """The bars whose close lies in `(after, until]`."""
        first = int(np.searchsorted(self.close_time, to_utc64(after), side="right"))
        return self.until(until).take(slice(first, None))

    def take(self, rows: slice) -> BarSeries:
        """Some of the bars, one after the other."""
        return BarSeries(self.symbol, self.close_time[rows], self.values[rows])


def series_of(symbol: str, bars: pl.DataFrame) -> BarSeries:
    """The series of a symbol.

    Parameters
    ----------
    bars
        `BAR_SCHEMA`, in order.

    Raises
    ------
    BarDataError
        If a value is missing, a price is not positive or a volume is negative; names the bar.
    """
    close, high, low, volume = (bars[name].cast(pl.Float64).to_numpy() for name in ("close", "high", "low", "volume"))
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.column_stack((np.log(close), np.log(high / low), np.log1p(volume)))
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        bar = int(np.flatnonzero(~finite)[0])
        raise BarDataError(
            f"bar that closed {bars['close_time'][bar]} has values no forecast can be made from "
            f"(high {high[bar]}, low {low[bar]}, close {close[bar]}, volume {volume[bar]})",
            where=symbol,
            remedy="mend or remove this bar in the source, then retrain",
        )
    return BarSeries(symbol, bars["close_time"].to_physical().to_numpy().view("datetime64[us]"), values)


def stacked(series: Sequence[BarSeries]) -> Tensor:
    """Series side by side, `[B, V, T]` float64: each begins at 0, and NaN follows the end of those shorter than the longest."""
    longest = max(map(len, series), default=0)
    values = np.full((len(series), len(VARIATES), longest), np.nan)
    for row, one in enumerate(series):
        values[row, :, : len(one)] = one.values.T
    return torch.from_numpy(values)


def lengths_of(x: Tensor) -> Tensor:
    """`[B]` int64 bars of each series in `[B, V, T]`, of which only the end may be NaN.

    Raises
    ------
    BarDataError
        If a value within a series is NaN or infinite: it names the series and the bar.
    """
    finite = torch.isfinite(x).all(dim=1)
    bars_so_far = torch.where(torch.isnan(x).all(dim=1), 0, torch.arange(1, x.shape[-1] + 1, device=x.device))
    # A series of no bars has a largest number as well.
    lengths = torch.nn.functional.pad(bars_so_far, (1, 0)).amax(dim=-1)
    broken = ~finite & (torch.arange(x.shape[-1], device=x.device) < lengths.unsqueeze(-1))
    if broken.any():
        row, bar = broken.nonzero()[0].tolist()
        raise BarDataError(
            f"value {bar} of series {row} is not a finite number", where="forecast input", remedy="leave out or mend this bar"
        )
    return lengths


def newest(x: Tensor, bars: int) -> Tensor:
    """The last bars of each series in `[B, V, T]`, by its own end: `[B, V, min(T, bars)]`, NaN after the end of shorter ones.

    Raises
    ------
    BarDataError
        As `lengths_of`.
    """
    lengths = lengths_of(x)
    bars = min(bars, x.shape[-1])
    bar = (lengths - bars).clamp_min(0).unsqueeze(-1) + torch.arange(bars, device=x.device)
    return x.gather(-1, bar.unsqueeze(1).expand(-1, x.shape[1], -1))
