"""What a policy sees and what it answers: the seam between simulator, policies, evaluation and serving."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor

from toto_ops.features.state import ACCOUNT_FEATURES, ACCOUNT_SLICE, MARKET_FEATURES


class Action(IntEnum):
    """The three actions of a single-symbol policy, in the order of every probability vector."""

    HOLD = 0
    BUY = 1
    SELL = 2


class Observation(NamedTuple):
    """Everything known at the close of one bar, in `B` parallel accounts over `A` symbols.

    The first three fields are always there, the others where they were asked for (`observe`); all but `mask` are float32.
    `toto_ops.simulation.observation_schema` names their columns and units.

    Attributes
    ----------
    market
        `[B, A, 30]` raw market features in the order of `MARKET_FEATURES`.
    account
        `[B, A, 4]` account features in the order of `ACCOUNT_FEATURES`.
    mask
        `[B, A]` bool: the symbol has a bar now and may be decided on.
    context
        `[B, A, G]` the symbol's place in the market, as the panel names it.
    clock
        `[B, 6]` time of day, week and year, in the order of `CLOCK_FEATURES`.
    portfolio
        `[B, 6]` the account as a whole, in the order of `PORTFOLIO_FEATURES`.
    allocation
        `[B, A]` weights held.
    volatility
        `[B, A]` standard deviation of log returns per bar; 0 where unknown.
    forecast
        `[B, A, Q]` of the forecaster, as the panel names it; `Q` is 0 where there is none.
    embedding
        `[B, A, D]` of the forecaster; `D` is 0 where there is none.
    """

    market: Tensor
    account: Tensor
    mask: Tensor
    context: Tensor | None = None
    clock: Tensor | None = None
    portfolio: Tensor | None = None
    allocation: Tensor | None = None
    volatility: Tensor | None = None
    forecast: Tensor | None = None
    embedding: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """The fields that are there, by name and in order."""
        return {name: tensor for name, tensor in self._asdict().items() if tensor is not None}

    def take(self, names: Sequence[str]) -> tuple[Tensor, ...]:
        """The fields of these names, in the order asked for.

        Raises
        ------
        ValueError
            If one of them was not observed.
        """
        there = self.tensors()
        missing = [name for name in names if name not in there]
        if missing:
            raise ValueError(f"the observation lacks {', '.join(missing)}; it holds {', '.join(there)}")
        return tuple(there[name] for name in names)


class Decision(NamedTuple):
    """What a policy wants done at the next fill.

    Attributes
    ----------
    weight
        `[B, A]` target weight as a fraction of equity; meaningless where `hold`.
    hold
        `[B, A]` bool: keep the units held. Masked symbols are always held.
    action
        `[B, A]` int64, an `Action`.
    strength
        `[B, A]` in [0, 1].
    probabilities
        `[B, A, 3]` in the order of `Action`.
    """

    weight: Tensor
    hold: Tensor
    action: Tensor
    strength: Tensor
    probabilities: Tensor


def state_vector(market: Tensor, account: Tensor) -> Tensor:
    """Join market `[..., 30]` and account `[..., 4]` features into the state `[..., 34]` (order: `STATE_FEATURES`)."""
    if market.shape[-1] != len(MARKET_FEATURES) or account.shape[-1] != len(ACCOUNT_FEATURES):
        raise ValueError(
            f"expected {len(MARKET_FEATURES)} market and {len(ACCOUNT_FEATURES)} account features, "
            f"got {tuple(market.shape)} and {tuple(account.shape)}"
        )
    start = ACCOUNT_SLICE.start
    return torch.cat((market[..., :start], account, market[..., start:]), dim=-1)


def split_state(state: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse of `state_vector`: `[..., 34]` to market `[..., 30]` and account `[..., 4]`."""
    market = torch.cat((state[..., : ACCOUNT_SLICE.start], state[..., ACCOUNT_SLICE.stop :]), dim=-1)
    return market, state[..., ACCOUNT_SLICE]


def decide(action: Tensor, strength: Tensor, probabilities: Tensor, mask: Tensor, *, w_max: float, may_short: bool) -> Decision:
    """Turn actions into target weights: the only place where that is done.

    BUY s is +s * w_max; SELL s is -s * w_max where the universe may short, else 0; HOLD keeps the units held.

    Parameters
    ----------
    action
        `[B, A]` int64.
    strength
        `[B, A]` in [0, 1].
    probabilities
        `[B, A, 3]`.
    mask
        `[B, A]` bool; where False the decision is HOLD.
    """
    action = torch.where(mask, action, torch.full_like(action, int(Action.HOLD)))
    short = -strength * w_max if may_short else torch.zeros_like(strength)
    weight = torch.where(action == int(Action.BUY), strength * w_max, torch.where(action == int(Action.SELL), short, 0.0))
    return Decision(weight, action == int(Action.HOLD), action, strength, probabilities)
