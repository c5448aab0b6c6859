"""Registered forecasters: one version for one content, found again with what it recorded, fetched whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from tests.unit.forecasting.reuse.reuse_samples import market, stored_forecaster
from toto_ops.errors import ConfigError, StorageError
from toto_ops.forecasting.config import ReuseConfig
from toto_ops.forecasting.reuse.library import Beginning, StoredModel, Unreadable
from toto_ops.registry.forecasters import RegistrySource, forecaster_library, register_forecaster
from toto_ops.registry.models import ModelRegistry

UNTIL = datetime(2021, 3, 1, 21, tzinfo=UTC)
GIT = {"git.revision": "abc1234"}


@pytest.fixture
def registry(tracking_uri: str, universe: str) -> ModelRegistry:
    """A namespace for each test, since the library looks at every universe of one."""
    return ModelRegistry(tracking_uri, universe.replace("_", "-"))


def register(registry: ModelRegistry, folder: Path, seed: int = 1, **changes: object):
    stored_forecaster(folder, seed, **{"knows_until": UNTIL} | changes)
    return register_forecaster(registry, folder, "retrain-1", GIT)


def test_a_version_says_what_the_forecaster_is_and_where_it_came_from(registry: ModelRegistry, tmp_path: Path) -> None:
    version = register(registry, tmp_path / "f", universe="stocks")
    assert (version.name, version.version) == (f"{registry.namespace}.toto-stocks-forecaster", 1)
    assert (version.universe, version.line, version.retrain_id) == ("stocks", "forecaster", "retrain-1")
    assert (version.inputs_hash, version.data_hash, version.knows_until) == ("inputs-1", "data", UNTIL)
    assert (version.gates, version.aliases, version.provenance["git.revision"]) == ("not judged", (), "abc1234")
    assert set(version.files) == {"forecaster.json", "forecaster.safetensors"}


def test_its_run_has_the_configuration_and_the_figures(registry: ModelRegistry, tmp_path: Path) -> None:
    version = register(registry, tmp_path / "f")
    run = registry.tracking.client.get_run(version.run_id)
    assert run.data.params == {"epochs": "3", "augmentation.jitter": "0.2"}
    assert (run.data.metrics, run.info.status) == ({"validation_loss": 0.2}, "FINISHED")


def test_the_same_forecaster_is_registered_once_whoever_repeats_it(registry: ModelRegistry, tmp_path: Path) -> None:
    first = register(registry, tmp_path / "f")
    with ThreadPoolExecutor(2) as pool:
        again = list(pool.map(lambda number: register_forecaster(registry, tmp_path / "f", f"retrain-{number}"), range(2, 4)))
    assert again == [first, first]
    second = register(registry, tmp_path / "g", 2)
    assert [version.version for version in registry.versions(first.name)] == [1, 2]
    assert second.inputs_hash == "inputs-2"


def test_a_folder_without_a_forecaster_is_refused_before_anything_is_made(registry: ModelRegistry, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="holds no readable forecaster"):
        register_forecaster(registry, tmp_path, "retrain-1")
    assert RegistrySource(registry).models() == []


def test_the_library_finds_it_with_its_record_and_its_weights(registry: ModelRegistry, tmp_path: Path) -> None:
    version = register(registry, tmp_path / "f", metrics={"validation_loss": 0.25, "beats_random_walk": 1.0})
    (model,) = RegistrySource(registry).models()
    assert isinstance(model, StoredModel)
    assert (model.name, model.where) == (f"{version.name}/1", f"models:/{version.name}/1")
    assert (model.record.kind, model.record.score, model.knows_until) == ("market", 0.25, UNTIL)
    assert (model.record.beats_random_walk, model.record.data_hash) == (True, "data")
    torch.testing.assert_close(model.tensors(), dict(market(1).state_dict()))


def test_weights_are_the_same_wherever_they_were_found(registry: ModelRegistry, tmp_path: Path) -> None:
    register(registry, tmp_path / "f")
    library = forecaster_library(registry, ReuseConfig(folder=tmp_path))
    registered, in_folder = (source.models()[0] for source in library.sources)
    assert registered.identity == in_folder.identity


def test_universes_are_searched_together_and_the_best_of_all_is_begun_from(registry: ModelRegistry, tmp_path: Path) -> None:
    register(registry, tmp_path / "a", 1, universe="stocks", metrics={"validation_loss": 0.3})
    register(registry, tmp_path / "b", 2, universe="crypto", metrics={"validation_loss": 0.2})
    register(
        registry, tmp_path / "c", 3, universe="crypto", metrics={"validation_loss": 0.1}, knows_until=UNTIL.replace(year=2022)
    )
    library = forecaster_library(registry, ReuseConfig())
    assert library.best(Beginning("market", UNTIL, market(9))).name == f"{registry.namespace}.toto-crypto-forecaster/1"
    refused = {one.name: one.refused for one in library.listing(Beginning("market", UNTIL))}
    assert refused[f"{registry.namespace}.toto-crypto-forecaster/2"].startswith("knows bars until 2022-03-01")


def test_other_namespaces_and_policies_are_not_its_models(registry: ModelRegistry, tracking_uri: str, tmp_path: Path) -> None:
    register(registry, tmp_path / "f")
    other = ModelRegistry(tracking_uri, "other")
    assert RegistrySource(other).models() == []
    registry.tracking.client.create_registered_model(registry.line_name("stocks", "bc"))
    assert len(RegistrySource(registry).models()) == 1


def test_weights_changed_after_they_were_registered_are_refused(registry: ModelRegistry, tmp_path: Path) -> None:
    version = register(registry, tmp_path / "f")
    path = registry.files(version) / "forecaster.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    library = forecaster_library(registry, ReuseConfig())
    beginning = Beginning("market", UNTIL, market(2))
    assert library.best(beginning) is None
    assert "is not what was registered" in library.listing(beginning)[0].refused


def test_a_version_whose_tags_were_changed_is_listed_with_the_reason(registry: ModelRegistry, tmp_path: Path) -> None:
    version = register(registry, tmp_path / "f")
    registry.tracking.client.delete_model_version_tag(version.name, "1", "toto.files")
    (model,) = RegistrySource(registry).models()
    assert isinstance(model, Unreadable)
    assert "lacks a tag" in model.reason


def test_looking_makes_no_database(tmp_path: Path) -> None:
    fresh = ModelRegistry(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert RegistrySource(fresh).models() == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_configured_must_be_there(registry: ModelRegistry, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        forecaster_library(registry, ReuseConfig(folder=tmp_path / "nowhere")).listing(Beginning(None, None))
