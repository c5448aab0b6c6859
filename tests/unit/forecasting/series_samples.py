"""Series to forecast: real bundled bars, and made-up ones."""

from __future__ import annotations

import polars as pl
import torch
from torch import Tensor

from toto_ops.forecasting.series import BarSeries, series_of, stacked
from toto_ops.market.sources import SAMPLE_FOLDER

SHARES = ("AAPL", "NFLX", "NVDA")


def share_series(symbol: str, last: int) -> BarSeries:
    """The newest bars of a bundled share, stamped by their opens: nothing here depends on a calendar."""
    bars = pl.read_csv(SAMPLE_FOLDER / "daily_stocks" / f"{symbol}.csv", try_parse_dates=True).tail(last)
    moments = bars["timestamp"].dt.replace_time_zone("UTC") if bars["timestamp"].dtype.time_zone is None else bars["timestamp"]
    return series_of(symbol, bars.with_columns(moments.dt.cast_time_unit("us").alias("close_time")))


def share_bars(last: int) -> Tensor:
    """The newest bars of three bundled shares side by side, `[3, V, last]`."""
    return stacked([share_series(symbol, last) for symbol in SHARES])


def standing_bars(last: int) -> Tensor:
    """A price, a range and a volume that never change, `[1, V, last]`."""
    return torch.tensor([4.6, 0.0, 9.2], dtype=torch.float64).reshape(1, 3, 1).expand(1, 3, last).clone()


def wandering_bars(last: int, seed: int = 0, series: int = 2) -> Tensor:
    """Random walks with range and volume of plausible size, `[series, V, last]`."""
    generator = torch.Generator().manual_seed(seed)

    def noise() -> Tensor:
        return torch.randn(series, last, generator=generator, dtype=torch.float64)

    return torch.stack(((0.02 * noise()).cumsum(-1) + 3.0, (0.3 * noise() - 4.0).exp(), noise() + 12.0), dim=1)


def ended_after(x: Tensor, *bars: int) -> Tensor:
    """Series that end after so many bars each: NaN follows."""
    bar = torch.arange(x.shape[-1])
    return torch.where(bar < torch.tensor(bars).reshape(-1, 1, 1), x, torch.nan)
