"""The index of a retraining: `as_of` settled once, artefacts recorded and found again."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from toto_ops.errors import StorageError
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import ArtefactStore


@pytest.fixture
def retraining(tmp_path: Path) -> Retraining:
    return Retraining(ArtefactStore(tmp_path), "crypto", "run-1")


def test_as_of_is_what_the_first_caller_said(retraining: Retraining) -> None:
    first, later = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)
    assert retraining.resolve_as_of(first) == first
    assert retraining.resolve_as_of(later) == first
    assert retraining.as_of == first


def test_reading_before_the_step_ran_says_which_step(retraining: Retraining) -> None:
    with pytest.raises(StorageError, match="materialise `features`"):
        retraining.ref("features", "BTCUSD")
    with pytest.raises(StorageError, match="materialise `bars`"):
        _ = retraining.as_of


def test_recorded_artefacts_are_found_by_asset_and_symbol(retraining: Retraining) -> None:
    refs = [
        retraining.store.put(retraining.key("features", symbol), symbol, lambda folder: (folder / "x").touch())
        for symbol in ("A", "B")
    ]
    for ref in refs:
        retraining.record(ref)
    assert retraining.ref("features", "B") == refs[1]
    assert retraining.has("features", "A")
    assert not retraining.has("features", "C")
    assert set(retraining.refs()) == set(refs)


def test_retrainings_do_not_see_each_other(retraining: Retraining) -> None:
    retraining.record(retraining.store.put(retraining.key("panel"), "x", lambda folder: (folder / "x").touch()))
    assert not Retraining(retraining.store, "crypto", "run-2").has("panel")


@pytest.mark.parametrize("damaged", [{}, {"key": {"universe": "crypto"}}, {"key": [], "content_hash": 1, "inputs_hash": None}])
def test_an_entry_that_names_no_artefact_names_itself(retraining: Retraining, damaged: dict[str, object]) -> None:
    retraining.store.write_document(f"{retraining.folder}/artefacts/panel.json", damaged)
    with pytest.raises(StorageError, match=r"artefacts/panel\.json: does not name an artefact.*Remedy"):
        retraining.ref("panel")
    with pytest.raises(StorageError, match=r"artefacts/panel\.json"):
        list(retraining.refs())


def test_an_as_of_without_its_moment_names_itself(retraining: Retraining) -> None:
    retraining.store.write_document(f"{retraining.folder}/as_of.json", {})
    with pytest.raises(StorageError, match=r"as_of\.json: cannot be read \(as_of: Field required\).*Remedy"):
        _ = retraining.as_of
