"""Files of weights from anywhere: read whatever wrote them, unless reading would mean running what is in them."""

import collections
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from toto_ops.errors import StorageError
from toto_ops.forecasting.reuse.weight_files import WeightsFile

WEIGHTS = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.ones(2)}


def assert_holds_the_weights(found: dict[str, Tensor]) -> None:
    assert found.keys() == WEIGHTS.keys()
    for name, tensor in WEIGHTS.items():
        assert torch.equal(found[name], tensor)


class RunsWhenRead:
    """What a pickle can be made to do."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize(
    "content",
    [
        WEIGHTS,
        collections.OrderedDict(WEIGHTS),
        {"state_dict": WEIGHTS, "epoch": 3},
        {"model_state_dict": WEIGHTS, "optimizer_state_dict": {"state": {0: {"step": torch.ones(1)}}}},
        {"model": {"state_dict": WEIGHTS}},
        {"config": {"width": 3}, "network": WEIGHTS, "val_loss": 0.5},
        {"model": "modern transformer", "backbone": WEIGHTS},
        {**WEIGHTS, "val_loss": torch.tensor(0.5), "name": "modern"},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_found_whatever_they_were_wrapped_in(tmp_path: Path, content: Any, zipped: bool) -> None:
    path = tmp_path / "model.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert_holds_the_weights(WeightsFile(path).tensors())


def test_safetensors_are_read_with_what_they_record(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(WEIGHTS, path, {"validation_loss": "0.25", "kind": "market", "knows_until": "2021-03-01T21:00:00Z"})
    file = WeightsFile(path)
    assert_holds_the_weights(file.tensors())
    record = file.record()
    assert (record.kind, record.score, str(record.knows_until)) == ("market", 0.25, "2021-03-01 21:00:00+00:00")


@pytest.mark.parametrize(
    ("beside", "score"),
    [
        ({"val_loss": 0.5}, 0.5),
        ({"val_loss": np.float64(0.5)}, 0.5),
        ({"metrics": {"validation_loss": np.float32(0.5)}}, 0.5),
        ({"val_loss": torch.tensor(0.5)}, 0.5),
        ({"best_val_loss": 0.4, "val_loss": 0.5}, 0.5),
        ({"best_val_loss": 0.4}, 0.4),
        ({"val_loss": float("nan"), "best_val_loss": 0.4}, 0.4),
        ({"val_loss": [0.6, 0.5]}, None),
        ({"val_loss": True}, None),
        ({"epoch": np.int64(3), "train_loss": 0.1}, None),
    ],
)
def test_the_validation_loss_is_found_where_training_loops_leave_it(
    tmp_path: Path, beside: dict[str, Any], score: float | None
) -> None:
    torch.save({"state_dict": WEIGHTS, **beside}, tmp_path / "model.pt")
    assert WeightsFile(tmp_path / "model.pt").record().score == score


def test_what_would_have_to_be_run_is_not_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"state_dict": WEIGHTS, "callback": RunsWhenRead(tmp_path / "ran")}, path)
    for read in (WeightsFile(path).tensors, WeightsFile(path).record):
        with pytest.raises(StorageError, match=r"more than weights: posix\.mkdir would have to be run") as raised:
            read()
        assert raised.value.where == str(path)
        assert "state_dict" in raised.value.remedy
    assert not (tmp_path / "ran").exists()


def test_a_whole_module_is_more_than_weights(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(StorageError, match=r"torch\.nn\.modules\.linear\.Linear would have to be run"):
        WeightsFile(tmp_path / "model.pt").tensors()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_file_that_was_cut_short_is_named(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"model{suffix}"
    torch.save(WEIGHTS, path) if suffix == ".pt" else save_file(WEIGHTS, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    for read in (WeightsFile(path).tensors, WeightsFile(path).record):
        with pytest.raises(StorageError, match="cannot be read"):
            read()


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], "weights", {"state_dict": {}}, None])
def test_a_file_without_weights_says_so(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "model.bin")
    with pytest.raises(StorageError, match="holds no weights"):
        WeightsFile(tmp_path / "model.bin").tensors()
    with pytest.raises(StorageError, match="holds no weights"):
        WeightsFile(tmp_path / "model.bin").record()


@pytest.mark.parametrize("told", ["2021-03-01T21:00:00", "soon", "20210301", 1614632400.0, True])
def test_what_a_model_knows_must_be_a_moment_with_a_zone(tmp_path: Path, told: Any) -> None:
    torch.save({"state_dict": WEIGHTS, "knows_until": told}, tmp_path / "model.pt")
    with pytest.raises(StorageError, match="no moment with a time zone"):
        WeightsFile(tmp_path / "model.pt").record()


def test_files_of_one_content_are_one_identity(tmp_path: Path) -> None:
    for name, content in (("a.pt", WEIGHTS), ("b.pt", {**WEIGHTS, "layer.bias": torch.zeros(2)})):
        torch.save(content, tmp_path / name)
    (tmp_path / "c.pt").write_bytes((tmp_path / "a.pt").read_bytes())
    first, second, third = (WeightsFile(tmp_path / f"{name}.pt").identity for name in "abc")
    assert first == third != second
