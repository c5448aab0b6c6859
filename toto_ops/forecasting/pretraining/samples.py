"""What a network is shown of a batch of windows, and what it should have foretold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from toto_ops.forecasting.pretraining.windows import Batch
from toto_ops.forecasting.quantiles import NORMAL_QUANTILES, quantile_loss
from toto_ops.forecasting.scaling import CausalScale


@dataclass(frozen=True)
class Sample:
    """A batch in the scale of its bars.

    Attributes
    ----------
    inputs
        `[B, V, T]` float32, 0 where unknown.
    known
        `[B, T]` bool: bars whose inputs are known.
    targets
        `[B, T, V, H]` float32, clipped; NaN where a forecast does not count or its outcome is not known by the end of the window.
    """

    inputs: Tensor
    known: Tensor
    targets: Tensor

    @classmethod
    def of(cls, batch: Batch, horizon: int) -> Sample:
        """Of a batch of raw series."""
        scale = CausalScale.of(batch.x)
        targets = scale.targets(batch.x, horizon).float()
        return cls(
            inputs=scale.inputs.float().nan_to_num(nan=0.0),
            known=torch.isfinite(scale.inputs).all(dim=1),
            targets=torch.where(batch.counted[..., None, None], targets, torch.nan),
        )

    @property
    def counts(self) -> Tensor:
        """`[B, T]` bool: bars with a forecast whose outcome is known."""
        return torch.isfinite(self.targets).flatten(2).any(dim=-1)


def dense_loss(quantiles: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """Sum over known outcomes of the mean quantile loss over levels, and how many those are.

    Parameters
    ----------
    quantiles
        `[..., Q]`, in the scale of the targets.
    targets
        `[...]`; NaN where nothing is known.
    """
    known = torch.isfinite(targets)
    # Replaced before the loss rather than after it: the gradient of NaN is NaN even where it is multiplied by 0.
    losses = quantile_loss(quantiles, torch.where(known, targets, 0.0)).mean(dim=-1)
    return (losses * known).sum(), int(known.sum())


def random_walk_loss(targets: Tensor) -> tuple[Tensor, int]:
    """`dense_loss` of an untrained head: quantiles of the standard normal distribution."""
    return dense_loss(torch.tensor(NORMAL_QUANTILES, dtype=targets.dtype).expand(*targets.shape, -1), targets)
