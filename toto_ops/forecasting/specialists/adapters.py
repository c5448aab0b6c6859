"""Low-rank adapters of the quantile head, one for each symbol, all in one stack of matrices.

Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, ICLR 2022, section 4.1: a frozen matrix `W` becomes
`W + down @ up`, with `up` beginning at zero, so that an untrained specialist is the generic one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toto_ops.forecasting.head import QuantileHead, uncrossed
from toto_ops.forecasting.quantiles import LEVELS
from toto_ops.forecasting.series import CLOSE


@dataclass(frozen=True)
class CloseHead:
    """The part of a quantile head that specialists adapt: what it says of the close over some horizons.

    Raises
    ------
    ValueError
        If the head does not look that far ahead.
    """

    head: QuantileHead
    horizons: tuple[int, ...]

    def __post_init__(self) -> None:
        if not all(1 <= horizon <= self.head.horizon for horizon in self.horizons):
            raise ValueError(f"horizons {self.horizons} are not all within the {self.head.horizon} bars of the head")

    def frozen(self) -> CloseHead:
        """A copy whose weights take no gradients."""
        return CloseHead(copy.deepcopy(self.head).requires_grad_(requires_grad=False), self.horizons)

    def quantiles(self, states: Tensor) -> Tensor:
        """What the generic forecaster says: quantiles `[..., K, Q]` from states `[..., D]`."""
        return self.uncrossed(F.linear(self.head.features(states), self.weight, self.bias))

    @property
    def weight(self) -> Tensor:
        """`[K * Q, hidden]`: the rows of the last layer that are about the close over the horizons, horizon by horizon."""
        return self.head.out.weight[self._rows]

    @property
    def bias(self) -> Tensor:
        """`[K * Q]`: likewise."""
        return self.head.out.bias[self._rows]

    def uncrossed(self, outputs: Tensor) -> Tensor:
        """Outputs `[..., K * Q]` of those rows as quantiles `[..., K, Q]`."""
        return uncrossed(outputs.reshape(*outputs.shape[:-1], len(self.horizons), len(LEVELS)))

    @cached_property
    def _rows(self) -> list[int]:
        first = CLOSE * self.head.horizon
        return [(first + horizon - 1) * len(LEVELS) + level for horizon in self.horizons for level in range(len(LEVELS))]


class StackedAdapters(nn.Module):
    """What `S` specialists change in a head: its hidden layer, and its outputs about the close.

    Parameters
    ----------
    count
        Specialists in the stack, `S`; none is allowed.
    rank
        Rank of every change, `r`.

    Attributes
    ----------
    down, up
        `[S, D, r]` and `[S, r, hidden]`: the change of the hidden layer's weight, transposed.
    out_down, out_up
        `[S, hidden, r]` and `[S, r, K * Q]`: the change of `CloseHead.weight`, transposed.
    """

    def __init__(self, close: CloseHead, count: int, rank: int) -> None:
        super().__init__()
        width, hidden = close.head.hidden.in_features, close.head.hidden.out_features
        self.down, self.up = nn.Parameter(torch.zeros(count, width, rank)), nn.Parameter(torch.zeros(count, rank, hidden))
        self.out_down = nn.Parameter(torch.zeros(count, hidden, rank))
        self.out_up = nn.Parameter(torch.zeros(count, rank, len(close.horizons) * len(LEVELS)))

    @torch.no_grad()
    def draw(self, generators: Sequence[np.random.Generator]) -> None:
        """Draw the projections of each specialist from a generator of its own: who else is in the stack does not matter."""
        for row, generator in enumerate(generators):
            for projection in (self.down[row], self.out_down[row]):
                drawn = generator.standard_normal(tuple(projection.shape), dtype=np.float32)
                projection.copy_(torch.from_numpy(drawn / np.float32(math.sqrt(len(projection)))))

    def __len__(self) -> int:
        return len(self.down)

    def forward(self, close: CloseHead, states: Tensor, places: Sequence[int] | None = None) -> Tensor:
        """Quantiles `[B, N, K, Q]` of the close over the horizons, from states `[B, N, D]`.

        Parameters
        ----------
        places
            `B` places in the stack: which specialist each row of states is for. None: row by row.
        """
        chosen = slice(None) if places is None else torch.tensor(places)
        down, up, out_down, out_up = (part[chosen] for part in (self.down, self.up, self.out_down, self.out_up))
        # Changes are added to the weights: products with matrices as thin as they are would take longer than whole ones.
        into, out_of = close.head.hidden.weight.T + torch.bmm(down, up), close.weight.T + torch.bmm(out_down, out_up)
        hidden = F.gelu(_linear(close.head.norm(states), into, close.head.hidden.bias))
        return close.uncrossed(_linear(hidden, out_of, close.bias))


def _linear(x: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """`[B, N, out]` from `[B, N, in]`, with weights `[B, in, out]` for each row and one bias `[out]`."""
    return torch.baddbmm(bias.expand(len(x), 1, -1), x, weights)
