"""Weights that are missing, damaged or of something else: one clear error each, and never a random network in their place."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.backbones.conftest import SAVED_BY
from tests.unit.forecasting.series_samples import wandering_bars
from toto_ops.configuration import StrictModel
from toto_ops.errors import BackboneUnavailableError
from toto_ops.forecasting.backbones.external import ExternalBackbone
from toto_ops.forecasting.backbones.loading import choose_backbone, make_backbone
from toto_ops.forecasting.config import ChronosConfig, ForecastingConfig, TotoConfig

RELEASED = date(2026, 5, 14)


def section_of(model: str, weights: str, context: int = 64) -> StrictModel:
    section = TotoConfig if model == "toto" else ChronosConfig
    return section(weights=weights, context=context, released=RELEASED)


def load(model: str, folder: Path, context: int = 64) -> ExternalBackbone:
    section = section_of(model, str(folder), context)
    backbone = make_backbone("toto" if model == "toto" else "chronos", section, horizon=5, head_hidden=8)
    assert isinstance(backbone, ExternalBackbone)
    return backbone


@pytest.fixture(params=list(SAVED_BY))
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def copy(model: str, weights: Path, tmp_path: Path) -> Path:
    """Weights of the model that a test may spoil."""
    return Path(shutil.copytree(weights / model, tmp_path / "copy"))


def test_a_cut_off_file_is_refused(model: str, copy: Path) -> None:
    content = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(BackboneUnavailableError, match="cannot be loaded") as refused:
        load(model, copy)
    assert str(copy) in refused.value.where


def test_a_missing_tensor_is_not_made_up(model: str, copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    del tensors[next(name for name in sorted(tensors) if "patch" in name and "weight" in name)]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneUnavailableError):
        load(model, copy)


def test_a_tensor_that_is_not_finite_is_refused(model: str, copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    next(tensor for name, tensor in sorted(tensors.items()) if "weight" in name).view(-1)[0] = torch.nan
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneUnavailableError, match="not finite"):
        load(model, copy)


def test_weights_of_another_size_are_refused(model: str, copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "d_model": 64}))
    with pytest.raises(BackboneUnavailableError, match="cannot be loaded"):
        load(model, copy)


def test_weights_of_another_architecture_are_refused(model: str, weights: Path) -> None:
    with pytest.raises(BackboneUnavailableError, match=r"weights in .*" + ("bolt" if model == "toto" else "toto")):
        load(model, weights / ("bolt" if model == "toto" else "toto"))


def test_a_damaged_config_is_refused(model: str, copy: Path) -> None:
    (copy / "config.json").write_text("{")
    with pytest.raises(BackboneUnavailableError, match="JSONDecodeError"):
        load(model, copy)


def test_pickled_weights_are_not_read(model: str, copy: Path) -> None:
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(BackboneUnavailableError, match=r"model\.safetensors"):
        load(model, copy)


def test_a_hub_id_that_is_not_in_the_cache_is_not_fetched(model: str) -> None:
    with pytest.raises(BackboneUnavailableError, match="not in the local cache"):
        make_backbone(
            "toto" if model == "toto" else "chronos", section_of(model, "nobody/no-such-model"), horizon=5, head_hidden=8
        )


def test_a_hub_id_in_the_cache_is_loaded_without_a_network(
    model: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "models--somebody--some-model"
    shutil.copytree(weights / model, cached / "snapshots" / ("0" * 40))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    section = section_of(model, "somebody/some-model")
    backbone = make_backbone("toto" if model == "toto" else "chronos", section, horizon=5, head_hidden=8)
    assert backbone.identity == load(model, weights / model).identity


def test_loading_twice_gives_the_same_backbone_bit_for_bit(model: str, weights: Path, copy: Path) -> None:
    first, second = load(model, weights / model), load(model, copy)
    assert first.identity == second.identity
    x = wandering_bars(80)
    assert torch.equal(first.states(x).nan_to_num(), second.states(x).nan_to_num())
    assert torch.equal(first.forecast(x, 5), second.forecast(x, 5))


def test_other_weights_or_another_context_are_another_identity(model: str, weights: Path, copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    next(tensor for name, tensor in sorted(tensors.items()) if "weight" in name).view(-1)[0] += 1.0
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    identities = {load(model, weights / model).identity, load(model, copy).identity, load(model, copy, context=128).identity}
    assert len(identities) == 3


def test_it_stays_frozen_while_a_head_is_trained_on_it(model: str, weights: Path) -> None:
    backbone = load(model, weights / model)
    x = wandering_bars(80)
    before = backbone.states(x)
    backbone.train()
    assert not any(module.training for module in backbone.model.modules())
    assert torch.equal(backbone.states(x).nan_to_num(), before.nan_to_num())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_says_until_when_it_may_know_bars(model: str, weights: Path) -> None:
    assert load(model, weights / model).released == datetime(2026, 5, 15, tzinfo=UTC)


def test_the_first_that_loads_serves_and_the_reasons_of_others_are_kept(
    model: str, weights: Path, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (copy / "config.json").unlink()
    missing = ChronosConfig(weights=str(copy), released=RELEASED)
    toto = TotoConfig(weights=str(weights / "toto"), context=64, released=RELEASED)
    config = ForecastingConfig(preference=("chronos", "toto", "statistical"), chronos=missing, toto=toto)
    loaded = choose_backbone(config, fit_bars=500, seed=0)
    assert loaded.backbone.kind == "toto"
    assert loaded.section == toto
    assert [one.backbone for one in loaded.passed_over] == ["chronos"]
    assert str(copy) in loaded.passed_over[0].reason
    assert "chronos is passed over" in caplog.text


def test_no_series_and_no_patch_are_empty_answers(model: str, weights: Path) -> None:
    backbone = load(model, weights / model)
    nobody = wandering_bars(80)[:0]
    assert backbone.states(nobody).shape == (0, 80, backbone.width)
    assert backbone.latest_states(nobody, 1).shape == (0, 1, backbone.width)
    assert backbone.forecast(nobody, 5).shape == (9, 0, 3, 5)
    young = wandering_bars(10)
    assert torch.isnan(backbone.states(young)).all()
    assert backbone.embed(young).shape[:2] == (2, 3)


@pytest.mark.subprocess
def test_packages_are_imported_by_whoever_uses_them_alone() -> None:
    """Loading another backbone must not wait for them, nor touch their caches."""
    code = (
        "import sys, toto_ops.forecasting.backbones.loading\n"
        "print(sorted({'chronos', 'huggingface_hub', 'toto2', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"
