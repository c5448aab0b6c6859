"""The quantile head: from the state of a bar to the distribution of what its next bars come to."""

from __future__ import annotations

import math
from itertools import accumulate, islice, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toto_ops.forecasting.quantiles import LEVELS, MEDIAN, NORMAL_QUANTILES
from toto_ops.forecasting.series import VARIATES


class QuantileHead(nn.Module):
    """States `[..., D]` to quantiles `[..., V, H, Q]` of `CausalScale.targets`, never crossing.

    Untrained it says what a random walk with the latest volatility would: quantiles of the standard normal distribution in
    the scale of the bar. Training is what it knows beyond that.

    Parameters
    ----------
    width
        `D` of the states.
    hidden
        Width of the one hidden layer.
    horizon
        Bars it looks ahead, `H`.
    """

    def __init__(self, width: int, hidden: int, horizon: int) -> None:
        super().__init__()
        self.horizon = horizon
        self.norm = nn.LayerNorm(width)
        self.hidden = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, len(VARIATES) * horizon * len(LEVELS))
        for variate in range(len(VARIATES)):
            self.foretell_random_walk(variate)

    def foretell_random_walk(self, variate: int) -> None:
        """Give the outputs of a variate the values they have untrained, whatever the state."""
        outputs = self.horizon * len(LEVELS)
        own = slice(variate * outputs, (variate + 1) * outputs)
        with torch.no_grad():
            self.out.weight[own] = 0.0
            self.out.bias[own] = _random_walk().repeat(self.horizon)

    def forward(self, states: Tensor) -> Tensor:
        return self.quantiles(self.out(self.features(states)))

    def features(self, states: Tensor) -> Tensor:
        """The hidden layer, `[..., hidden]`: what specialists adapt on their way in and out of it."""
        return F.gelu(self.hidden(self.norm(states)))

    def quantiles(self, outputs: Tensor) -> Tensor:
        """The outputs of the last layer, `[..., V * H * Q]`, as quantiles: a median, and steps away from it."""
        return uncrossed(outputs.reshape(*outputs.shape[:-1], len(VARIATES), self.horizon, len(LEVELS)))


def uncrossed(outputs: Tensor) -> Tensor:
    """Outputs `[..., Q]` as quantiles `[..., Q]` that do not cross: the one in the middle is the median, the others are steps."""
    median = outputs[..., MEDIAN]
    steps = F.softplus(outputs).unbind(-1)
    # Level by level from the median outwards: several times as fast as flipping and summing along so short an axis.
    below = accumulate(reversed(steps[:MEDIAN]), torch.sub, initial=median)
    above = accumulate(steps[MEDIAN + 1 :], torch.add, initial=median)
    return torch.stack([*reversed(list(below)), *islice(above, 1, None)], dim=-1)


def _random_walk() -> Tensor:
    """`[Q]` outputs whose quantiles are those of the standard normal distribution."""
    steps = [abs(later - earlier) for earlier, later in pairwise(NORMAL_QUANTILES)]
    inverse_softplus = [math.log(math.expm1(step)) for step in steps]
    return torch.tensor([*inverse_softplus[:MEDIAN], 0.0, *inverse_softplus[MEDIAN:]])
