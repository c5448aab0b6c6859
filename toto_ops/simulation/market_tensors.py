"""The panel as tensors: what accounts meet at the opens and closes of its rows, one row for all or one for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toto_ops.features.clock import clock
from toto_ops.features.panel import Panel
from toto_ops.simulation.observation_schema import MarketWidths
from toto_ops.simulation.portfolio import BarPrices

Row = int | Tensor
"""One row for all accounts, or `[B]` int64 with one for each."""

_DAY = np.timedelta64(1, "D")


class MarketRow(NamedTuple):
    """What stands in a row: fields `[A, ...]` for one row, `[B, A, ...]` for one per account.

    Attributes
    ----------
    row
        Which.
    bar
        What is known at its open.
    close, mask
        Price at which positions are marked, NaN without a bar; and whether a bar closes in the row.
    days_to_close
        `[1]` or `[B]` calendar days from its open to its close.
    features
        `[..., F]` float32 market features, known at its close.
    """

    row: Row
    bar: BarPrices
    close: Tensor
    mask: Tensor
    days_to_close: Tensor
    features: Tensor


@dataclass(frozen=True)
class MarketTensors:
    """A panel of `T` rows and `A` symbols, made into tensors once: looking at a row must cost no conversion.

    Attributes
    ----------
    table
        `[T, W]` in the dtype of the money: all that an account meets in a row side by side, so that its row is one
        stretch of memory and thousands of accounts gather theirs at once. The fields below are views of it: market
        features (float32 money only), opens, closes, volatilities, traded values, then the two numbers of days.
    open, close
        `[T, A]` prices; NaN where not tradable, or without a bar.
    mask, tradable
        `[T, A]` bool: a bar closes in the row; a bar opens at its start.
    delisted
        `[T, A]` bool: the feed of the symbol has ended before this row.
    elapsed_days, days_to_close
        `[T]` calendar days from the open before to this one, and from this open to the close of the row.
    volatility, traded_value
        `[T, A]` as known before the open of the row, that is at the close of the row before; NaN where unknown.
    features, context, forecast, embedding
        `[T, A, F]`, `[T, A, G]`, `[T, A, Q]` and `[T, A, D]` float32, known at the close of the row.
    latest_volatility
        `[T, A]` float32 volatility as known at the close of the row; 0 where unknown.
    clock
        `[T, 6]` float32 time of day, week and year of the close, in the order of `CLOCK_FEATURES`.
    gapless
        Every symbol opens and closes in every row, so that no order ever waits.
    delists
        Some symbol ends before the panel does.
    """

    table: Tensor
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
    forecast: Tensor
    embedding: Tensor
    latest_volatility: Tensor
    clock: Tensor
    gapless: bool
    delists: bool

    @classmethod
    def of(cls, panel: Panel, dtype: torch.dtype) -> MarketTensors:
        """Tensors of a panel.

        Parameters
        ----------
        dtype
            Of the money: float32 in training, float64 where the result is reported.

        Raises
        ------
        ValueError
            If a price is not finite where a bar opens or closes.
        """
        (rows, assets), width = panel.mask.shape, len(panel.feature_names)
        packed = width * assets if dtype == torch.float32 else 0
        table = torch.empty((rows, packed + 4 * assets + 2), dtype=dtype)
        open_, close, volatility, traded_value = table[:, packed:-2].view(rows, 4, assets).unbind(1)
        open_.copy_(_priced("opens", panel.open, panel.tradable))
        close.copy_(_priced("closes", panel.close, panel.mask))
        volatility.copy_(_known_before(panel.volatility))
        traded_value.copy_(_known_before(panel.traded_value))
        table[:, -2] = torch.from_numpy(np.diff(panel.open_time, prepend=panel.open_time[:1]) / _DAY)
        table[:, -1] = torch.from_numpy((panel.close_time - panel.open_time) / _DAY)
        features = _known(panel.features)
        if packed:
            features = table[:, :packed].view(rows, assets, width).copy_(features)
        last_bar = np.where(panel.tradable | panel.mask, np.arange(rows)[:, None], -1).max(axis=0)
        delisted = panel.ended & (np.arange(rows)[:, None] > last_bar)
        return cls(
            table=table,
            open=open_,
            close=close,
            mask=torch.from_numpy(panel.mask),
            tradable=torch.from_numpy(panel.tradable),
            delisted=torch.from_numpy(delisted),
            elapsed_days=table[:, -2],
            days_to_close=table[:, -1],
            volatility=volatility,
            traded_value=traded_value,
            features=features,
            context=_known(panel.context),
            forecast=_known(panel.forecast),
            embedding=_known(panel.embedding),
            latest_volatility=torch.from_numpy(np.nan_to_num(panel.volatility).astype(np.float32)),
            clock=torch.from_numpy(clock(panel.close_time)),
            gapless=bool(panel.mask.all() and panel.tradable.all()),
            delists=bool(delisted.any()),
        )

    @property
    def rows(self) -> int:
        return self.mask.shape[0]

    @property
    def assets(self) -> int:
        return self.mask.shape[1]

    @property
    def widths(self) -> MarketWidths:
        return MarketWidths(*(table.shape[-1] for table in (self.context, self.forecast, self.embedding)))

    @property
    def complete(self) -> bool:
        """Whether every symbol has every bar."""
        return self.gapless and not self.delists

    def bar(self, row: int) -> BarPrices:
        """The open of a row: fields `[A]`."""
        return BarPrices(
            open=self.open[row],
            tradable=self.tradable[row],
            delisted=self.delisted[row],
            elapsed_days=self.elapsed_days[row].reshape(-1),
            volatility=self.volatility[row],
            traded_value=self.traded_value[row],
            complete=self.complete,
        )

    def at(self, row: Row) -> MarketRow:
        """All that stands in one row, or in one for each account."""
        if not isinstance(row, Tensor):
            days = self.days_to_close[row].reshape(-1)
            return MarketRow(row, self.bar(row), self.close[row], self.mask[row], days, self.features[row])
        gathered, assets = gathered_rows(self.table, row), self.assets
        packed = gathered.shape[1] - 4 * assets - 2
        # Out of between the features: whatever reads them then reads neighbours.
        figures = gathered[:, packed:].contiguous()
        open_, close, volatility, traded_value = figures[:, :-2].view(-1, 4, assets).unbind(1)
        features = gathered[:, :packed].view(len(row), assets, -1) if packed else self.features.index_select(0, row)
        # Prices are NaN exactly where there is no bar: to look costs less than to gather.
        always = self.tradable[0].expand_as(open_)
        bar = BarPrices(
            open=open_,
            tradable=always if self.gapless else ~open_.isnan(),
            delisted=self.delisted.index_select(0, row) if self.delists else self.delisted[0].expand_as(open_),
            elapsed_days=figures[:, -2],
            volatility=volatility,
            traded_value=traded_value,
            complete=self.complete,
        )
        return MarketRow(row, bar, close, always if self.gapless else ~close.isnan(), figures[:, -1], features)


def gathered_rows(table: Tensor, row: Tensor) -> Tensor:
    """`[B, W]` rows `[B]` of a table `[T, W]`.

    Raises
    ------
    IndexError
        If there is no such row.
    """
    if table.dtype != torch.float32:
        return table.index_select(0, row)
    try:
        # Sums over bags of one row each: the kernel fetches ahead, which makes it up to twice as fast as `index_select`.
        return torch.embedding_bag(table, row, torch.arange(len(row), device=row.device))[0]
    except RuntimeError as error:
        missing = row[(row < 0) | (row >= len(table))]
        if not len(missing):
            raise
        raise IndexError(f"row {int(missing[0])} is asked of a table of {len(table)}") from error


def _priced(what: str, prices: NDArray[np.float64], there: NDArray[np.bool_]) -> Tensor:
    """`[T, A]` prices that are finite where there is a bar and NaN elsewhere."""
    if not np.isfinite(prices[there]).all():
        row, symbol = np.argwhere(there & ~np.isfinite(prices))[0].tolist()
        raise ValueError(f"a bar {what} at {prices[row, symbol]} in row {row}, symbol {symbol} of the panel")
    return torch.from_numpy(np.where(there, prices, np.nan))


def _known(values: NDArray[np.float32]) -> Tensor:
    """What is known at each close, in memory that torch may view."""
    return torch.from_numpy(np.require(values, requirements=["C", "W"]))


def _known_before(values: NDArray[np.float64]) -> Tensor:
    """`[T, A]` what was known at the close of the row before; NaN in the first."""
    return torch.from_numpy(np.concatenate((np.full_like(values[:1], np.nan), values[:-1])))
