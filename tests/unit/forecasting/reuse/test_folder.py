"""A folder of models: forecasters of this project and files from elsewhere; what is wrong with one does not stop others."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.unit.forecasting.reuse.reuse_samples import market, stored_forecaster
from toto_ops.errors import ConfigError
from toto_ops.forecasting.reuse.folder import FolderSource
from toto_ops.forecasting.reuse.library import Beginning, ModelLibrary, StoredModel, Unreadable
from toto_ops.forecasting.reuse.mapping import reuse_weights

UNTIL = datetime(2021, 3, 1, 21, tzinfo=UTC)


def found_in(folder: Path) -> dict[str, StoredModel | Unreadable]:
    return {model.name: model for model in FolderSource(folder).models()}


def test_a_forecaster_of_this_project_brings_its_record_and_its_weights(tmp_path: Path) -> None:
    stored = stored_forecaster(tmp_path / "stocks" / "january", 1, knows_until=UNTIL, metrics={"validation_loss": 0.2})
    (model,) = FolderSource(tmp_path).models()
    assert (model.name, model.where) == ("stocks/january", str(tmp_path / "stocks" / "january"))
    assert (model.record.kind, model.record.score, model.knows_until) == ("market", 0.2, UNTIL)
    assert model.record.data_hash == "data"
    network = market(2)
    assert reuse_weights(network, model.tensors(), model.name).new == ()
    torch.testing.assert_close(network.state_dict(), stored.network.state_dict())


def test_what_learnt_nothing_is_known_by_its_metrics(tmp_path: Path) -> None:
    stored_forecaster(tmp_path / "idle", 1, knows_until=UNTIL, metrics={"validation_loss": 0.2, "beats_random_walk": 0.0})
    (candidate,) = ModelLibrary([FolderSource(tmp_path)]).listing(Beginning("market", None))
    assert candidate.refused.startswith("does not beat a random walk")


def test_files_from_elsewhere_are_listed_by_their_paths(tmp_path: Path) -> None:
    weights = {"a": torch.ones(2)}
    (tmp_path / "older").mkdir()
    for name in ("modern_best.pth", "older/final.pt", "model.ckpt", "pytorch_model.bin"):
        torch.save(weights, tmp_path / name)
    save_file(weights, tmp_path / "last.safetensors")
    for name in ("notes.txt", "results.json", ".hidden.pt"):
        (tmp_path / name).write_text("{}")
    assert list(found_in(tmp_path)) == sorted(
        ["modern_best.pth", "older/final.pt", "model.ckpt", "pytorch_model.bin", "last.safetensors"]
    )


def test_a_plain_file_is_usable_once_the_file_beside_it_says_what_it_is(tmp_path: Path) -> None:
    torch.save({"state_dict": market(1).state_dict(), "val_loss": 0.4}, tmp_path / "modern.pth")
    library = ModelLibrary([FolderSource(tmp_path)])
    beginning = Beginning("market", UNTIL, market(2))
    assert library.best(beginning) is None
    said = {"kind": "market", "knows_until": UNTIL.isoformat()}
    (tmp_path / "modern.json").write_text(json.dumps(said))
    assert (library.best(beginning).name, library.best(beginning).record.score) == ("modern.pth", 0.4)
    (tmp_path / "modern.json").write_text(json.dumps(said | {"validation_loss": 0.3}))
    assert library.best(beginning).record.score == 0.3


@pytest.mark.parametrize(
    ("sidecar", "told"), [("{", "modern.json beside it cannot be read"), ('{"knows_until": 1.5}', "no moment")]
)
def test_a_file_beside_it_that_is_wrong_is_a_reason_not_to_use_it(tmp_path: Path, sidecar: str, told: str) -> None:
    torch.save(market(1).state_dict(), tmp_path / "modern.pth")
    (tmp_path / "modern.json").write_text(sidecar)
    (model,) = FolderSource(tmp_path).models()
    assert isinstance(model, Unreadable)
    assert told in model.reason


def test_what_cannot_be_read_is_listed_and_others_go_on(tmp_path: Path) -> None:
    stored_forecaster(tmp_path / "good", 1, knows_until=UNTIL, metrics={"validation_loss": 0.2})
    stored_forecaster(tmp_path / "future", 1, knows_until=UNTIL, metrics={})
    manifest = tmp_path / "future" / "forecaster.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 1', '"schema_version": 99'))
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04")
    models = found_in(tmp_path)
    reasons = {name: model.reason for name, model in models.items() if isinstance(model, Unreadable)}
    assert set(reasons) == {"future", "module.pt", "cut.pt"}
    assert "schema_version 99" in reasons["future"]
    assert "would have to be run" in reasons["module.pt"]
    assert ModelLibrary([FolderSource(tmp_path)]).best(Beginning("market", UNTIL, market(2))).name == "good"


def test_a_manifest_whose_weights_are_gone_is_passed_over(tmp_path: Path) -> None:
    stored_forecaster(tmp_path / "empty", 1, knows_until=UNTIL, metrics={"validation_loss": 0.2})
    (tmp_path / "empty" / "forecaster.safetensors").unlink()
    library = ModelLibrary([FolderSource(tmp_path)])
    beginning = Beginning("market", UNTIL, market(2))
    assert library.best(beginning) is None
    assert library.listing(beginning)[0].refused.startswith("cannot be read")


def test_a_folder_may_be_one_forecaster(tmp_path: Path) -> None:
    stored_forecaster(tmp_path / "only", 1, knows_until=UNTIL, metrics={})
    assert list(found_in(tmp_path / "only")) == ["only"]


def test_a_folder_that_is_not_there_is_an_error_in_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"reuse\.folder: .*nowhere: is not a folder"):
        FolderSource(tmp_path / "nowhere").models()
