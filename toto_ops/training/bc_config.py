"""Settings of the behaviour cloning line, apart from its trainer so that reading them does not load torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from toto_ops.training.line import LineConfig

Imbalance = Literal["none", "weighted", "focal", "oversample"]


class BehaviourCloningConfig(LineConfig):
    """How a policy is cloned from the decisions of the analysts' ensemble."""

    hidden: int = Field(default=128, ge=1, le=4096, description="units per layer of the trunk")
    layers: int = Field(default=2, ge=1, le=8, description="layers of the trunk")
    dropout: float = Field(default=0.1, ge=0, lt=1)

    alpha: float = Field(default=1.0, ge=0, description="weight of the action's cross-entropy")
    beta: float = Field(default=1.0, ge=0, description="weight of the strength's mean squared error")
    imbalance: Imbalance = Field(default="none", description="what is done about actions that are rare")
    focal_gamma: float = Field(default=2.0, ge=0, description="how much focal loss discounts easy decisions")

    epochs: int = Field(default=16, ge=1, description="at most so many passes over the train decisions")
    batch: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0, description="at the start; falls to 0 along a half cosine")
    weight_decay: float = Field(default=1e-4, ge=0, description="decoupled, as in AdamW")
    noise: float = Field(default=0.02, ge=0, description="deviation of noise added to standardised states in training")
    patience: int = Field(default=5, ge=1, description="epochs without a better validation loss before stopping")
