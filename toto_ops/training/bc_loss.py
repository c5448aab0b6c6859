"""The cloning loss, alpha CE(action) + beta MSE(strength), and what can be done about actions that are rare."""

from __future__ import annotations

from typing import assert_never

import torch
from torch import Tensor
from torch.nn import functional

from toto_ops.simulation.observation import Action
from toto_ops.training.bc_config import BehaviourCloningConfig


def class_weights(actions: Tensor) -> Tensor:
    """Weight `[3]` of each action, inverse to how often it was taken; 1 on average over `actions` `[N]`.

    An action that never was taken weighs nothing: there is no example to weigh.
    """
    counts = torch.bincount(actions, minlength=len(Action)).float()
    present = counts > 0
    return torch.where(present, len(actions) / (present.sum() * counts.clamp(min=1)), torch.zeros_like(counts))


class CloningLoss:
    """Loss of a batch of imitated decisions.

    Parameters
    ----------
    config
        Says which loss treats rare actions; `oversample` treats them by how batches are drawn instead.
    actions
        `[N]` actions of the train span: class weights are fit on them and on no other.
    """

    def __init__(self, config: BehaviourCloningConfig, actions: Tensor) -> None:
        self._config = config
        self._weights = class_weights(actions)

    def __call__(self, logits: Tensor, strength: Tensor, teacher_action: Tensor, teacher_strength: Tensor) -> Tensor:
        """Mean loss of logits `[N, 3]` and strengths `[N]` against the teacher's actions `[N]` and strengths `[N]`."""
        action_loss = self._action_loss(logits, teacher_action)
        strength_loss = functional.mse_loss(strength, teacher_strength)
        return self._config.alpha * action_loss + self._config.beta * strength_loss

    def _action_loss(self, logits: Tensor, teacher: Tensor) -> Tensor:
        match self._config.imbalance:
            case "none" | "oversample":
                return functional.cross_entropy(logits, teacher)
            case "weighted":
                return functional.cross_entropy(logits, teacher, weight=self._weights)
            case "focal":
                return focal_loss(logits, teacher, self._config.focal_gamma)
            case other:
                assert_never(other)


def focal_loss(logits: Tensor, teacher: Tensor, gamma: float) -> Tensor:
    """Cross-entropy in which decisions already imitated well count less (Lin et al., 2017, eq. 4, without alpha)."""
    cross_entropy = functional.cross_entropy(logits, teacher, reduction="none")
    return ((1.0 - torch.exp(-cross_entropy)) ** gamma * cross_entropy).mean()


def epoch_order(actions: Tensor, config: BehaviourCloningConfig, generator: torch.Generator) -> Tensor:
    """Indices `[N]` of one epoch: a shuffle, or where rare actions are oversampled a draw that has all actions alike."""
    if config.imbalance == "oversample":
        return torch.multinomial(class_weights(actions)[actions], len(actions), replacement=True, generator=generator)
    return torch.randperm(len(actions), generator=generator)
