"""The cloned policy: a small network that learns to decide as the analysts' ensemble does, one symbol at a time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from toto_ops.features.state import STATE_FEATURES
from toto_ops.policies.contract import Policy
from toto_ops.simulation.observation import Action, Decision, Observation, decide, state_vector

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

    @property
    def family(self) -> Hashable:
        """Those of one architecture, whatever they learnt."""
        return (self.kind, *sorted(self._architecture.items()))

    @classmethod
    def stacked(cls, policies: Sequence[ClonedPolicy]) -> Callable[[Observation], Decision]:
        """What answers the account at place `b` as `policies[b]` does, up to rounding in float32."""
        return _Stack(policies).act

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


class _Stack:
    """Cloned policies of one architecture, each with an account of its own: every layer is one product for all of them.

    What a policy answers does not depend on which others are in the stack, to the last bit.
    """

    def __init__(self, policies: Sequence[ClonedPolicy]) -> None:
        if any(policy.training for policy in policies):
            raise ValueError("policies decide without dropout: call eval() first")
        self._rules = {name: policies[0].architecture[name] for name in ("w_max", "may_short")}
        layers = [list(policy.trunk) for policy in policies]
        self._trunk = [_stacked([[layer[0]] for layer in same]) for same in zip(*layers, strict=True)]
        self._heads = _stacked([[policy.action_head, policy.strength_head] for policy in policies])
        self._mean = torch.stack([policy.mean for policy in policies]).unsqueeze(1)
        self._scale = torch.stack([policy.scale for policy in policies]).unsqueeze(1)

    def act(self, observation: Observation) -> Decision:
        """The decision of the policy at place `b` for the account at place `b`."""
        state = state_vector(observation.market, observation.account)
        seen = ((state - self._mean) / self._scale).clamp(-_FARTHEST, _FARTHEST)
        for weight, bias in self._trunk:
            seen = torch.relu(torch.baddbmm(bias, seen, weight))
        weight, bias = self._heads
        answers = torch.baddbmm(bias, seen, weight)
        probabilities = torch.softmax(answers[..., : len(Action)], dim=-1)
        strength = torch.sigmoid(answers[..., -1])
        return decide(probabilities.argmax(dim=-1), strength, probabilities, observation.mask, **self._rules)


def _stacked(maps: Sequence[Sequence[nn.Linear]]) -> tuple[Tensor, Tensor]:
    """Weights `[P, in, out]` and biases `[P, 1, out]` of linear maps that stand side by side in each of `P` policies."""
    weights = [torch.cat([linear.weight for linear in beside]).detach().T for beside in maps]
    biases = [torch.cat([linear.bias for linear in beside]).detach() for beside in maps]
    return torch.stack(weights), torch.stack(biases).unsqueeze(1)


class _Layer(nn.Sequential):
    """A linear map, ReLU, and dropout while it is trained; when it decides, modules that do nothing cost as much as work."""

    def __init__(self, width: int, following: int, dropout: float) -> None:
        super().__init__(nn.Linear(width, following), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, values: Tensor) -> Tensor:
        linear, _, dropout = self
        active = torch.relu(linear(values))
        return dropout(active) if self.training else active
