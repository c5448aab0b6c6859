"""A forecaster on disk says the same when it is read back, and what is not itself any more is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.unit.forecasting.series_samples import wandering_bars
from toto_ops.configuration import StrictModel
from toto_ops.errors import StorageError
from toto_ops.forecasting import forecaster_files
from toto_ops.forecasting.backbones.loading import make_backbone
from toto_ops.forecasting.config import MarketConfig, StatisticalConfig
from toto_ops.forecasting.forecaster import Forecaster, ForecasterManifest, Network
from toto_ops.forecasting.forecaster_files import MANIFEST, WEIGHTS, load_forecaster, read_forecaster_manifest, save_forecaster

MARKET = MarketConfig(width=16, layers=1, heads=2, window=8, patch=4)
STATISTICAL = StatisticalConfig()
SECTIONS = {"market": MARKET, "statistical": STATISTICAL}


def make_forecaster(kind: str, section: StrictModel) -> Forecaster:
    """One whose weights are as if it had been trained."""
    torch.manual_seed(3)
    network = Network.untrained(make_backbone(kind, section, 4, 8), horizon=4, hidden=8).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    manifest = ForecasterManifest(
        universe="tried",
        backbone=kind,
        backbone_config=section.model_dump(mode="json"),
        backbone_identity=network.backbone.identity,
        head={"width": network.backbone.width, "hidden": 8, "horizon": 4},
        symbols=("A", "B"),
        config={},
        inputs_hash="inputs",
        data_hash="data",
        code_version="1",
        seed=0,
        knows_until=datetime(2024, 1, 1, tzinfo=UTC),
        metrics={"validation_loss": 0.5},
    )
    return Forecaster(network, manifest)


@pytest.fixture(params=["market", "statistical"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Forecaster, Path]:
    forecaster = make_forecaster(request.param, SECTIONS[request.param])
    save_forecaster(forecaster, tmp_path)
    return forecaster, tmp_path


def change_manifest(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_it_says_the_same_when_it_is_read_back(stored: tuple[Forecaster, Path]) -> None:
    forecaster, folder = stored
    read = load_forecaster(folder)
    assert read.manifest == forecaster.manifest == read_forecaster_manifest(folder)
    assert read.identity == forecaster.identity
    assert not read.network.training
    x = wandering_bars(200)
    with torch.no_grad():
        one, other = (each.quantiles(each.backbone.states(x), ["AAA"]) for each in (forecaster, read))
    assert torch.isfinite(one).any()
    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def test_reading_draws_no_random_numbers_of_the_caller(stored: tuple[Forecaster, Path]) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_forecaster(stored[1])
    assert torch.equal(torch.rand(3), expected)


def test_weights_of_a_backbone_that_is_not_trained_are_not_copied(tmp_path: Path) -> None:
    for kind, copied in (("market", True), ("statistical", False)):
        folder = tmp_path / kind
        folder.mkdir()
        save_forecaster(make_forecaster(kind, SECTIONS[kind]), folder)
        names = load_file(folder / WEIGHTS).keys()
        assert any(name.startswith("backbone.") and not name.startswith("backbone.head.") for name in names) == copied
        assert {path.name for path in folder.iterdir()} == {WEIGHTS, MANIFEST}


def test_another_backbone_than_it_was_fitted_with_is_refused_naming_both(stored: tuple[Forecaster, Path]) -> None:
    forecaster, folder = stored
    change_manifest(folder, backbone_identity="0123456789abcdef")
    with pytest.raises(StorageError, match=f"0123456789abcdef, and this one is {forecaster.backbone.identity}"):
        load_forecaster(folder)


def test_changed_weights_of_a_trained_backbone_are_refused(tmp_path: Path) -> None:
    save_forecaster(make_forecaster("market", MARKET), tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    tensors["backbone.norm.weight"] += 1.0
    save_file(tensors, tmp_path / WEIGHTS)
    with pytest.raises(StorageError, match="was fitted on the states of market backbone"):
        load_forecaster(tmp_path)


def test_missing_weights_of_the_backbone_are_refused_naming_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forecaster = make_forecaster("statistical", STATISTICAL)
    save_forecaster(forecaster, tmp_path)

    def absent(*_: Any) -> None:
        raise forecaster_files.TotoOpsError("the folder is empty", where="weights", remedy="download them")

    monkeypatch.setattr(forecaster_files, "make_backbone", absent)
    with pytest.raises(
        StorageError, match=rf"statistical backbone {forecaster.backbone.identity}.*the folder is empty.*download"
    ):
        load_forecaster(tmp_path)


@pytest.mark.parametrize("name", [WEIGHTS, MANIFEST])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"not a forecaster"])
def test_a_missing_or_damaged_file_is_refused(stored: tuple[Forecaster, Path], name: str, content: bytes | None) -> None:
    path = stored[1] / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(StorageError, match=name):
        load_forecaster(stored[1])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda tensors: tensors.pop("backbone.head.out.bias"), "backbone.head.out.bias is missing"),
        (lambda tensors: tensors.update(extra=torch.zeros(2)), "extra is unknown"),
        (lambda tensors: tensors.update({"backbone.norm.bias": torch.zeros(3)}), r"backbone.norm.bias is \(3,\), not \(16,\)"),
    ],
)
def test_tensors_of_another_architecture_are_refused(tmp_path: Path, change: Any, fault: str) -> None:
    save_forecaster(make_forecaster("market", MARKET), tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    change(tensors)
    save_file(tensors, tmp_path / WEIGHTS)
    with pytest.raises(StorageError, match=f"another architecture.*{fault}"):
        load_forecaster(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"backbone": "oracle"}, {"backbone_config": {"width": -1}}, {"backbone_config": {"depth": 3}}, {"head": {"width": 16}}],
)
def test_a_manifest_that_does_not_say_how_it_is_made_is_refused(stored: tuple[Forecaster, Path], changes: dict[str, Any]) -> None:
    change_manifest(stored[1], **changes)
    with pytest.raises(StorageError, match=r"does not say how its .* backbone is made"):
        load_forecaster(stored[1])


def test_a_manifest_of_another_schema_version_is_refused(stored: tuple[Forecaster, Path]) -> None:
    change_manifest(stored[1], schema_version=9)
    with pytest.raises(StorageError, match="schema_version 9 cannot be read"):
        load_forecaster(stored[1])
