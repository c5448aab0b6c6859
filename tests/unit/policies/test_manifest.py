"""What a stored policy is can be read without loading it; a damaged manifest names itself."""

import json
from pathlib import Path

import pytest

from tests.unit.registry.registry_samples import LinearPolicy, manifest
from toto_ops.errors import StorageError
from toto_ops.policies.contract import MANIFEST, Policy, load_policy, read_manifest


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


def test_an_absent_manifest_names_itself(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=MANIFEST):
        read_manifest(tmp_path)


def test_a_policy_of_other_observations_than_its_kind_takes_is_not_loaded(tmp_path: Path) -> None:
    LinearPolicy(0).save(tmp_path, manifest("crypto").model_copy(update={"observation_schema": "market/1"}))
    with pytest.raises(StorageError, match=r"expects observations 'market/1', a 'test-linear' policy .* takes 'state34/1'"):
        load_policy(tmp_path)


def test_a_misspelt_input_is_found_when_the_policy_is_written() -> None:
    with pytest.raises(ValueError, match="no observation schema holds"):
        type("Misspelt", (Policy,), {"inputs": ("marked", "account", "mask")})
