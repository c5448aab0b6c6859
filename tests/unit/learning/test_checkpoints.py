"""A checkpoint holds all the next step depends on, is whole or absent, and damage is reported."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from toto_ops.configuration import StrictModel
from toto_ops.errors import StorageError
from toto_ops.learning.checkpoints import (
    load_checkpoint,
    model_tensors,
    restore_training,
    save_checkpoint,
    training_tensors,
)


class Progress(StrictModel):
    epoch: int
    loss: float = 1 / 3


def make_training(seed: int) -> tuple[torch.nn.Linear, torch.optim.AdamW]:
    torch.manual_seed(seed)
    model = torch.nn.Linear(4, 2)
    return model, torch.optim.AdamW(model.parameters(), lr=0.1)


def step(model: torch.nn.Linear, optimizer: torch.optim.AdamW) -> None:
    optimizer.zero_grad()
    model(torch.arange(8.0).view(2, 4)).pow(2).sum().backward()
    optimizer.step()


def test_the_step_after_a_checkpoint_is_the_same_to_the_bit(tmp_path: Path) -> None:
    model, optimizer = make_training(0)
    step(model, optimizer)
    step(model, optimizer)
    save_checkpoint(tmp_path / "last.safetensors", training_tensors(model, optimizer), Progress(epoch=2))
    stored = load_checkpoint(tmp_path / "last.safetensors", Progress)
    assert stored is not None
    resumed, other_optimizer = make_training(1)
    restore_training(stored[0], resumed, other_optimizer)
    step(model, optimizer)
    step(resumed, other_optimizer)
    assert torch.equal(model.weight, resumed.weight)
    assert torch.equal(model.bias, resumed.bias)


def test_progress_comes_back_exactly(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "last.safetensors", {"model.x": torch.ones(1)}, Progress(epoch=7))
    stored = load_checkpoint(tmp_path / "last.safetensors", Progress)
    assert stored is not None
    assert stored[1] == Progress(epoch=7)


def test_model_tensors_leave_the_optimizer_out() -> None:
    model, optimizer = make_training(0)
    step(model, optimizer)
    assert model_tensors(training_tensors(model, optimizer)).keys() == model.state_dict().keys()


def test_there_is_no_checkpoint_before_the_first(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "last.safetensors", Progress) is None


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_checkpoint_is_an_error_that_names_the_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last.safetensors"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"last\.safetensors.*delete the file"):
        load_checkpoint(path, Progress)


def test_a_kill_while_saving_leaves_the_former_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, {"model.x": torch.ones(3)}, Progress(epoch=1))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {"model.x": torch.zeros(3)}, Progress(epoch=2))
    stored = load_checkpoint(path, Progress)
    assert stored is not None
    assert stored[1].epoch == 1
    assert [item.name for item in tmp_path.iterdir()] == ["last.safetensors"]
