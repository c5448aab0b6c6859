"""The panel as tensors: what accounts meet at the opens and closes of its rows, one row for all or one for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toto_ops.features.panel import Panel
from toto_ops.simulation.portfolio import BarPrices

Row = int | Tensor
"""One row for all accounts, or `[B]` int64 with one for each."""

_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class MarketTensors:
    """A panel of `T` rows and `A` symbols, made into tensors once: looking at a row must cost no conversion.

    Attributes
    ----------
    open, close
        `[T, A]` prices in the dtype of the money.
    mask, tradable
        `[T, A]` bool: a bar closes in the row; a bar opens at its start.
    delisted
        `[T, A]` bool: the feed of the symbol has ended before this row.
    elapsed_days, days_to_close
        `[T]` calendar days from the open before to this one, and from this open to the close of the row.
    volatility, traded_value
        `[T, A]` as known before the open of the row, that is at the close of the row before; NaN where unknown.
    features, context
        `[T, A, F]` and `[T, A, G]` float32, known at the close of the row.
    """

    open: Tensor
    close: Tensor
    mask: Tensor
    tradable: Tensor
    delisted: Tensor
    elapsed_days: Tensor
    days_to_close: Tensor
    volatility: Tensor
    traded_value: Tensor
    features: Tensor
    context: Tensor

    @classmethod
    def of(cls, panel: Panel, dtype: torch.dtype) -> MarketTensors:
        """Tensors of a panel; `dtype` is that of the money: float32 in training, float64 where the result is reported."""
        rows = np.arange(panel.rows)[:, None]
        last_bar = np.where(panel.tradable, rows, -1).max(axis=0)
        elapsed = np.diff(panel.open_time, prepend=panel.open_time[:1]) / _DAY

        def money(values: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).to(dtype)

        def known_before(values: np.ndarray) -> Tensor:
            return money(np.concatenate((np.full_like(values[:1], np.nan), values[:-1])))

        return cls(
            open=money(panel.open),
            close=money(panel.close),
            mask=torch.from_numpy(panel.mask),
            tradable=torch.from_numpy(panel.tradable),
            delisted=torch.from_numpy(panel.ended & (rows > last_bar)),
            elapsed_days=money(elapsed),
            days_to_close=money((panel.close_time - panel.open_time) / _DAY),
            volatility=known_before(panel.volatility),
            traded_value=known_before(panel.traded_value),
            features=torch.from_numpy(np.require(panel.features, requirements=["C", "W"])),
            context=torch.from_numpy(np.require(panel.context, requirements=["C", "W"])),
        )

    @property
    def rows(self) -> int:
        return self.mask.shape[0]

    @property
    def assets(self) -> int:
        return self.mask.shape[1]

    def bar(self, row: Row) -> BarPrices:
        """The open of a row: fields `[A]` for one row, `[B, A]` for one per account."""
        return BarPrices(
            open=self.open[row],
            tradable=self.tradable[row],
            delisted=self.delisted[row],
            elapsed_days=self.elapsed_days[row].reshape(-1),
            volatility=self.volatility[row],
            traded_value=self.traded_value[row],
        )
