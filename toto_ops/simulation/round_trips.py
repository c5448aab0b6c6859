"""Net profit per round trip: from the first unit of a position to the last, or to the moment it changes sides."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class RoundTrips(NamedTuple):
    """Profits in money, after the costs of their own trades; financing belongs to the account, not to a trip.

    Attributes
    ----------
    closed
        `[N]` in order of the bar that closed them, then of the symbol.
    open
        `[M]` of positions still open, valued at `value_end`.
    """

    closed: NDArray[np.float64]
    open: NDArray[np.float64]


def round_trips(
    value_before: NDArray[np.float64], value_after: NDArray[np.float64], value_end: NDArray[np.float64], cost_rate: float
) -> RoundTrips:
    """Cut the trades of each symbol into round trips.

    Parameters
    ----------
    value_before, value_after
        `[T, A]` value of each position at each open, before and after the trades there.
    value_end
        `[A]` value of what is still held at the end.
    cost_rate
        Cost per traded value.
    """
    flips = value_before * value_after < 0
    closes = ((value_after == 0) & (value_before != 0)) | flips
    change = value_after - value_before
    flow = -change - cost_rate * np.abs(change)
    # A flip closes one trip and opens the next at the same price: only the closing part belongs to the first.
    closing = np.where(flips, value_before - cost_rate * np.abs(value_before), flow)
    received = np.cumsum(flow, axis=0) - flow + closing

    asset, bar = np.nonzero(closes.T)
    at_close = received[bar, asset]
    first = np.ones(asset.size, dtype=bool)
    first[1:] = asset[1:] != asset[:-1]
    before_trip = np.where(first, 0.0, np.roll(at_close, 1)) if asset.size else at_close
    closed = (at_close - before_trip)[np.lexsort((asset, bar))]

    settled = np.zeros(value_end.size)
    last = np.ones(asset.size, dtype=bool)
    last[:-1] = asset[1:] != asset[:-1]
    settled[asset[last]] = at_close[last]
    held = value_end != 0
    still_open = (flow.sum(axis=0) + value_end - settled)[held]
    return RoundTrips(closed=closed, open=still_open)
