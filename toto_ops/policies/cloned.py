"""The cloned policy: a small network that learns to decide as the analysts' ensemble does, one symbol at a time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from toto_ops.features.state import STATE_FEATURES
from toto_ops.policies.contract import Policy
from toto_ops.simulation.observation import Action, decide, state_vector

_FARTHEST = 8.0
"""Standardised features are clipped here: a bar unlike any in training must not push the network beyond what it saw."""


class ClonedPolicy(Policy):
    """Standardising scaler, a shared ReLU trunk, a head for the action and a head for its strength.

    Parameters
    ----------
    hidden
        Units per layer of the trunk.
    layers
        Layers of the trunk.
    dropout
        Share of units silenced in training; none are when it decides.
    w_max
        Weight of a decision of strength 1, a fraction of equity.
    may_short
        Whether SELL opens a short rather than closing.
    """

    kind: ClassVar[str] = "bc"
    mean: Tensor
    scale: Tensor

    def __init__(self, *, hidden: int, layers: int, dropout: float, w_max: float, may_short: bool) -> None:
        super().__init__()
        self._architecture = {"hidden": hidden, "layers": layers, "dropout": dropout, "w_max": w_max, "may_short": may_short}
        self._w_max = w_max
        self._may_short = may_short
        widths = [len(STATE_FEATURES)] + [hidden] * layers
        self.register_buffer("mean", torch.zeros(len(STATE_FEATURES)))
        self.register_buffer("scale", torch.ones(len(STATE_FEATURES)))
        self.trunk = nn.Sequential(*(_Layer(width, following, dropout) for width, following in pairwise(widths)))
        self.action_head = nn.Linear(widths[-1], len(Action))
        self.strength_head = nn.Linear(widths[-1], 1)

    @property
    def architecture(self) -> dict[str, Any]:
        """The constructor arguments."""
        return dict(self._architecture)

    def fit_scaler(self, states: Tensor) -> None:
        """Learn the mean and standard deviation of each feature; one that never varies is only centred.

        Parameters
        ----------
        states
            `[N, 34]` raw states of the train span, and of no other.
        """
        exact = states.double()
        deviation = exact.std(dim=0, correction=0)
        self.mean.copy_(exact.mean(dim=0))
        self.scale.copy_(torch.where(deviation > 1e-8, deviation, torch.ones_like(deviation)))

    def standardise(self, states: Tensor) -> Tensor:
        """Raw states `[..., 34]` to what the trunk takes."""
        return ((states - self.mean) / self.scale).clamp(-_FARTHEST, _FARTHEST)

    def heads(self, standardised: Tensor) -> tuple[Tensor, Tensor]:
        """Action logits `[..., 3]` and strength `[...]` in [0, 1] of standardised states `[..., 34]`."""
        seen = self.trunk(standardised)
        return self.action_head(seen), torch.sigmoid(self.strength_head(seen)).squeeze(-1)

    def forward(self, market: Tensor, account: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The likeliest action for each account and symbol, `[B, A]`, with the strength the other head gives it."""
        logits, strength = self.heads(self.standardise(state_vector(market, account)))
        probabilities = torch.softmax(logits, dim=-1)
        action = probabilities.argmax(dim=-1)
        return decide(action, strength, probabilities, mask, w_max=self._w_max, may_short=self._may_short)


class _Layer(nn.Sequential):
    """A linear map, ReLU, and dropout while it is trained; when it decides, modules that do nothing cost as much as work."""

    def __init__(self, width: int, following: int, dropout: float) -> None:
        super().__init__(nn.Linear(width, following), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, values: Tensor) -> Tensor:
        linear, _, dropout = self
        active = torch.relu(linear(values))
        return dropout(active) if self.training else active
