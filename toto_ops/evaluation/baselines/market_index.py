"""What symbols earned from open to open: each by itself, and their equal-weight mean as the market of a universe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toto_ops.features.panel import Panel

Array = NDArray[np.float64]


def own_open_returns(panel: Panel) -> Array:
    """Return of each symbol from each of its opens to its own next one, `[T, A]`; NaN where it does not open, or never again.

    The next open need not be in the next row: a symbol pauses, or stands beside a market of other hours.
    """
    following = np.full(len(panel.symbols), np.nan)
    returns = np.full(panel.tradable.shape, np.nan)
    for row in range(panel.rows - 1, -1, -1):
        opens = panel.tradable[row]
        returns[row, opens] = following[opens] / panel.open[row, opens] - 1.0
        following = np.where(opens, panel.open[row], following)
    return returns


def market_returns(panel: Panel) -> Array:
    """Equal-weight mean return of the symbols from open to open, `[T - 1]`.

    A symbol counts from its first open to its last; over rows in which it does not open its price stands, so that a gap
    falls into the return that ends it. 0 where no symbol is there. It is an index, not a strategy: no costs, rebalanced at
    every open.
    """
    rows = np.arange(panel.rows)[:, None]
    opens = panel.tradable & ~np.isnan(panel.open)
    latest = np.maximum.accumulate(np.where(opens, rows, -1), axis=0)
    last = np.where(opens, rows, -1).max(axis=0)
    price = np.where(latest >= 0, np.take_along_axis(panel.open, np.maximum(latest, 0), axis=0), np.nan)
    counted = (latest[:-1] >= 0) & (rows[:-1] < last)
    returns = np.where(counted, price[1:] / price[:-1] - 1.0, 0.0)
    return np.asarray(returns.sum(axis=1) / np.maximum(counted.sum(axis=1), 1))
