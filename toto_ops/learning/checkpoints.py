"""Checkpoints that a killed training resumes from: one safetensors file, whole or absent, never a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor, nn

from toto_ops.errors import StorageError
from toto_ops.storage.atomic import replace_file

ProgressT = TypeVar("ProgressT", bound=BaseModel)

_PROGRESS = "progress"


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], progress: BaseModel) -> None:
    """Write tensors and the progress they belong to as one file, atomically.

    Raises
    ------
    StorageError
        If the disk is full or read-only; the checkpoint before is as it was.
    """
    from safetensors.torch import save

    content = save({name: tensor.contiguous() for name, tensor in tensors.items()}, {_PROGRESS: progress.model_dump_json()})
    replace_file(path, content)


def load_checkpoint(path: Path, progress: type[ProgressT]) -> tuple[dict[str, Tensor], ProgressT] | None:
    """Read a checkpoint back, or None where there is none yet.

    Raises
    ------
    StorageError
        If the file is there but is no checkpoint of this kind.
    """
    if not path.exists():
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - it is no mapping
        return tensors, progress.model_validate_json(metadata[_PROGRESS])
    except (SafetensorError, ValidationError, KeyError) as error:
        raise StorageError(
            f"is no readable checkpoint ({error})", where=str(path), remedy="delete the file; training then starts anew"
        ) from error


def training_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Everything that the next step of a training depends on, named so that `restore_training` finds it again."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for parameter, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{parameter}.{name}": tensor for name, tensor in state.items()}
    return tensors


def restore_training(tensors: Mapping[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put model and optimizer back to where `training_tensors` found them."""
    model.load_state_dict(model_tensors(tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, parameter, entry = name.split(".", 2)
            state.setdefault(int(parameter), {})[entry] = tensor
    content: dict[str, Any] = {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    optimizer.load_state_dict(content)


def model_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of a checkpoint that is the model."""
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
