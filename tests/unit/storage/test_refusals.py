"""A full or read-only disk: one clear error, nothing stored is changed, and the next attempt goes through."""

import errno
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch

from tests.unit.storage.broken_disks import FULL, READ_ONLY, broken_disk, every_refusal, visible
from toto_ops.configuration import StrictModel
from toto_ops.errors import ConfigError, StorageError
from toto_ops.learning.checkpoints import load_checkpoint, save_checkpoint
from toto_ops.storage.refusals import named_refusals, refusal
from toto_ops.storage.store import ArtefactKey, ArtefactStore

KEY = ArtefactKey("crypto", "features", "BTCUSD")
DISKS = pytest.mark.parametrize(
    ("number", "says"), [(FULL, "no space is left"), (READ_ONLY, "read-only")], ids=["full", "read-only"]
)


class Progress(StrictModel):
    epoch: int


def content(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "part").mkdir()
        (folder / "part" / "value.txt").write_text(text)

    return write


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A store in which something serves already."""
    store = ArtefactStore(tmp_path)
    store.set_latest(store.put(KEY, "inputs-1", content("one")))
    store.write_document("crypto/serving.json", {"serves": "one"})
    return tmp_path


@DISKS
def test_an_artefact_is_stored_whole_or_not_at_all_wherever_the_disk_refuses(home: Path, number: int, says: str) -> None:
    before = visible(home)
    refused = set()
    for call, error in every_refusal(home, number, lambda: ArtefactStore(home).put(KEY, "inputs-2", content("two"))):
        refused.add(call)
        assert isinstance(error, StorageError), f"{call}: {error!r}"
        assert says in str(error)
        assert "Remedy" in str(error)
        assert before.items() <= visible(home).items()
        versions = home.glob(f"live/crypto/features/BTCUSD/{'[0-9a-f]' * 16}")
        assert all((folder / "artefact.json").exists() for folder in versions)
        assert ArtefactStore(home).latest(KEY) == ArtefactStore(home).find(KEY, "inputs-1")
    assert refused >= {"mkdir", "io.open", "write", "fsync", "rename", "replace"}
    stored = ArtefactStore(home).find(KEY, "inputs-2")
    assert stored is not None
    assert (ArtefactStore(home).local_folder(stored) / "part" / "value.txt").read_text() == "two"


@DISKS
@pytest.mark.parametrize(
    ("write", "name"),
    [
        (lambda store: store.write_document("crypto/serving.json", {"serves": "two"}), "crypto/serving.json"),
        (lambda store: store.create_document("crypto/openings/1.json", {"opened": True}), "crypto/openings/1.json"),
    ],
    ids=["write", "create"],
)
def test_a_document_is_the_old_one_or_the_new_one(
    home: Path, number: int, says: str, write: Callable[[ArtefactStore], object], name: str
) -> None:
    before = ArtefactStore(home).read_document(name)
    states = []
    for call, error in every_refusal(home, number, lambda: write(ArtefactStore(home))):
        assert isinstance(error, StorageError), f"{call}: {error!r}"
        assert says in str(error)
        states.append(ArtefactStore(home).read_document(name))
    after = ArtefactStore(home).read_document(name)
    assert after not in (before, None)
    assert all(state in (before, after) for state in states)
    assert states[0] == before


@DISKS
def test_latest_points_at_the_old_version_or_the_new_one(home: Path, number: int, says: str) -> None:
    store = ArtefactStore(home)
    old, new = store.latest(KEY), store.put(KEY, "inputs-2", content("two"))
    for _, error in every_refusal(home, number, lambda: store.set_latest(new)):
        assert isinstance(error, StorageError)
        assert says in str(error)
        assert store.latest(KEY) in (old, new)
    assert store.latest(KEY) == new


@DISKS
def test_a_checkpoint_is_the_last_one_that_was_saved_whole(tmp_path: Path, number: int, says: str) -> None:
    path = tmp_path / "work" / "last.safetensors"
    save_checkpoint(path, {"weight": torch.zeros(3)}, Progress(epoch=1))
    for _, error in every_refusal(tmp_path, number, lambda: save_checkpoint(path, {"weight": torch.ones(3)}, Progress(epoch=2))):
        assert isinstance(error, StorageError)
        assert says in str(error)
        stored = load_checkpoint(path, Progress)
        assert stored is not None
        assert stored[1].epoch == float(stored[0]["weight"][0]) + 1
    stored = load_checkpoint(path, Progress)
    assert stored is not None
    assert stored[1] == Progress(epoch=2)


def test_what_a_writer_left_on_a_full_disk_is_cleared_away(home: Path) -> None:
    with broken_disk(home, FULL, 4), pytest.raises(StorageError):
        ArtefactStore(home).put(KEY, "inputs-2", content("two"))
    assert not list((home / "live" / ".staging").iterdir())


def test_a_full_disk_is_known_whichever_library_met_it(tmp_path: Path) -> None:
    """/dev/full is a disk without space that every Linux has."""

    def python() -> None:
        with Path("/dev/full").open("w") as stream:
            stream.write("x")

    for write in (python, lambda: pl.DataFrame({"a": [1.0]}).write_parquet("/dev/full")):
        with pytest.raises(StorageError, match="no space is left on the disk"), named_refusals("a table"):
            write()


def test_a_read_only_database_is_known_through_what_was_raised_from_it(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    sqlite3.connect(path).execute("create table model (name text)")
    error = RuntimeError("the registry failed")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database, pytest.raises(sqlite3.OperationalError) as raised:
        database.execute("insert into model values ('toto')")
    error.__cause__ = raised.value
    refused = refusal(error, "MLflow")
    assert refused is not None
    assert refused.where == "MLflow"
    assert "read-only" in refused.problem


def test_the_file_is_named_where_the_system_names_it() -> None:
    refused = refusal(OSError(errno.EROFS, os.strerror(errno.EROFS), "/data/toto/live/x.json"), "the store")
    assert refused is not None
    assert refused.where == "/data/toto/live/x.json"


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "no such file"), sqlite3.OperationalError("no such table: model"), KeyError("rate")]
)
def test_an_error_of_another_origin_stays_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, named_refusals("the store"):
        raise error
    assert raised.value is error


def test_an_error_that_says_what_is_wrong_already_is_not_told_again() -> None:
    said = ConfigError("the folder of bars cannot be read", where="universes.yaml")
    said.__cause__ = PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(ConfigError), named_refusals("the store"):
        raise said


def test_json_survives_a_crash_of_the_writer_of_its_successor(home: Path) -> None:
    document = home / "live" / "crypto" / "serving.json"
    with broken_disk(home, FULL, 2), pytest.raises(StorageError):
        ArtefactStore(home).write_document("crypto/serving.json", {"serves": "two"})
    assert json.loads(document.read_text()) == {"serves": "one"}
