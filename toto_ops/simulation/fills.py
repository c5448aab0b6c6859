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
        Opens of the symbol from the decision to its fill.

    Returns
    -------
    NDArray[np.int64]
        `[T, A]` row of the fill; -1 where there is no decision, where too few opens came, or where a newer decision came
        before the next open did.
    """
    rows = len(decided)
    opens = tradable & (np.arange(rows)[:, None] < rows - 1)
    opened = np.cumsum(opens, axis=0, dtype=np.int64)
    # The row of each symbol's n-th open; beyond the last one there is none.
    row_of = np.full((rows + lag, decided.shape[1]), -1)
    row, asset = np.nonzero(opens)
    row_of[opened[row, asset] - 1, asset] = row
    fill = np.take_along_axis(row_of, opened + lag - 1, axis=0)
    return np.where(decided & ~_superseded(decided, opened), fill, -1)


def _superseded(decided: NDArray[np.bool_], opened: NDArray[np.int64]) -> NDArray[np.bool_]:
    """`[T, A]`: whether the next decision on the symbol comes before the symbol opens again."""
    none = np.iinfo(np.int64).max
    from_here = np.minimum.accumulate(np.where(decided, opened, none)[::-1], axis=0)[::-1]
    following = np.concatenate((from_here[1:], np.full((1, decided.shape[1]), none)))
    superseded: NDArray[np.bool_] = following == opened
    return superseded
