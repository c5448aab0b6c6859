"""Orders between the close at which they are decided and the open at which they fill.

A decision fills at the `decision_lag`-th open of its symbol after the close it was taken at: rows in which the symbol does
not open do not count, however many other markets open there. A newer decision replaces one that no open has come after
yet, and a newer HOLD withdraws it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Orders(NamedTuple):
    """Decisions of `B` accounts over `A` symbols that have not filled yet, with room for a lag of up to `L` bars.

    Attributes
    ----------
    weight
        `[L, B, A]` target weights; slot `l` fills at the open `l + 1` of its symbol from now.
    hold
        `[L, B, A]` bool: the decision is to keep the units held.
    decided
        `[L, B, A]` bool: there is a decision in this slot.
    """

    weight: Tensor
    hold: Tensor
    decided: Tensor


def no_orders(batch: int, assets: int, lag: int, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> Orders:
    """Nothing decided; `lag` is the longest decision lag that will be asked for."""
    shape = (lag, batch, assets)
    empty = torch.zeros(shape, dtype=torch.bool, device=device)
    return Orders(torch.zeros(shape, dtype=dtype, device=device), empty, empty)


def place(orders: Orders, weight: Tensor, hold: Tensor, decided: Tensor, lag: int | Tensor) -> Orders:
    """Write down what was decided at a close.

    Parameters
    ----------
    weight, hold, decided
        `[B, A]`; only where `decided` is there an order.
    lag
        Decision lag of all accounts, or `[B]` int64 with one for each.
    """
    slots = torch.arange(1, orders.weight.shape[0] + 1, device=weight.device).view(-1, 1, 1)
    here = (slots == (lag.view(1, -1, 1) if isinstance(lag, Tensor) else lag)) & decided
    return Orders(
        weight=torch.where(here, weight, orders.weight),
        hold=torch.where(here, hold, orders.hold),
        decided=here | orders.decided,
    )


def fill(orders: Orders, tradable: Tensor) -> tuple[Tensor, Tensor, Orders]:
    """Advance to an open and take out what fills there.

    Parameters
    ----------
    tradable
        `[A]` or `[B, A]` bool: the symbol opens here.

    Returns
    -------
    weight, hold
        `[B, A]` for `portfolio_step`: HOLD where nothing fills.
    orders
        What is still waiting.
    """
    fills = orders.decided[0] & tradable
    return orders.weight[0], orders.hold[0] | ~fills, Orders(*(_nearer(slots, tradable) for slots in orders))


def _nearer(slots: Tensor, tradable: Tensor) -> Tensor:
    """`[L, B, A]` slots one open further, for the symbols that open."""
    following = torch.cat((slots[1:], torch.zeros_like(slots[:1])))
    return torch.where(tradable, following, slots)
