"""Folders of weights from elsewhere: what makes one usable, and the error for each that is not."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from toto_ops.errors import BackboneUnavailableError
from toto_ops.forecasting.backbones.external import architecture_of, check_whole, damaged_weights, package_of, weights_folder
from toto_ops.forecasting.config import TotoConfig


class TiedNetwork(nn.Module):
    """Two layers that share one tensor, which is stored under one of its names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.second = nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight
        self.out = nn.Linear(3, 1)


@pytest.fixture
def network() -> TiedNetwork:
    return TiedNetwork()


@pytest.fixture
def folder(tmp_path: Path, network: TiedNetwork) -> Path:
    tensors = {name: tensor for name, tensor in network.state_dict().items() if name != "second.weight"}
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"width": 3}')
    return tmp_path


def section(weights: Path | str) -> TotoConfig:
    return TotoConfig(weights=str(weights), released=date(2026, 5, 14))


def test_a_whole_folder_is_taken(folder: Path, network: TiedNetwork) -> None:
    assert weights_folder("toto", section(folder)) == folder
    assert architecture_of("toto", folder) == {"width": 3}
    check_whole("toto", folder, network)


def test_weights_in_shards_are_looked_up_in_all_of_them(folder: Path, network: TiedNetwork) -> None:
    save_file({"first.weight": network.first.weight.detach()}, folder / "model-1.safetensors")
    save_file({f"out.{name}": tensor for name, tensor in network.out.state_dict().items()}, folder / "model-2.safetensors")
    (folder / "model.safetensors").unlink()
    shards = '{"weight_map": {"first.weight": "model-1.safetensors", "out.weight": "model-2.safetensors"}}'
    (folder / "model.safetensors.index.json").write_text(shards)
    assert weights_folder("toto", section(folder)) == folder
    check_whole("toto", folder, network)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_an_incomplete_folder_says_what_belongs_there(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(BackboneUnavailableError, match=r"config\.json beside model\.safetensors") as refused:
        weights_folder("toto", section(folder))
    assert refused.value.remedy


def test_pickles_do_not_make_a_folder_whole(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BackboneUnavailableError, match=r"model\.safetensors"):
        weights_folder("toto", section(folder))


def test_a_folder_that_does_not_exist_is_not_taken_for_a_hub_id(tmp_path: Path) -> None:
    with pytest.raises(BackboneUnavailableError, match="does not exist"):
        weights_folder("toto", section(tmp_path / "nowhere"))


def test_a_network_with_a_tensor_of_its_own_making_is_refused(folder: Path, network: TiedNetwork) -> None:
    network.extra = nn.Linear(2, 2)
    with pytest.raises(BackboneUnavailableError, match=r"2 tensors are not in the files, extra\.weight"):
        check_whole("toto", folder, network)


def test_a_network_with_a_broken_number_is_refused(folder: Path, network: TiedNetwork) -> None:
    with torch.no_grad():
        network.out.weight[0, 1] = torch.inf
    with pytest.raises(BackboneUnavailableError, match=r"not finite, out\.weight"):
        check_whole("toto", folder, network)


def test_a_config_that_is_no_object_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("[1, 2]")
    with pytest.raises(BackboneUnavailableError, match="not an object"):
        architecture_of("toto", folder)


def test_whatever_a_package_raises_comes_out_as_one_error_with_its_cause(tmp_path: Path) -> None:
    with (
        pytest.raises(BackboneUnavailableError, match="AssertionError: no such layer") as refused,
        damaged_weights("toto", tmp_path),
    ):
        raise AssertionError("no such layer\nand a long dump")
    assert isinstance(refused.value.__cause__, AssertionError)
    assert "dump" not in str(refused.value)


def test_a_package_that_does_not_import_says_how_to_install_it() -> None:
    with pytest.raises(BackboneUnavailableError, match=r"docs/forecasting\.md"), package_of("toto", "toto-2"):
        import no_such_package_at_all  # noqa: F401
