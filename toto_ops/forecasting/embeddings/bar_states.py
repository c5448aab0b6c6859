"""States, and forecasts made from them, of the bars that close in some rows of a panel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toto_ops.features.panel import Panel
from toto_ops.forecasting.backbones.contract import Backbone
from toto_ops.forecasting.embeddings.placing import PlacedSeries
from toto_ops.forecasting.forecast_features import forecast_features, forecast_names
from toto_ops.forecasting.forecaster import QuantileForecaster
from toto_ops.forecasting.scaling import WINDOW, CausalScale
from toto_ops.forecasting.series import BarSeries, lengths_of, stacked

BARS_AT_ONCE = 1 << 15
"""Bars whose states, or quantiles of all horizons, are held at a time: about 70 MB of quantiles."""


@dataclass(frozen=True)
class BarsInRows:
    """The bars that close in rows `rows.start` to `rows.stop` of a panel, and all those before them.

    Attributes
    ----------
    series
        Of every symbol of the panel, in its order.
    """

    panel: Panel
    series: Sequence[PlacedSeries]
    rows: slice

    def grid(self, width: int) -> Tensor:
        """`[N, A, width]` float32 of nothing but NaN."""
        return torch.full((self.rows.stop - self.rows.start, len(self.series), width), torch.nan)


@dataclass(frozen=True)
class _Latest:
    """Bars of some symbols that close in the rows asked for: the last `count` at most of each series.

    Attributes
    ----------
    columns
        Place of each symbol in the panel.
    series
        Up to the last of those rows.
    rows
        For each symbol, the rows of its last bars `[<= count]`; -1 for those in none.
    """

    columns: tuple[int, ...]
    series: tuple[BarSeries, ...]
    rows: tuple[NDArray[np.int64], ...]
    count: int

    def spread(self, values: Tensor, grid: Tensor, first: int) -> None:
        """Put `[B, count, W]` values of the last bars, newest last, where they belong in `[N, A, W]` from row `first` on."""
        for one, column, rows in zip(values, self.columns, self.rows, strict=True):
            here = np.flatnonzero(rows >= first)
            grid[rows[here] - first, column] = one[len(one) - len(rows) + here]


def states_in_rows(backbone: Backbone, bars: BarsInRows) -> Tensor:
    """States `[N, A, D]` float32 of the bars that close in some rows, from bars up to those; NaN where there is none."""
    grid = bars.grid(backbone.width)
    with torch.no_grad():
        for latest in _in_turn(bars):
            latest.spread(backbone.latest_states(stacked(latest.series), latest.count), grid, bars.rows.start)
    return grid


def forecasts_in_rows(states: Tensor, asked: QuantileForecaster, bars: BarsInRows, horizons: tuple[int, ...]) -> Tensor:
    """Forecast features `[N, A, 7 K]` float32 of the bars that close in some rows; NaN where there is no state.

    Parameters
    ----------
    states
        `[N, A, D]` as `states_in_rows` gives them.
    asked
        Who foretells from them.
    """
    grid, first = bars.grid(len(forecast_names(horizons))), bars.rows.start
    with torch.no_grad():
        for latest in _in_turn(bars):
            own = torch.full((len(latest.series), latest.count, states.shape[-1]), torch.nan)
            for one, column, at in zip(own, latest.columns, latest.rows, strict=True):
                here = np.flatnonzero(at >= first)
                one[latest.count - len(at) + here] = states[at[here] - first, column]
            told = asked.quantiles(own, [one.symbol for one in latest.series])
            returns = _latest_scale(latest.series, latest.count).returns(told, horizons)
            latest.spread(forecast_features(returns.float()), grid, first)
    return grid


def _in_turn(bars: BarsInRows) -> Iterator[_Latest]:
    """The symbols with bars in the rows, as many at a time as may be held together."""
    series, until = bars.series, bars.panel.close_time[bars.rows.stop - 1]
    ends = [int(np.searchsorted(one.series.close_time, until, side="right")) for one in series]
    begins = [_begin(one, bars.rows.start, end) for one, end in zip(series, ends, strict=True)]
    columns = [column for column in range(len(series)) if ends[column] > begins[column]]
    count = max((ends[column] - begins[column] for column in columns), default=0)
    at_once = max(1, BARS_AT_ONCE // max(count, WINDOW))
    for first in range(0, len(columns), at_once):
        chosen = columns[first : first + at_once]
        yield _Latest(
            columns=tuple(chosen),
            series=tuple(series[column].series.take(slice(0, ends[column])) for column in chosen),
            rows=tuple(series[column].rows[begins[column] : ends[column]] for column in chosen),
            count=max(ends[column] - begins[column] for column in chosen),
        )


def _begin(one: PlacedSeries, first: int, end: int) -> int:
    """The first of `end` bars that closes in row `first` or later."""
    within = np.flatnonzero(one.rows[:end] >= first)
    return int(within[0]) if len(within) else end


def _latest_scale(series: Sequence[BarSeries], count: int) -> CausalScale:
    """Scale of the last `count` bars of each series, newest last; NaN where there are fewer."""
    x = stacked([one.take(slice(max(0, len(one) - count - WINDOW), len(one))) for one in series])
    return CausalScale.of(x).at(lengths_of(x).unsqueeze(-1) - torch.arange(count, 0, -1))
