"""Quantile forecasts: their levels, their loss, and what can be read off them.

All take quantiles along the last axis, in the order of `LEVELS`, not crossing.
"""

from __future__ import annotations

import torch
from scipy.stats import norm
from torch import Tensor

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Levels of every quantile forecast."""

MEDIAN = LEVELS.index(0.5)

NORMAL_QUANTILES = tuple(float(norm.ppf(level)) for level in LEVELS)
"""Quantiles of the standard normal distribution."""


def quantile_loss(quantiles: Tensor, realised: Tensor) -> Tensor:
    """Quantile (pinball) loss of each level, `[..., Q]`, of forecasts `[..., Q]` of what came to be `[...]`.

    Koenker and Bassett, Regression Quantiles, Econometrica 46, 1978. NaN where nothing came to be (yet).
    """
    missed = realised.unsqueeze(-1) - quantiles
    levels = torch.tensor(LEVELS, dtype=quantiles.dtype, device=quantiles.device)
    # The larger of `level * missed` and `(level - 1) * missed`, at a third of what taking the larger costs.
    return levels * missed + torch.relu(-missed)


def probability_above(quantiles: Tensor, threshold: Tensor | float = 0.0) -> Tensor:
    """Forecast probability `[...]` that the outcome exceeds `threshold`.

    The distribution function is linear between levels; beyond the outermost two it goes on with the spacing of the nearest
    pair until 0 and 1, so a probability is known everywhere. A distribution of one point has 0.5 at that point.
    """
    levels = torch.tensor(LEVELS, dtype=quantiles.dtype, device=quantiles.device)
    step = LEVELS[1] - LEVELS[0]
    first = quantiles[..., :1] - (quantiles[..., 1:2] - quantiles[..., :1]) * (LEVELS[0] / step)
    last = quantiles[..., -1:] + (quantiles[..., -1:] - quantiles[..., -2:-1]) * ((1.0 - LEVELS[-1]) / step)
    knots = torch.cat((first, quantiles, last), dim=-1)
    heights = torch.cat((levels.new_zeros(1), levels, levels.new_ones(1)))
    at = torch.as_tensor(threshold, dtype=quantiles.dtype, device=quantiles.device).expand(quantiles.shape[:-1]).unsqueeze(-1)
    width = knots[..., 1:] - knots[..., :-1]
    # Share of each piece that lies below the threshold; half of a piece without width exactly there.
    inside = torch.where(width > 0, (at - knots[..., :-1]) / width.clamp_min(torch.finfo(width.dtype).tiny), 0.0)
    point = 0.5 * (1.0 + torch.sign(at - knots[..., :-1]))
    share = torch.where(width > 0, inside.clamp(0.0, 1.0), point)
    return 1.0 - (share * (heights[1:] - heights[:-1])).sum(dim=-1)
