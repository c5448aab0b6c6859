"""At which row each decision of a backtest took effect: all rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def fill_rows(decided: NDArray[np.bool_], tradable: NDArray[np.bool_], lag: int) -> NDArray[np.int64]:
    """The opens at which decisions fill, by the rules of `toto_ops.simulation.orders`, which moves one row at a time.

    Parameters
    ----------
    decided, tradable
        `[T, A]` bool: decided at the close of the row; a bar opens in the row. The last open is not traded at.
    lag
        Opens from the decision to the first at which it may fill.

    Returns
    -------
    NDArray[np.int64]
        `[T, A]` row of the fill; -1 where there is no decision, where no open came, or where a newer decision fell due
        by then.
    """
    rows, assets = decided.shape
    row = np.arange(rows)[:, None]
    none = 2 * rows
    opens = np.where(tradable & (row < rows - 1), row, none)
    next_open = np.concatenate((_earliest_from_here(opens), np.full((lag, assets), none)))[lag:]
    next_decision = np.concatenate((_earliest_from_here(np.where(decided, row, none))[1:], np.full((1, assets), none)))
    fills = decided & (next_open < rows) & (next_decision + lag > next_open)
    return np.where(fills, next_open, -1)


def _earliest_from_here(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """`[T, A]` smallest entry from each row on."""
    return np.minimum.accumulate(rows[::-1], axis=0)[::-1]
