"""Price jumps that look like a split: the price changes by about n:1 or 1:n from one bar to the next.

An unadjusted split turns into a return of -90 % that no one ever earned. A real crash seldom lands on such a ratio, and
a wrong print goes back within a few bars; what lands on the ratio and stays there is taken for a split.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ratios = tuple[tuple[int, int], ...]

WHOLE_RATIOS: Ratios = tuple((n, 1) for n in range(2, 21))
"""New units for old ones; each is looked for as a split and as a reverse split."""
SHARE_RATIOS: Ratios = (*WHOLE_RATIOS, (3, 2))
"""Only shares are split 3:2; a coin that moves by half is having an ordinary week."""

TOLERANCE = 0.1
"""How far the first price after a jump may be from the ratio, as a share of the ratio's logarithm."""
WIDEST_TOLERANCE = 0.15
"""The same in log price, so that large ratios are not found everywhere."""
SAME_DAY_MOVE = 0.10
"""How much further, in log price, the close of that bar may have moved."""
UNCHANGED_OPEN = 0.05
"""An open this near the last close is the last close: some feeds have no opens of their own."""
BARS_TO_REVERT = 5


@dataclass(frozen=True)
class Jumps:
    """Split-like jumps of one symbol, aligned with its bars.

    Parameters
    ----------
    stayed
        `[T]` strings such as `10:1` (the price fell to a tenth) or `1:10` where the price stayed at its new level.
    reverted
        `[T]` likewise, where it came back within a few bars, or was itself the way back.
    """

    stayed: pl.Series
    reverted: pl.Series


def split_like_jumps(bars: pl.DataFrame, ratios: Ratios) -> Jumps:
    """Find jumps near a split ratio, from the last close to the open or, where opens copy the last close, to the close.

    Parameters
    ----------
    bars
        `[T]` rows with `open` and `close`, in order of time. Prices that are missing or not positive take no part.
    ratios
        What a split of this kind of asset may look like.
    """
    opens, closes = _log(bars["open"]), _log(bars["close"])
    before = _shifted(closes, 1)
    overnight, whole = opens - before, closes - before

    logs, labels = _price_changes(ratios)
    borders = (logs[1:] + logs[:-1]) / 2
    tolerance = np.minimum(TOLERANCE * np.abs(logs), WIDEST_TOLERANCE)
    at_open, at_close = np.searchsorted(borders, overnight), np.searchsorted(borders, whole)
    opened_there = (np.abs(overnight - logs[at_open]) <= tolerance[at_open]) & (
        np.abs(whole - logs[at_open]) <= tolerance[at_open] + SAME_DAY_MOVE
    )
    closed_there = (np.abs(overnight) <= UNCHANGED_OPEN) & (np.abs(whole - logs[at_close]) <= tolerance[at_close])
    nearest = np.where(opened_there, at_open, at_close)
    jumped = opened_there | closed_there
    undone = _undone(closes, before, np.abs(logs[nearest]) / 2)
    label = labels.gather(nearest)
    return Jumps(
        stayed=label.set(pl.Series(~jumped | undone), None).alias("split"),
        reverted=label.set(pl.Series(~jumped | ~undone), None).alias("spike"),
    )


def _price_changes(ratios: Ratios) -> tuple[NDArray[np.float64], pl.Series]:
    """Logarithms of the price changes, increasing, and what each is called."""
    named = {new / old: f"{old}:{new}" for new, old in ratios} | {old / new: f"{new}:{old}" for new, old in ratios}
    changes = sorted(named)
    return np.log(changes), pl.Series([named[change] for change in changes])


def _undone(closes: NDArray[np.float64], before: NDArray[np.float64], near: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the price soon returns to the level before the jump, or the jump returns to a level shortly before."""
    undone = np.zeros(len(closes), dtype=np.bool_)
    for distance in range(1, BARS_TO_REVERT + 1):
        undone |= np.abs(_shifted(closes, -distance) - before) < near
        undone |= np.abs(_shifted(closes, distance + 1) - closes) < near
    return undone


def _log(prices: pl.Series) -> NDArray[np.float64]:
    positive = prices.set(~(prices > 0).fill_null(value=False), None)
    return positive.log().to_numpy()


def _shifted(values: NDArray[np.float64], by: int) -> NDArray[np.float64]:
    """`values` moved `by` places to later rows, NaN where nothing arrives."""
    moved = np.full_like(values, np.nan)
    if abs(by) >= len(values):
        return moved
    if by >= 0:
        moved[by:] = values[: len(values) - by]
    else:
        moved[:by] = values[-by:]
    return moved
