"""Taking something away from the store: whole, once nobody touched it for long enough, and never under a user's hands."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from upath import UPath

from tests.unit.storage.aged_store import DAY, a_day_ago, age, content, put_aged
from toto_ops.errors import StorageError
from toto_ops.storage.locking import locked
from toto_ops.storage.retention import (
    Shelf,
    checkpoints,
    drop_pointer,
    half_removed,
    leftovers,
    local_base,
    namespaces,
    retraining_indexes,
    shelves,
    take_away,
)
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import ArtefactKey, ArtefactStore

KEY = ArtefactKey("crypto", "features", "BTCUSD")


@pytest.fixture
def store(tmp_path: Path) -> ArtefactStore:
    return ArtefactStore(tmp_path)


def shelf_of(store: ArtefactStore) -> Shelf:
    return next(shelf for shelf in shelves(local_base(store), "crypto") if shelf.artefacts or shelf.pointers)


def test_the_age_of_an_artefact_is_when_it_was_last_made_or_found(store: ArtefactStore) -> None:
    ref = put_aged(store, KEY, "one", days=60)
    assert shelf_of(store).artefacts[0].touched == pytest.approx(time.time() - 60 * DAY, abs=60)
    assert store.find(KEY, "from one") == ref
    assert shelf_of(store).artefacts[0].touched == pytest.approx(time.time(), abs=60)


def test_the_same_content_made_again_is_as_good_as_new(store: ArtefactStore) -> None:
    put_aged(store, KEY, "one", days=60)
    store.put(KEY, "other inputs", content("one"))
    assert shelf_of(store).artefacts[0].touched == pytest.approx(time.time(), abs=60)


def test_an_artefact_is_taken_away_with_every_pointer_to_it(store: ArtefactStore) -> None:
    ref = put_aged(store, KEY, "one")
    store.put(KEY, "other inputs", content("one"))
    kept = store.put(KEY, "from two", content("two"))
    age(Path(str(store.place(ref))))
    shelf = shelf_of(store)
    old = next(item for item in shelf.artefacts if item.path.name == ref.content_hash)
    assert len(shelf.pointers[ref.content_hash]) == 2

    assert take_away(local_base(store), old, a_day_ago(), shelf.pointers[ref.content_hash])
    assert store.find(KEY, "from one") is None
    assert store.find(KEY, "from two") == kept
    assert [item.path.name for item in shelf_of(store).artefacts] == [kept.content_hash]
    assert list(shelf_of(store).pointers) == [kept.content_hash]
    assert list(leftovers(local_base(store))) == []


def test_what_was_found_after_the_survey_stays(store: ArtefactStore) -> None:
    put_aged(store, KEY, "one")
    surveyed = shelf_of(store)
    ref = store.find(KEY, "from one")
    assert ref is not None
    assert not take_away(local_base(store), surveyed.artefacts[0], a_day_ago(), surveyed.pointers[ref.content_hash])
    assert store.find(KEY, "from one") == ref
    assert (store.local_folder(ref) / "value.txt").read_text() == "one"


def test_what_has_been_found_is_there_while_others_sweep(store: ArtefactStore) -> None:
    """Whatever was promised within the grace can be opened, however the calls of both sides interleave."""
    grace, until = 0.05, time.monotonic() + 1.0

    def use(number: int) -> int:
        promised = 0
        while time.monotonic() < until:
            ref, _ = store.get_or_make(KEY, f"inputs {number}", content(str(number)))
            assert (store.open(ref) / "value.txt").read_text() == str(number)
            promised += 1
            time.sleep(grace * (promised % 3) / 2)
        return promised

    def sweep() -> int:
        taken = 0
        while time.monotonic() < until:
            for shelf in shelves(local_base(store), "crypto"):
                for item in shelf.artefacts:
                    pointers = shelf.pointers.get(item.path.name, ())
                    taken += take_away(local_base(store), item, time.time() - grace, pointers)
        return taken

    with ThreadPoolExecutor(4) as pool:
        users, sweeper = [pool.submit(use, number) for number in range(3)], pool.submit(sweep)
        assert all(user.result() > 1 for user in users)
        assert sweeper.result() > 0


def test_making_finding_and_taking_away_wait_for_each_other(store: ArtefactStore) -> None:
    put_aged(store, KEY, "one")
    surveyed = shelf_of(store).artefacts[0]
    with ThreadPoolExecutor(3) as pool:
        with locked(local_base(store)):
            waiting = [
                pool.submit(store.find, KEY, "from one"),
                pool.submit(store.put, KEY, "from two", content("two")),
                pool.submit(take_away, local_base(store), surveyed, a_day_ago()),
            ]
            time.sleep(0.2)
            assert not any(call.done() for call in waiting)
        found, _, taken = (call.result() for call in waiting)
    assert (found is None) == taken, "whoever came first has it"


def test_a_collection_killed_half_way_leaves_nothing_half_visible(store: ArtefactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put_aged(store, KEY, "one")
    shelf = shelf_of(store)

    def killed(_folder: Path) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(SystemExit):
            take_away(local_base(store), shelf.artefacts[0], a_day_ago())
    assert store.find(KEY, "from one") is None  # although its pointer is still there
    (trash,) = leftovers(local_base(store))
    assert half_removed(trash)
    assert take_away(local_base(store), trash, float("inf"))
    (pointer,) = next(iter(shelf_of(store).pointers.values()))
    assert drop_pointer(local_base(store), pointer)
    assert list(local_base(store).rglob("*.json")) == []


def test_a_pointer_whose_artefact_was_made_again_stays(store: ArtefactStore) -> None:
    ref = store.put(KEY, "inputs", content("one"))
    shutil.rmtree(str(store.place(ref)))
    (pointer,) = shelf_of(store).pointers[ref.content_hash]
    store.put(KEY, "inputs", content("one"))
    assert not drop_pointer(local_base(store), pointer)
    assert store.find(KEY, "inputs") == ref


def test_a_symbol_that_looks_like_a_hash_is_no_artefact(store: ArtefactStore) -> None:
    ref = put_aged(store, ArtefactKey("crypto", "features", "1234567890123456"), "one")
    names = [item.path.name for shelf in shelves(local_base(store), "crypto") for item in shelf.artefacts]
    assert names == [ref.content_hash]


def test_an_artefact_that_lost_its_seal_is_listed_like_any_other(store: ArtefactStore) -> None:
    ref = put_aged(store, KEY, "one")
    (Path(str(store.place(ref))) / "artefact.json").unlink()
    assert [item.path.name for item in shelf_of(store).artefacts] == [ref.content_hash]


def test_what_killed_writers_left_is_found(store: ArtefactStore) -> None:
    base = local_base(store)
    store.put(KEY, "inputs", content("one"))
    (base / ".staging" / "staging-abc" / "content").mkdir(parents=True)
    (base / "crypto" / "features" / ".x1.tmp").write_text("{")
    assert {item.path.name for item in leftovers(base)} == {"staging-abc", ".x1.tmp"}
    assert not any(half_removed(item) for item in leftovers(base))


def test_the_age_of_an_index_is_that_of_its_newest_document(store: ArtefactStore) -> None:
    retraining = Retraining(store, "crypto", "run-1")
    retraining.record(store.put(KEY, "inputs", content("one")))
    age(local_base(store) / "crypto" / "retrainings")
    (index,) = retraining_indexes(local_base(store), "crypto")
    assert (index.path.name, index.touched < a_day_ago()) == ("run-1", True)
    store.write_document(f"{retraining.folder}/outcome.json", {})
    (index,) = retraining_indexes(local_base(store), "crypto")
    assert index.touched > a_day_ago()


def test_checkpoints_are_listed_by_what_they_were_trained_on(tmp_path: Path) -> None:
    (tmp_path / "crypto" / "bc" / "inputs-1" / "seed-0").mkdir(parents=True)
    (tmp_path / "crypto" / "bc" / "inputs-1" / "seed-0" / "last.safetensors").write_bytes(b"12345")
    (checkpoint,) = checkpoints(tmp_path, "crypto")
    assert (checkpoint.path.name, checkpoint.size) == ("inputs-1", 5)


def test_namespaces_are_what_holds_artefacts(tmp_path: Path) -> None:
    for name in ("live", "replay"):
        ArtefactStore(tmp_path, name).put(KEY, "inputs", content("one"))
    (tmp_path / "mlartifacts" / "0123456789abcdef").mkdir(parents=True)
    assert namespaces(tmp_path) == ("live", "replay")
    assert namespaces(tmp_path / "absent") == ()


def test_an_object_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="object store, where nothing is collected"):
        local_base(ArtefactStore(UPath(f"memory://{tmp_path.name}")))
