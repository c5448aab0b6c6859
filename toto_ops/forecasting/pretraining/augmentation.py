"""Mixed augmentation: each training window draws at most one change, so that few bars teach more than themselves."""

from __future__ import annotations

import torch
from torch import Tensor

from toto_ops.forecasting.config import AugmentationConfig
from toto_ops.forecasting.pretraining.samples import Sample
from toto_ops.forecasting.series import CLOSE

JITTER = 0.05
"""Standard deviation of the noise, in the scale of the inputs."""

LONGEST_MASK = 8
"""The longest hidden stretch is the window over this."""


def augmented(sample: Sample, config: AugmentationConfig) -> Sample:
    """The sample with each window changed by one of the below or none, drawn from torch's generator.

    Jitter adds noise to the inputs. Mask hides a stretch of inputs: they read as unremarkable. Mirror makes rises falls, in
    inputs and targets of the close alone. Mixup joins inputs and targets of two windows, after Ansari et al., Chronos,
    2024, section 4.1.
    """
    drawn = torch.rand(len(sample.inputs))
    bounds = torch.tensor([config.jitter, config.mask, config.mirror, config.mixup]).cumsum(dim=0)
    change = torch.bucketize(drawn, bounds, right=True)
    jitter, mask, mirror, mixup = ((change == number) for number in range(4))
    sample = _mixed(sample, mixup)
    inputs, targets = sample.inputs, sample.targets
    inputs = inputs + JITTER * torch.randn_like(inputs) * jitter[:, None, None]
    inputs = inputs * ~(_stretches(inputs) & mask.unsqueeze(-1)).unsqueeze(1)
    signs = 1.0 - 2.0 * mirror.to(inputs.dtype)
    inputs, targets = inputs.clone(), targets.clone()
    inputs[:, CLOSE] *= signs.unsqueeze(-1)
    targets[:, :, CLOSE] *= signs[:, None, None]
    return Sample(inputs * sample.known.unsqueeze(1), sample.known, targets)


def _stretches(inputs: Tensor) -> Tensor:
    """`[B, T]` bool: one stretch of each window."""
    count, bars = inputs.shape[0], inputs.shape[-1]
    length = 1 + (torch.rand(count) * (bars // LONGEST_MASK)).long()
    begin = (torch.rand(count) * (bars - length)).long()
    bar = torch.arange(bars)
    return (bar >= begin.unsqueeze(-1)) & (bar < (begin + length).unsqueeze(-1))


def _mixed(sample: Sample, chosen: Tensor) -> Sample:
    """Chosen windows with a share of another one of the batch; targets count where both are known.

    The sum is divided by the root of the summed squares of both shares: that of two unrelated windows has then the scale of
    either, and the quantiles it teaches are not too narrow.
    """
    # Windows come in random order, so any neighbour will do; one that is alone has none.
    other = torch.arange(len(chosen)).roll(1)
    chosen = chosen & (len(chosen) > 1)
    share = torch.where(chosen, 0.5 + 0.5 * torch.rand(len(chosen)), 1.0)
    root = (share.square() + (1.0 - share).square()).sqrt()
    own, theirs = share / root, (1.0 - share) / root
    inputs = own[:, None, None] * sample.inputs + theirs[:, None, None] * sample.inputs[other]
    both = own[:, None, None, None] * sample.targets + theirs[:, None, None, None] * sample.targets[other]
    known = sample.known & (sample.known[other] | ~chosen.unsqueeze(-1))
    return Sample(inputs * known.unsqueeze(1), known, torch.where(chosen[:, None, None, None], both, sample.targets))
