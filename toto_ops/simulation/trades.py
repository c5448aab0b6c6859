"""Round trips: from the first unit of a position to the last, or to the moment it changes sides."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Trades:
    """One row for each of `N` round trips: the closed ones by the bar that closed them, then those still open.

    Attributes
    ----------
    symbol
        `[N]` names.
    side
        `[N]` int64: 1 long, -1 short.
    entry_time, exit_time
        `[N]` `datetime64[us]`, UTC: opens of the first and of the last trade; `exit_time` NaT where still open.
    holding_days
        `[N]` calendar days from entry to exit, or to the end.
    entry_price, exit_price
        `[N]` averages over what was added to the position and over what was taken off it; what is still held counts at
        its latest price.
    largest_units, largest_value
        `[N]` largest absolute size after a trade, and largest absolute value at an open.
    fees
        `[N]` money paid for its trades.
    net_profit
        `[N]` money made after fees; financing belongs to the account, not to a trade.
    returns
        `[N]` net profit over the value of all that was added.
    """

    symbol: NDArray[np.str_]
    side: NDArray[np.int64]
    entry_time: NDArray[np.datetime64]
    exit_time: NDArray[np.datetime64]
    holding_days: NDArray[np.float64]
    entry_price: NDArray[np.float64]
    exit_price: NDArray[np.float64]
    largest_units: NDArray[np.float64]
    largest_value: NDArray[np.float64]
    fees: NDArray[np.float64]
    net_profit: NDArray[np.float64]
    returns: NDArray[np.float64]

    def __len__(self) -> int:
        return self.symbol.size

    @property
    def closed(self) -> Trades:
        """Those that have ended, in order of the bar that closed them, then of the symbol."""
        return self.take(~np.isnat(self.exit_time))

    @property
    def open(self) -> Trades:
        """Those still held at the end, in order of the symbol."""
        return self.take(np.isnat(self.exit_time))

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Trades:
        """Some of the rows, selected by a mask or by their numbers."""
        return Trades(**{column.name: getattr(self, column.name)[rows] for column in fields(self)})


def trades_made(
    symbols: tuple[str, ...],
    open_time: NDArray[np.datetime64],
    *,
    price: NDArray[np.float64],
    value_before: NDArray[np.float64],
    value_after: NDArray[np.float64],
    costs: NDArray[np.float64],
) -> Trades:
    """Cut what was done in each symbol into round trips.

    Parameters
    ----------
    symbols
        `A` names.
    open_time
        `[T]` `datetime64[us]`, increasing.
    price
        `[T, A]` price at which each symbol is valued and traded at each open: the mark of the account.
    value_before, value_after
        `[T, A]` value of each position at each open, before and after the trades there. At the last row they are the
        same: nothing is traded where the record ends.
    costs
        `[T, A]` money paid for the trades.

    Returns
    -------
    Trades
        Their net profits, less the interest paid, add up to the change of equity.
    """
    rows, assets = value_after.shape
    flips = value_before * value_after < 0
    opens = (value_after != 0) & ((value_before == 0) | flips)
    closes = (value_before != 0) & ((value_after == 0) | flips)
    held_before, held_after = value_before != 0, value_after != 0

    # Numbered symbol by symbol, so that one running count serves all: the trip a row leaves behind, and the one it is in.
    after = (np.cumsum(opens.T.ravel()).reshape(assets, rows) - 1).T
    before = after - opens
    count = int(opens.sum())

    change = value_after - value_before
    added = np.where(opens, value_after, np.where(change * value_before > 0, change, 0.0))
    taken = np.abs(change - added)
    added = np.abs(added)
    share = np.divide(added, added + taken, out=np.zeros_like(added), where=change != 0)
    unit = np.where(held_before | held_after, price, 1.0)

    def total(amount_before: NDArray[np.float64], amount_after: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(
            np.bincount(before[held_before], weights=amount_before[held_before], minlength=count)
            + np.bincount(after[held_after], weights=amount_after[held_after], minlength=count)
        )

    def largest(amount_before: NDArray[np.float64], amount_after: NDArray[np.float64]) -> NDArray[np.float64]:
        most = np.zeros(count)
        np.maximum.at(most, before[held_before], amount_before[held_before])
        np.maximum.at(most, after[held_after], amount_after[held_after])
        return most

    nothing = np.zeros_like(change)
    column, row = np.nonzero(opens.T)
    exit_row = np.full(count, -1)
    exit_row[before[closes]] = np.nonzero(closes)[0]
    still_open = exit_row < 0
    left = np.where(still_open, np.abs(value_after[-1, column]), 0.0)
    side = np.sign(value_after[row, column]).astype(np.int64)
    value_in, value_out = total(nothing, added), total(taken, nothing) + left
    fees = total(costs * (1.0 - share), costs * share)
    net_profit = side * (value_out - value_in) - fees
    end = open_time[exit_row]  # the last row, -1, for those still open

    trades = Trades(
        symbol=np.array(symbols, dtype=np.str_)[column],
        side=side,
        entry_time=open_time[row],
        exit_time=np.where(still_open, np.datetime64("NaT", "us"), end),
        holding_days=(end - open_time[row]) / _DAY,
        entry_price=value_in / total(nothing, added / unit),
        exit_price=value_out / (total(taken / unit, nothing) + left / unit[-1, column]),
        largest_units=largest(np.abs(value_before) / unit, np.abs(value_after) / unit),
        largest_value=largest(np.abs(value_before), np.abs(value_after)),
        fees=fees,
        net_profit=net_profit,
        returns=net_profit / value_in,
    )
    return trades.take(np.lexsort((column, np.where(still_open, rows, exit_row))))
