"""States of many and long series, a piece at a time: exact where a state depends on a limited number of bars."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def in_pieces(states: Callable[[Tensor], Tensor], x: Tensor, reach: int, at_once: int) -> Tensor:
    """`states(x)` of series `[B, V, T]` from about `at_once` bars of them in memory, `[B, T, D]`.

    Parameters
    ----------
    states
        From `[B', V, T']` to `[B', T', D]`; the state of a bar depends on no more than the latest `reach` bars.
    reach
        Bars, the present one included.
    at_once
        Bars of all series that are passed to `states` together; more where `reach` alone is more.
    """
    stretch = max(at_once, 4 * reach)
    pieces = []
    for begin in range(0, max(1, x.shape[-1]), stretch):
        fresh = min(stretch, x.shape[-1] - begin)
        seen = x[..., max(0, begin - reach + 1) : begin + fresh]
        rows = max(1, at_once // max(1, seen.shape[-1]))
        parts = [seen[first : first + rows] for first in range(0, len(seen), rows)]
        pieces.append(torch.cat([states(part)[:, seen.shape[-1] - fresh :] for part in parts]))
    return torch.cat(pieces, dim=1)
