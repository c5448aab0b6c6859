"""The snapshot is assembled from one entry per symbol; an entry that was damaged names itself."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from toto_ops.errors import StorageError
from toto_ops.market.snapshot import SnapshotEntry, read_snapshot, record_entry
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import ArtefactStore


@pytest.fixture
def retraining(tmp_path: Path) -> Retraining:
    retraining = Retraining(ArtefactStore(tmp_path), "crypto", "run-1")
    retraining.resolve_as_of(datetime(2024, 1, 1, tzinfo=UTC))
    record_entry(retraining, SnapshotEntry(symbol="BTCUSD", status="quarantined", reasons=("no bars",)))
    return retraining


def test_a_snapshot_lists_every_symbol_with_its_reason(retraining: Retraining) -> None:
    snapshot = read_snapshot(retraining, "config")
    assert (snapshot.symbols, snapshot.quarantined) == ((), {"BTCUSD": ("no bars",)})


@pytest.mark.parametrize(("damaged", "says"), [({"status": "included"}, "symbol: Field required"), ({"symbol": "A"}, "status")])
def test_a_damaged_entry_names_itself(retraining: Retraining, damaged: dict[str, str], says: str) -> None:
    retraining.store.write_document(f"{retraining.folder}/snapshot/BTCUSD.json", damaged)
    with pytest.raises(StorageError, match=r"snapshot/BTCUSD\.json: cannot be read") as raised:
        read_snapshot(retraining, "config")
    assert says in raised.value.problem
