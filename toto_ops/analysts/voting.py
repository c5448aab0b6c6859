"""Weighted voting: the opinions of all analysts become one number."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from toto_ops.analysts.opinion import Opinion


def weighted_vote(opinions: Sequence[Opinion], weights: Sequence[float]) -> Tensor:
    """Mean of the signals, weighted by each analyst's vote times its confidence.

    Parameters
    ----------
    opinions
        One per analyst, all of the same shape.
    weights
        One non-negative vote per analyst.

    Returns
    -------
    Tensor
        `[...]` in [-1, 1]; 0 where everyone abstains.

    Raises
    ------
    ValueError
        If opinions and weights differ in number.
    """
    if not opinions or len(opinions) != len(weights):
        raise ValueError(f"{len(opinions)} opinions cannot be weighed with {len(weights)} weights")
    votes = torch.stack([weight * opinion.confidence for opinion, weight in zip(opinions, weights, strict=True)])
    signals = torch.stack([opinion.signal for opinion in opinions])
    cast = votes.sum(dim=0)
    mean = (votes * signals).sum(dim=0) / cast.clamp_min(torch.finfo(cast.dtype).tiny)
    return torch.where(cast > 0, mean, torch.zeros_like(mean)).clamp(-1.0, 1.0)
