"""Orders between the close at which they are decided and the open at which they fill.

A decision at the close of a row is due `decision_lag` opens later and fills at the first tradable open from there on. A
newer decision that falls due in the meantime replaces it, and a newer HOLD withdraws it.
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
        `[L + 1, B, A]` target weights; slot 0 waits for a tradable open, slot `l` falls due `l` opens from now.
    hold
        `[L + 1, B, A]` bool: the decision is to keep the units held.
    decided
        `[L + 1, B, A]` bool: there is a decision in this slot.
    """

    weight: Tensor
    hold: Tensor
    decided: Tensor


def no_orders(batch: int, assets: int, lag: int, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> Orders:
    """Nothing decided; `lag` is the longest decision lag that will be asked for."""
    shape = (lag + 1, batch, assets)
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
    slots = torch.arange(orders.weight.shape[0], device=weight.device).view(-1, 1, 1)
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
        `[A]` or `[B, A]` bool.

    Returns
    -------
    weight, hold
        `[B, A]` for `portfolio_step`: HOLD where nothing fills.
    orders
        What is still waiting.
    """
    due = orders.decided[1]
    weight = torch.where(due, orders.weight[1], orders.weight[0])
    hold = torch.where(due, orders.hold[1], orders.hold[0])
    waiting = due | orders.decided[0]
    fills = waiting & tradable
    left = Orders(
        weight=torch.cat((weight.unsqueeze(0), orders.weight[2:], torch.zeros_like(weight).unsqueeze(0))),
        hold=torch.cat((hold.unsqueeze(0), orders.hold[2:], torch.zeros_like(hold).unsqueeze(0))),
        decided=torch.cat(((waiting & ~fills).unsqueeze(0), orders.decided[2:], torch.zeros_like(due).unsqueeze(0))),
    )
    return weight, hold | ~fills, left
