"""Bars of symbols in the rows of a panel: joined by the moment they close, never by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toto_ops.errors import InsufficientDataError
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.forecasting.series import BarSeries


@dataclass(frozen=True)
class PlacedSeries:
    """The bars of one symbol that have closed by the end of a panel, and where they stand in it.

    Attributes
    ----------
    rows
        `[T_s]` int64 row of each bar, increasing where it has one; -1 for bars before the panel begins or in rows it leaves out.
    """

    series: BarSeries
    rows: NDArray[np.int64]


def panel_rows(panel: Panel, close_time: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """The row of a panel that each bar closes in, `[N]` int64; -1 where there is none.

    Parameters
    ----------
    close_time
        `[N]` closes of bars, UTC.
    """
    row = np.searchsorted(panel.open_time, close_time, side="left") - 1
    # A row that the panel leaves out would else be taken for the one before it.
    within = (row >= 0) & (close_time <= panel.close_time[row])
    return np.where(within, row, -1)


def placed(panel: Panel, series: Sequence[BarSeries]) -> tuple[PlacedSeries, ...]:
    """The series of every symbol of a panel, in its order; those of other symbols are ignored.

    Raises
    ------
    InsufficientDataError
        If a symbol of the panel has no series.
    """
    by_symbol = {one.symbol: one for one in series}
    absent = [symbol for symbol in panel.symbols if symbol not in by_symbol]
    if absent:
        raise InsufficientDataError(
            f"there are no bars of {', '.join(absent)} to make embeddings of", remedy="give the series of every symbol"
        )
    (end,) = to_aware(panel.close_time[-1:])
    until = [by_symbol[symbol].until(end) for symbol in panel.symbols]
    return tuple(PlacedSeries(one, panel_rows(panel, one.close_time)) for one in until)
