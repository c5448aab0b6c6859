"""The panel: features and prices of all symbols on one time grid, aligned by timestamp.

Row `t` of the grid is one bar interval of the universe's calendar. A symbol without a bar there is masked: it cannot
be decided on, filled or marked at that row. Nothing is joined by row number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from toto_ops.errors import InsufficientDataError
from toto_ops.features.moments import to_utc64


@dataclass(frozen=True)
class Panel:
    """Aligned market data of `A` symbols over `T` bars, with `F` market features.

    Attributes
    ----------
    symbols
        `A` symbols, sorted.
    feature_names
        `F` names in the order of the last axis of `features`.
    open_time, close_time
        `[T]` `datetime64[us]`, UTC, increasing. Decisions are taken at `close_time`, fills happen at `open_time`.
    features
        `[T, A, F]` float32, known at `close_time[t]`; 0 where masked.
    mask
        `[T, A]` bool: the symbol has a bar at this row, its features are complete and it is a member of the universe.
    open, close
        `[T, A]` float64 prices; NaN where masked.
    ended
        `[A]` bool: the feed of the symbol stopped before the panel does; it is liquidated at its last close.
    """

    symbols: tuple[str, ...]
    feature_names: tuple[str, ...]
    open_time: NDArray[np.datetime64]
    close_time: NDArray[np.datetime64]
    features: NDArray[np.float32]
    mask: NDArray[np.bool_]
    open: NDArray[np.float64]
    close: NDArray[np.float64]
    ended: NDArray[np.bool_]

    def __post_init__(self) -> None:
        rows, assets = self.mask.shape
        expected = {
            "open_time": (rows,),
            "close_time": (rows,),
            "features": (rows, assets, len(self.feature_names)),
            "open": (rows, assets),
            "close": (rows, assets),
            "ended": (assets,),
        }
        wrong = {name: getattr(self, name).shape for name, shape in expected.items() if getattr(self, name).shape != shape}
        if wrong or len(self.symbols) != assets:
            raise ValueError(f"panel of {rows} bars and {assets} symbols has fields of other shapes: {wrong}")

    @property
    def rows(self) -> int:
        return int(self.mask.shape[0])

    def between(self, start: datetime | None, end: datetime | None) -> Panel:
        """Rows whose close lies in `(start, end]`; open ends where None.

        Raises
        ------
        InsufficientDataError
            If no row is left.
        """
        keep = np.ones(self.rows, dtype=bool)
        if start is not None:
            keep &= self.close_time > to_utc64(start)
        if end is not None:
            keep &= self.close_time <= to_utc64(end)
        if not keep.any():
            raise InsufficientDataError(f"the panel has no bar that closes after {start} and by {end}")
        return self.take(keep)

    def take(self, keep: NDArray[np.bool_]) -> Panel:
        """The rows selected by a `[T]` mask."""
        last_kept = int(np.flatnonzero(keep)[-1])
        ended = np.array([self.ended[a] or not self.mask[last_kept, a] for a in range(len(self.symbols))])
        # A symbol that merely pauses at the cut is not ended: it trades again later in the full panel.
        resumes = self.mask[last_kept + 1 :].any(axis=0) if last_kept + 1 < self.rows else np.zeros(len(self.symbols), dtype=bool)
        return replace(
            self,
            open_time=self.open_time[keep],
            close_time=self.close_time[keep],
            features=self.features[keep],
            mask=self.mask[keep],
            open=self.open[keep],
            close=self.close[keep],
            ended=ended & ~resumes,
        )
