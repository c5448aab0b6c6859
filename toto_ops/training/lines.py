"""The lines of models. A new line is one entry here, and a section of its own in `deploy/config/training.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from toto_ops.errors import ConfigError
from toto_ops.training.bc_config import BehaviourCloningConfig
from toto_ops.training.line import Line

if TYPE_CHECKING:
    from toto_ops.training.line import TrainedPolicy, TrainingInputs


def _train_bc(inputs: TrainingInputs, config: BehaviourCloningConfig, checkpoints: Path) -> TrainedPolicy:
    from toto_ops.training.bc import train_behaviour_cloning

    return train_behaviour_cloning(inputs, config, checkpoints)


LINES: tuple[Line[Any], ...] = (
    Line(
        name="bc",
        description="behaviour cloning of the analysts' ensemble, one network for every symbol of the universe",
        config=BehaviourCloningConfig,
        train=_train_bc,
        upstream=("offline_dataset",),
        accuracy="imitation",
    ),
)
"""Every line, in the order they are trained."""


def line(name: str) -> Line[Any]:
    """Look a line up by name.

    Raises
    ------
    ConfigError
        If there is none of this name.
    """
    for entry in LINES:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in LINES)
    raise ConfigError(f"there is no line of models called {name!r}", remedy=f"use one of: {known}")
