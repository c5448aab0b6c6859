"""What closes tell of each symbol, row by row: whether it is still there, its returns, its momentum and its risk.

A symbol is counted as long as it has had a bar within the last week: what pauses for a night or a weekend keeps its share,
what has gone for good is known to be gone a week later.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

PRESENT_FOR = np.timedelta64(7, "D")
"""A symbol without a bar for longer than this is no longer counted."""

MOMENTUM_BARS = 252
"""Bars of the symbol itself over which its momentum is taken: a year of a stock exchange's days."""

RISK_ROWS = 126
"""Rows of the panel over which volatilities and correlations are estimated: half a year of a stock exchange's days."""

SHRINKAGE = 0.1
"""Share by which estimated covariances are pulled to zero: it keeps the matrix of many symbols positive definite."""


@dataclass(frozen=True)
class PriceHistory:
    """What is known at the close of each row, and at no earlier moment, of `T` rows and `A` symbols.

    Attributes
    ----------
    mask, close
        `[T, A]` as in `Panel`.
    close_time
        `[T]`.
    """

    mask: NDArray[np.bool_]
    close: Array
    close_time: NDArray[np.datetime64]

    @cached_property
    def latest(self) -> Rows:
        """`[T, A]` row of the latest bar; -1 before the first."""
        rows = np.arange(len(self.mask))[:, None]
        return np.asarray(np.maximum.accumulate(np.where(self.mask, rows, -1), axis=0))

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """`[T, A]` the symbol has had a bar within `PRESENT_FOR`."""
        silent = self.close_time[:, None] - self.close_time[self.latest]
        return (self.latest >= 0) & (silent <= PRESENT_FOR)

    @cached_property
    def log_returns(self) -> Array:
        """`[T, A]` from row to row, 0 without a bar: the bar after a pause carries the whole move; NaN up to the first."""
        known = self.latest >= 0
        price = np.where(known, np.log(np.take_along_axis(self.close, self.latest, axis=0)), np.nan)
        return np.asarray(np.diff(price, axis=0, prepend=np.full_like(price[:1], np.nan)))

    @cached_property
    def momentum(self) -> Array:
        """`[T, A]` return over the latest `MOMENTUM_BARS` bars of the symbol; NaN where it has fewer."""
        momentum = np.full(self.close.shape, np.nan)
        for column, traded in enumerate(self.mask.T):
            bars = np.flatnonzero(traded)
            price = self.close[bars, column]
            momentum[bars[MOMENTUM_BARS:], column] = price[MOMENTUM_BARS:] / price[:-MOMENTUM_BARS] - 1.0
        return np.asarray(np.where(self.latest >= 0, np.take_along_axis(momentum, self.latest, axis=0), np.nan))

    def covariance(self, row: int) -> tuple[Array, NDArray[np.bool_]]:
        """Covariance `[A, A]` of the log returns of the latest `RISK_ROWS` rows, and whose is known `[A]`.

        A symbol's is known where it is present, has been there for all of those rows and has moved within them; for the
        others the matrix says that they vary by 1 and with nobody.
        """
        returns = self.log_returns[max(row + 1 - RISK_ROWS, 0) : row + 1]
        deviation = returns.std(axis=0)
        known = self.present[row] & (deviation > 0) & (len(returns) == RISK_ROWS)
        centred = np.where(known, returns - returns.mean(axis=0), 0.0)
        covariance = (1.0 - SHRINKAGE) * centred.T @ centred / RISK_ROWS
        np.fill_diagonal(covariance, np.where(known, deviation**2, 1.0))
        return covariance, known
