"""What a stored policy is can be read without loading it; a damaged manifest names itself."""

import json
from pathlib import Path

import pytest

from tests.unit.registry.registry_samples import LinearPolicy, manifest
from toto_ops.errors import StorageError
from toto_ops.policies.contract import MANIFEST, Policy, load_policy, read_manifest
from toto_ops.simulation.observation_schema import STATE


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(manifest("crypto").model_dump_json())
    assert read_manifest(tmp_path) == manifest("crypto")


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"schema_version": 7}, "schema_version 7 cannot be read"), ({"kind": None}, "kind"), ({"surprise": 1}, "surprise")],
)
def test_a_manifest_that_cannot_be_read_names_itself(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    content = json.loads(manifest("crypto").model_dump_json()) | changes
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(StorageError) as raised:
        read_manifest(tmp_path)
    assert says in str(raised.value)
    assert raised.value.where == str(tmp_path / MANIFEST)


def test_a_manifest_of_an_earlier_release_observes_no_forecaster(tmp_path: Path) -> None:
    content = json.loads(manifest("crypto").model_dump_json())
    del content["possibly_knows_until"], content["forecaster"]
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    stored = read_manifest(tmp_path)
    assert (stored.possibly_knows_until, stored.forecaster) == (None, None)


@pytest.mark.parametrize(
    ("inputs", "observes"),
    [(STATE.fields, False), (("mask", "context", "volatility"), False), (("mask", "forecast"), True), (("embedding",), True)],
)
def test_a_policy_observes_forecasts_if_it_takes_them_in_either_form(inputs: tuple[str, ...], observes: bool) -> None:
    assert type("Tried", (Policy,), {"inputs": inputs}).observes_forecasts() == observes


def test_an_absent_manifest_names_itself(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=MANIFEST):
        read_manifest(tmp_path)


def test_a_policy_of_other_observations_than_its_kind_takes_is_not_loaded(tmp_path: Path) -> None:
    LinearPolicy(0).save(tmp_path, manifest("crypto").model_copy(update={"observation_schema": "market/2"}))
    with pytest.raises(StorageError, match=r"expects observations 'market/2', a 'test-linear' policy .* takes 'state34/1'"):
        load_policy(tmp_path)


def test_a_misspelt_input_is_found_when_the_policy_is_written() -> None:
    with pytest.raises(ValueError, match="no observation schema holds"):
        type("Misspelt", (Policy,), {"inputs": ("marked", "account", "mask")})
