"""The panel: features and prices of all symbols on one time grid, aligned by timestamp.

Row `t` of the grid begins at a moment at which bars open, `open_time[t]`, and ends where the next row begins. A symbol
can be filled there if a bar of it opens at that moment, and decided on if a bar of it closes within the row. In a
universe of one calendar the two are the same bar; where markets of different hours stand side by side they need not be:
a day of a market that never closes spans the row in which a stock exchange opens. Nothing is joined by row number.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from toto_ops.errors import InsufficientDataError
from toto_ops.features.moments import to_utc64


def _no_columns() -> NDArray[np.float32]:
    return np.zeros((0, 0, 0), dtype=np.float32)


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
        `close_time[t]` is never later than `open_time[t + 1]`.
    features
        `[T, A, F]` float32, known at `close_time[t]`; 0 where masked.
    mask
        `[T, A]` bool: a bar of the symbol closes in this row, its features are complete and it is a member of the
        universe. Here it is decided on, and marked to `close`.
    open, close
        `[T, A]` float64 prices; `open` NaN where not tradable, `close` NaN where masked.
    ended
        `[A]` bool: the feed of the symbol stopped before the panel does; it is liquidated at its last close.
    tradable
        `[T, A]` bool: a bar of the symbol opens at `open_time[t]`; orders may fill at `open`.
    context_names
        `G` names in the order of the last axis of `context`.
    context
        `[T, A, G]` float32, known at `close_time[t]`: what a symbol's place in the market is, beyond its own state; 0
        where masked.
    volatility
        `[T, A]` float64: standard deviation of the latest log returns per bar, as known at `close_time[t]`, carried over
        rows without a bar; NaN where unknown.
    traded_value
        `[T, A]` float64: money usually traded in one bar, as known at `close_time[t]`, carried likewise; NaN where
        unknown.
    parts
        `A` names of the universes the symbols come from, in a combined universe; else none.
    forecast_names
        `Q` names in the order of the last axis of `forecast`.
    forecast, embedding
        `[T, A, Q]` and `[T, A, D]` float32, known at `close_time[t]`: what a forecaster says of the symbol; 0 where masked,
        without columns until it is attached (`panel_with_forecasts`). They are no part of a stored panel.
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
    tradable: NDArray[np.bool_]
    context_names: tuple[str, ...]
    context: NDArray[np.float32]
    volatility: NDArray[np.float64]
    traded_value: NDArray[np.float64]
    parts: tuple[str, ...] = ()
    forecast_names: tuple[str, ...] = ()
    forecast: NDArray[np.float32] = field(default_factory=_no_columns)
    embedding: NDArray[np.float32] = field(default_factory=_no_columns)

    @classmethod
    def of_prices(
        cls,
        *,
        symbols: tuple[str, ...],
        feature_names: tuple[str, ...],
        open_time: NDArray[np.datetime64],
        close_time: NDArray[np.datetime64],
        features: NDArray[np.float32],
        mask: NDArray[np.bool_],
        open: NDArray[np.float64],  # noqa: A002 - the field's name
        close: NDArray[np.float64],
        ended: NDArray[np.bool_],
    ) -> Panel:
        """A panel of one calendar of which nothing but prices and features is known: no context, no volatility, no volume."""
        return cls(
            symbols=symbols,
            feature_names=feature_names,
            open_time=open_time,
            close_time=close_time,
            features=features,
            mask=mask,
            open=open,
            close=close,
            ended=ended,
            tradable=mask,
            context_names=(),
            context=np.zeros((*mask.shape, 0), dtype=np.float32),
            volatility=np.full(mask.shape, np.nan),
            traded_value=np.full(mask.shape, np.nan),
        )

    def __post_init__(self) -> None:
        rows, assets = self.mask.shape
        for name in ("forecast", "embedding"):
            # What has no columns is of any rows and symbols.
            if getattr(self, name).shape[-1] == 0:
                object.__setattr__(self, name, np.zeros((rows, assets, 0), dtype=np.float32))
        expected = {
            "open_time": (rows,),
            "close_time": (rows,),
            "features": (rows, assets, len(self.feature_names)),
            "open": (rows, assets),
            "close": (rows, assets),
            "ended": (assets,),
            "tradable": (rows, assets),
            "context": (rows, assets, len(self.context_names)),
            "volatility": (rows, assets),
            "traded_value": (rows, assets),
            "forecast": (rows, assets, len(self.forecast_names)),
            "embedding": (rows, assets, self.embedding.shape[-1]),
        }
        wrong = {name: getattr(self, name).shape for name, shape in expected.items() if getattr(self, name).shape != shape}
        if wrong or len(self.symbols) != assets or len(self.parts) not in {0, assets}:
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
            raise no_bar_between(self, start, end)
        return self.take(keep)

    def take(self, keep: NDArray[np.bool_]) -> Panel:
        """The rows selected by a `[T]` mask."""
        # A symbol that trades again after the cut merely pauses there.
        resumes = self.mask[int(np.flatnonzero(keep)[-1]) + 1 :].any(axis=0)
        return replace(
            self,
            open_time=self.open_time[keep],
            close_time=self.close_time[keep],
            features=self.features[keep],
            mask=self.mask[keep],
            open=self.open[keep],
            close=self.close[keep],
            ended=self.ended & ~resumes,
            tradable=self.tradable[keep],
            context=self.context[keep],
            volatility=self.volatility[keep],
            traded_value=self.traded_value[keep],
            forecast=self.forecast[keep],
            embedding=self.embedding[keep],
        )


def no_bar_between(panel: Panel, start: datetime | None, end: datetime | None) -> InsufficientDataError:
    """No close of a panel lies in `(start, end]`, open ends where None: said with the closes there are."""
    after = "" if start is None else f" after {start.astimezone(UTC):%Y-%m-%d %H:%M}"
    until = "" if end is None else f" by {end.astimezone(UTC):%Y-%m-%d %H:%M}"
    first, last = (f"{close.astype('datetime64[m]').item():%Y-%m-%d %H:%M}" for close in panel.close_time[[0, -1]])
    return InsufficientDataError(
        f"no bar closes{after}{' and' if after and until else ''}{until}",
        remedy=f"choose a span in which there are bars: they close from {first} to {last}, UTC",
    )
