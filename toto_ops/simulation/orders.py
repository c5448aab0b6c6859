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
        `[L, B, A]` target weights; slot `l` falls due `l + 1` opens from now, and slot 0 also keeps what waits for a
        tradable open: what is decided for the next one replaces it.
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
        `[A]` or `[B, A]` bool.

    Returns
    -------
    weight, hold
        `[B, A]` for `portfolio_step`: HOLD where nothing fills.
    orders
        What is still waiting.
    """
    weight, hold = orders.weight[0], orders.hold[0]
    fills = orders.decided[0] & tradable
    waiting = (
        orders._replace(decided=(orders.decided[0] & ~fills).unsqueeze(0)) if len(orders.weight) == 1 else _shift(orders, fills)
    )
    return weight, hold | ~fills, waiting


def _shift(orders: Orders, fills: Tensor) -> Orders:
    """One open nearer: what waits makes room for what falls due next."""
    due = orders.decided[1:2]
    waiting = (orders.decided[0] & ~fills).unsqueeze(0) | due
    return Orders(
        weight=torch.cat((torch.where(due, orders.weight[1:2], orders.weight[:1]), orders.weight[2:], orders.weight[:1])),
        hold=torch.cat((torch.where(due, orders.hold[1:2], orders.hold[:1]), orders.hold[2:], orders.hold[:1])),
        decided=torch.cat((waiting, orders.decided[2:], torch.zeros_like(due))),
    )
