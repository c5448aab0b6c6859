"""What of a network is trained: all of it, or the head alone on the finished states of a backbone."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from toto_ops.forecasting.backbones.contract import Backbone
from toto_ops.forecasting.config import AugmentationConfig
from toto_ops.forecasting.forecaster import Network
from toto_ops.forecasting.pretraining.augmentation import augmented
from toto_ops.forecasting.pretraining.samples import Sample
from toto_ops.forecasting.pretraining.windows import Batch, Window

HELD_STATES = 2**28
"""Bytes of finished states that are kept from one epoch to the next; those of further windows are computed each time."""


class Learner(Protocol):
    """Foretells batches of windows, as it is or while it is trained."""

    @property
    def module(self) -> nn.Module:
        """What is trained: its tensors are what a checkpoint holds."""

    def teach(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Quantiles `[N, V, H, Q]` and targets `[N, V, H]` of all bars that count, with augmentation and gradients."""

    def measure(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Likewise without either."""


class EndToEnd:
    """Backbone and head are trained together."""

    def __init__(self, network: Network, augmentation: AugmentationConfig) -> None:
        self.module = self._network = network
        self._augmentation = augmentation

    def teach(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self._foretold(augmented(Sample.of(batch, self._network.head.horizon), self._augmentation))

    def measure(self, batch: Batch) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return self._foretold(Sample.of(batch, self._network.head.horizon))

    def _foretold(self, sample: Sample) -> tuple[Tensor, Tensor]:
        states: Tensor = self._network.backbone(sample.inputs, sample.known)
        counts = sample.counts
        return self._network.head(states[counts]), sample.targets[counts]


class HeadAlone:
    """The head is trained on states that stay as they are, so windows are not augmented."""

    def __init__(self, network: Network) -> None:
        self._head = network.head
        self.module = nn.ModuleDict({"head": network.head})
        self._states = _FinishedStates(network.backbone)

    def teach(self, batch: Batch) -> tuple[Tensor, Tensor]:
        targets = Sample.of(batch, self._head.horizon).targets
        states = self._states.of(batch)
        counts = torch.isfinite(targets).flatten(2).any(dim=-1) & torch.isfinite(states).all(dim=-1)
        return self._head(states[counts]), targets[counts]

    def measure(self, batch: Batch) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            return self.teach(batch)


class _FinishedStates:
    """States of windows, kept as long as there is room.

    Each window is computed by itself: its last bits then do not depend on which others it is drawn with, and a pretraining
    that is resumed meets the same states.
    """

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._kept: dict[Window, Tensor] = {}
        self._room = HELD_STATES

    def of(self, batch: Batch) -> Tensor:
        """`[B, T, D]`, NaN where there is none."""
        rows = [
            self._of_one(window, x[:, : window.stop - window.first]) for window, x in zip(batch.windows, batch.x, strict=True)
        ]
        longest = batch.x.shape[-1]
        return torch.stack([nn.functional.pad(row, (0, 0, 0, longest - len(row)), value=torch.nan) for row in rows])

    def _of_one(self, window: Window, x: Tensor) -> Tensor:
        if window in self._kept:
            return self._kept[window]
        with torch.no_grad():
            states = self._backbone.states(x.unsqueeze(0))[0]
        size = states.numel() * states.element_size()
        if size <= self._room:
            self._kept[window] = states
            self._room -= size
        return states
