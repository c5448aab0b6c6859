"""The four account features: what a policy is told of the portfolio it decides for."""

from __future__ import annotations

import torch
from torch import Tensor

from toto_ops.simulation.portfolio import PortfolioState
from toto_ops.simulation.rules import TradingRules
from toto_ops.simulation.sizing import total

DAYS_SCALE = 30.0
"""Days since the last trade are squashed by tanh(days / 30)."""


def account_features(state: PortfolioState, rules: TradingRules, days_since_open: Tensor) -> Tensor:
    """Account features at the marks of `state`, in the order of `ACCOUNT_FEATURES`.

    Financing accrued since the last open is paid at the next one and is not in here yet.

    Parameters
    ----------
    state
        Marked to the close at which is decided (`mark_to_close`).
    rules
        For `w_max`.
    days_since_open
        `[B]` or `[1]` calendar days from the last open to the decision.

    Returns
    -------
    Tensor
        `[B, A, 4]`: weight over `w_max`, clipped to [-1, 1]; gross exposure over equity; cash over equity;
        tanh(calendar days since the last trade / 30), which is 1 before the first. Where equity is not positive, the
        initial capital takes its place.
    """
    value = state.units * state.mark
    equity = state.cash + total(value)
    base = torch.where(equity > 0, equity, state.initial).unsqueeze(-1)
    weight = value / base
    position = (weight / rules.w_max).clamp(-1.0, 1.0)
    leverage = total(weight.abs()).unsqueeze(-1).expand_as(position)
    cash = (state.cash.unsqueeze(-1) / base).expand_as(position)
    idle = torch.tanh((state.days_since_trade + days_since_open.unsqueeze(-1)) / DAYS_SCALE)
    # Side by side in memory: interleaving them would cost more than all of the arithmetic above.
    return torch.stack((position, leverage, cash, idle)).movedim(0, -1)
