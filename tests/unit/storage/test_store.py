"""The artefact store: whole or absent, addressed by content, isolated by namespace."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from upath import UPath

from toto_ops.errors import StorageError
from toto_ops.storage.store import ArtefactKey, ArtefactRef, ArtefactStore

KEY = ArtefactKey("crypto", "features", "BTCUSD")


def content(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "part").mkdir()
        (folder / "part" / "value.txt").write_text(text)

    return write


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtefactStore:
    root = UPath(tmp_path) if request.param == "local" else UPath(f"memory://{tmp_path.name}")
    return ArtefactStore(root)


def test_what_is_put_can_be_opened_and_found_by_its_inputs(store: ArtefactStore) -> None:
    ref = store.put(KEY, "inputs-1", content("one"))
    assert (store.open(ref) / "part" / "value.txt").read_text() == "one"
    assert (store.local_folder(ref) / "part" / "value.txt").read_text() == "one"
    assert store.find(KEY, "inputs-1") == ref
    assert store.find(KEY, "inputs-2") is None


def test_the_same_content_has_one_address_whatever_it_was_made_from(store: ArtefactStore) -> None:
    first, second = store.put(KEY, "inputs-1", content("one")), store.put(KEY, "inputs-2", content("one"))
    assert first.content_hash == second.content_hash
    assert store.put(KEY, "inputs-3", content("two")).content_hash != first.content_hash


def test_unchanged_inputs_are_not_computed_again(store: ArtefactStore) -> None:
    made = store.get_or_make(KEY, "inputs-1", content("one"))

    def never(_folder: Path) -> None:
        raise AssertionError("computed again")

    assert store.get_or_make(KEY, "inputs-1", never) == (made[0], True)


def test_a_failing_writer_leaves_nothing_behind(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)

    def fails(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        store.put(KEY, "inputs-1", fails)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_artefact_without_its_seal_is_reported_not_read(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    ref = store.put(KEY, "inputs-1", content("one"))
    (Path(str(store.open(ref))) / "artefact.json").unlink()
    with pytest.raises(StorageError, match="missing or incomplete"):
        store.open(ref)
    assert store.find(KEY, "inputs-1") is None
    again = store.put(KEY, "inputs-1", content("one"))
    assert (store.open(again) / "part" / "value.txt").read_text() == "one"


def test_latest_moves_only_when_told(store: ArtefactStore) -> None:
    first = store.put(KEY, "inputs-1", content("one"))
    assert store.latest(KEY) is None
    store.set_latest(first)
    store.put(KEY, "inputs-2", content("two"))
    assert store.latest(KEY) == first


def test_namespaces_do_not_see_each_other(tmp_path: Path) -> None:
    live, replay = ArtefactStore(tmp_path), ArtefactStore(tmp_path, "replay")
    ref = live.put(KEY, "inputs-1", content("one"))
    live.set_latest(ref)
    live.write_document("crypto/note.json", {"a": 1})
    assert replay.find(KEY, "inputs-1") is None
    assert replay.latest(KEY) is None
    assert replay.read_document("crypto/note.json") is None


def test_documents_are_listed_by_name(store: ArtefactStore) -> None:
    for name in ("b", "a"):
        store.write_document(f"crypto/log/{name}.json", {"name": name})
    assert [stem for stem, _ in store.documents("crypto/log")] == ["a", "b"]
    assert list(store.documents("crypto/absent")) == []


def test_of_two_writers_of_a_document_that_must_be_new_one_wins(store: ArtefactStore) -> None:
    assert store.create_document("crypto/as_of.json", {"by": "first"})
    assert not store.create_document("crypto/as_of.json", {"by": "second"})
    assert store.read_document("crypto/as_of.json") == {"by": "first"}
    assert [stem for stem, _ in store.documents("crypto")] == ["as_of"]


def test_many_threads_create_a_document_once(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda number: store.create_document("crypto/as_of.json", {"by": number}), range(32)))
    assert sum(created) == 1


def test_a_broken_document_names_itself(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    store.write_document("crypto/log.json", {})
    (tmp_path / "live" / "crypto" / "log.json").write_text("{")
    with pytest.raises(StorageError, match=r"log\.json"):
        store.read_document("crypto/log.json")


def test_a_ref_survives_json() -> None:
    ref = ArtefactRef(KEY, "abc", "def")
    assert ArtefactRef.from_dict(json.loads(json.dumps(ref.to_dict()))) == ref


def test_an_artefact_whose_files_changed_names_its_folder_and_can_be_made_again(tmp_path: Path) -> None:
    ref = ArtefactStore(tmp_path).put(KEY, "inputs-1", content("one"))
    folder = ArtefactStore(tmp_path).local_folder(ref)
    (folder / "part" / "value.txt").write_text("o")
    with pytest.raises(StorageError, match=rf"{ref.content_hash}: .*not those that were stored.*remove this folder"):
        ArtefactStore(tmp_path).local_folder(ref)

    shutil.rmtree(folder)
    store = ArtefactStore(tmp_path)
    again, reused = store.get_or_make(KEY, "inputs-1", content("one"))
    assert (again, reused) == (ref, False)
    assert store.local_folder(again) == folder


@pytest.mark.parametrize("damaged", ['{"key": ', "", "[]", "{}"])
def test_a_damaged_pointer_names_itself(tmp_path: Path, damaged: str) -> None:
    store = ArtefactStore(tmp_path)
    store.set_latest(store.put(KEY, "inputs-1", content("one")))
    folder = tmp_path.joinpath("live", *KEY.parts)
    (folder / "latest.json").write_text(damaged)
    with pytest.raises(StorageError, match=r"latest\.json: .*Remedy"):
        store.latest(KEY)
    (folder / "by-inputs" / "inputs-1.json").write_text(damaged)
    with pytest.raises(StorageError, match=r"inputs-1\.json: .*Remedy"):
        store.find(KEY, "inputs-1")
