"""Scales known at each bar, by which what a network reads and what it foretells become comparable over time and symbols."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from toto_ops.forecasting.series import CLOSE, VARIATES

FARTHEST = 10.0
"""Inputs and targets beyond this many scales count as this far away.

Where a volume was 0 for weeks its scale is the floor, and its first trade would outweigh all else there is to learn.
"""

WINDOW = 32
"""Bars, the present one included, that a scale is taken from."""

RETURN_FLOOR = 1e-4
"""Standard deviation per bar of a price that stands still: 0.01 %."""

LEVEL_FLOOR = 1e-3
"""Likewise of range and volume."""


@dataclass(frozen=True)
class CausalScale:
    """Location and scale of every variate at every bar, from that bar and those before it.

    Attributes
    ----------
    location, scale
        `[B, V, T]` in the dtype of the series; NaN where there is no bar, and before `WINDOW + 1` of them. For the close: its
        logarithm now, and the root mean square of the latest log returns; for range and volume: mean and standard deviation.
    inputs
        `[B, V, T]` what networks read: the log return over its scale; range and volume as standard scores. Clipped to `FARTHEST`.
    """

    location: Tensor
    scale: Tensor
    inputs: Tensor

    @classmethod
    def of(cls, x: Tensor) -> CausalScale:
        """Of series `[B, V, T]` as `stacked` makes them."""
        if x.shape[-1] <= WINDOW:
            nothing = torch.full_like(x, torch.nan)
            return cls(nothing, nothing, nothing)
        returns = F.pad(x[:, CLOSE].diff(dim=-1), (1, 0), value=torch.nan)
        changes = torch.cat((returns.unsqueeze(1), x[:, 1:]), dim=1)
        trailing = changes.unfold(-1, WINDOW, 1)
        level = trailing.mean(dim=-1)
        spread = torch.cat(
            (
                trailing[:, :1].square().mean(dim=-1).sqrt().clamp_min(RETURN_FLOOR),
                trailing[:, 1:].std(dim=-1, correction=0).clamp_min(LEVEL_FLOOR),
            ),
            dim=1,
        )
        level, spread = (F.pad(part, (WINDOW - 1, 0), value=torch.nan) for part in (level, spread))
        # The first return is missing, so the first window of all variates is one bar longer.
        known = torch.isfinite(spread[:, CLOSE : CLOSE + 1])
        location = torch.cat((x[:, :1], level[:, 1:]), dim=1)
        location, scale = (torch.where(known, part, torch.nan) for part in (location, spread))
        centre = torch.cat((torch.zeros_like(returns).unsqueeze(1), level[:, 1:]), dim=1)
        return cls(location, scale, ((changes - centre) / scale).clamp(-FARTHEST, FARTHEST))

    def at(self, bars: slice | Tensor) -> CausalScale:
        """Of some bars alone: a slice of every series, or `[B, N]` int64 bars of each, NaN where one is negative."""
        parts = (self.location, self.scale, self.inputs)
        if isinstance(bars, slice):
            return CausalScale(*(part[..., bars] for part in parts))
        chosen = bars.clamp_min(0).unsqueeze(1).expand(-1, self.location.shape[1], -1)
        there = (bars >= 0).unsqueeze(1)
        return CausalScale(*(torch.where(there, part.gather(-1, chosen), torch.nan) for part in parts))

    def targets(self, x: Tensor, horizon: int) -> Tensor:
        """What each bar's next `horizon` bars came to in its own scale, `[B, T, V, H]`; NaN where there is none yet.

        For the close: the log return up to bar `t + h` over `scale * sqrt(h)`; for range and volume: their standard score.
        Clipped to `FARTHEST`.
        """
        ahead = torch.full((*x.shape, horizon), torch.nan, dtype=x.dtype, device=x.device)
        for step in range(1, min(horizon, x.shape[-1] - 1) + 1):
            ahead[..., : x.shape[-1] - step, step - 1] = x[..., step:]
        return self._own_scale(ahead, horizon).clamp(-FARTHEST, FARTHEST).movedim(1, 2)

    def _own_scale(self, ahead: Tensor, horizon: int) -> Tensor:
        return (ahead - self.location.unsqueeze(-1)) / (self.scale.unsqueeze(-1) * growth(horizon, ahead))

    def real_units(self, quantiles: Tensor) -> Tensor:
        """Quantiles `[B, T, V, H, Q]` of `targets` as those of the variates themselves."""
        horizon = quantiles.shape[-2]
        scale = (self.scale.unsqueeze(-1) * growth(horizon, self.scale)).movedim(1, 2)
        return self.location.movedim(1, 2)[..., None, None] + scale.unsqueeze(-1) * quantiles

    def returns(self, quantiles: Tensor, horizons: tuple[int, ...]) -> Tensor:
        """Quantiles `[B, T, V, H, Q]` of `targets` as those of the log returns over some horizons, `[B, T, K, Q]`."""
        chosen = quantiles[:, :, CLOSE, [step - 1 for step in horizons]]
        roots = torch.tensor(horizons, dtype=chosen.dtype, device=chosen.device).sqrt()
        return chosen * (self.scale[:, CLOSE, :, None] * roots).unsqueeze(-1)


def growth(horizon: int, like: Tensor) -> Tensor:
    """`[V, 1, H]`: by how much the scale of each variate grows with the bars ahead: a random walk's, and not at all."""
    steps = torch.arange(1, horizon + 1, dtype=like.dtype, device=like.device)
    rows = [steps.sqrt() if variate == CLOSE else torch.ones_like(steps) for variate in range(len(VARIATES))]
    return torch.stack(rows).unsqueeze(1)
