"""What a stored policy is can be read without loading it; a damaged manifest names itself."""

import json
from pathlib import Path

import pytest

from tests.unit.registry.registry_samples import manifest
from toto_ops.errors import StorageError
from toto_ops.policies.contract import MANIFEST, read_manifest


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
