"""Dynamic correlations of all symbols, known at the end of each row of the aligned panel.

Exponentially weighted, as in RiskMetrics (J.P. Morgan and Reuters, RiskMetrics Technical Document, 4th edition, 1996,
section 5.2): with zero mean, `S_t = decay * S_(t-1) + (1 - decay) * r_t r_t'` and `corr = S_ab / sqrt(S_aa * S_bb)`. A
symbol without a bar in a row has not moved there: its return is 0, and the next one spans the gap. So `S` is a sum of
outer products at every row, and no correlation can leave [-1, 1]. Markets whose bars never end in the same row therefore
look uncorrelated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toto_ops.configuration import StrictModel

BLOCK = 32
"""Rows after which the matrix of all pairs is brought up to date."""

FORGOTTEN = 1e-200
"""Sums of squared returns below this have faded away; so small, numbers lose their digits and processors their speed."""


class CorrelationConfig(StrictModel):
    """How fast the past is forgotten."""

    decay: float = Field(default=0.94, gt=0, lt=1, description="weight of the row before; 0.94 is RiskMetrics' for daily bars")


@dataclass(frozen=True)
class Correlations:
    """Correlations of `A` symbols over `T` rows, float32; 0 where the symbol has no return or never moved.

    Attributes
    ----------
    market
        `[T, A]` with the mean return of the symbols that have one in the row, the symbol itself included.
    mean
        `[T, A]` mean of those with each other symbol that has a return in the row; 0 where there is no other.
    """

    market: NDArray[np.float32]
    mean: NDArray[np.float32]


def correlations(returns: NDArray[np.float64], config: CorrelationConfig) -> Correlations:
    """Correlations at every row, from returns up to and including it.

    `reference.correlations` says the same in plain loops.

    Parameters
    ----------
    returns
        `[T, A]` log return of the bar of each symbol that closes in the row, NaN where there is none.
    """
    present = np.isfinite(returns)
    count = present.sum(axis=1)
    # A row in which no bar closes passes no time.
    passing = count > 0
    count, here, moves = count[passing], present[passing], np.where(present, returns, 0.0)[passing]
    market = moves.sum(axis=1) / count
    variance = _smoothed(moves**2, config.decay)
    precision = _inverse_root(variance)
    with_market = _smoothed(moves * market[:, None], config.decay) * precision
    with_market *= _inverse_root(_smoothed(market**2, config.decay))[:, None]
    counted = precision * here
    with_all = _covariance_products(moves, counted, config.decay) * precision
    with_others = np.where(count > 1, 1.0 / np.maximum(count - 1, 1), 0.0)[:, None] * (with_all - variance * precision * counted)
    return Correlations(market=_in_rows(with_market, here, passing), mean=_in_rows(with_others, here, passing))


def _smoothed(values: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    """`x_t + decay * x_(t-1) + ...` of `[T]` or `[T, A]`. The factor `1 - decay` is left out: it cancels in a correlation."""
    smoothed, latest = np.empty_like(values), np.zeros(values.shape[1:])
    for t, value in enumerate(values):
        latest = decay * latest + value
        smoothed[t] = latest
    return smoothed


def _covariance_products(moves: NDArray[np.float64], counted: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    """`S_t @ counted_t` for each of `T` rows, with `S_t = moves_t moves_t' + decay * S_(t-1)`.

    The matrix is brought up to date once in `BLOCK` rows; within a block, what its rows have added so far is taken from
    the moves themselves. So all work is products of matrices, which costs a tenth of a matrix touched at every row. The
    last block is filled up with rows of zeros: the numbers of a row must not depend on how many follow it.
    """
    rows, assets = moves.shape
    since = np.arange(BLOCK)[None, :] - np.arange(BLOCK)[:, None]
    fading = np.where(since >= 0, decay ** np.maximum(since, 0), 0.0)
    products, covariance = np.empty((rows, assets)), np.zeros((assets, assets))
    for start in range(0, rows, BLOCK):
        new, asked = (_block(values, start) for values in (moves, counted))
        within = new.T @ np.where(since >= 0, new @ asked.T * fading, 0.0)
        before = covariance @ asked.T * decay ** np.arange(1, BLOCK + 1)
        products[start : start + BLOCK] = (before + within).T[: rows - start]
        covariance = decay**BLOCK * covariance + new.T @ (new * fading[:, -1:])
        covariance[np.abs(covariance) < FORGOTTEN] = 0.0
    return products


def _block(values: NDArray[np.float64], start: int) -> NDArray[np.float64]:
    """`BLOCK` rows from `start` on, zeros after the last."""
    block = np.zeros((BLOCK, values.shape[1]))
    part = values[start : start + BLOCK]
    block[: len(part)] = part
    return block


def _inverse_root(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """One over the deviation; 0 for what has not moved within memory."""
    return np.divide(1.0, np.sqrt(variance), out=np.zeros_like(variance), where=variance > FORGOTTEN)


def _in_rows(values: NDArray[np.float64], here: NDArray[np.bool_], passing: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The correlations `[T, A]` of all rows, 0 where there is no return; rounding may have left them outside [-1, 1]."""
    rows = np.zeros((len(passing), values.shape[1]), dtype=np.float32)
    rows[passing] = np.where(here, values, 0.0).clip(-1.0, 1.0)
    return rows
