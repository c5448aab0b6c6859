"""`toto-ops admin gc`: what it says it would do is what it does, and a second time there is nothing left to do."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.storage.aged_store import put_aged
from toto_ops.cli import app
from toto_ops.storage.store import ArtefactKey, ArtefactStore


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with two old versions of one artefact, of which `latest` names the second."""
    monkeypatch.setenv("TOTO_HOME", str(tmp_path))
    store, key = ArtefactStore(tmp_path), ArtefactKey("crypto", "panel")
    put_aged(store, key, "one")
    store.set_latest(put_aged(store, key, "two"))
    return tmp_path


def gc(*arguments: str) -> dict:
    done = CliRunner().invoke(app, ["admin", "gc", "--json", *arguments])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_dry_run_says_what_then_goes(home: Path) -> None:
    said = gc("--dry-run")
    assert (said["dry_run"], len(list(home.rglob("value.txt")))) == (True, 2)
    done = gc()
    assert [path.read_text() for path in home.rglob("value.txt")] == ["two"]
    (before,), (after,) = said["namespaces"], done["namespaces"]
    assert (
        after["removed"]
        == before["removed"]
        == [
            {"kind": "artefact", "items": 1, "bytes": before["removed"][0]["bytes"]},
            {"kind": "pointer", "items": 1, "bytes": before["removed"][1]["bytes"]},
        ]
    )
    assert done["removed_bytes"] > 0
    assert gc()["removed_bytes"] == 0
    assert {row["reason"] for row in after["kept"]} == {"latest"}


def test_what_is_not_older_than_asked_stays(home: Path) -> None:
    assert gc("--older-than", "61")["removed_bytes"] == 0
    assert len(list(home.rglob("value.txt"))) == 2


def test_old_runs_of_the_controls_go_too(home: Path) -> None:
    outcome = home / "controls-aa" / "controls" / "markets" / "null-0.json"
    outcome.parent.mkdir(parents=True)
    outcome.write_text("{}")
    assert gc()["controls"] == {"items": 0, "bytes": 0}
    os.utime(outcome, (1, 1))
    assert gc("--dry-run")["controls"] == {"items": 1, "bytes": 2}
    assert outcome.exists()
    assert gc()["controls"] == {"items": 1, "bytes": 2}
    assert not (home / "controls-aa").exists()


def test_less_than_a_day_is_no_age(home: Path) -> None:
    done = CliRunner().invoke(app, ["admin", "gc", "--older-than", "0"])
    assert done.exit_code == 2
    assert len(list(home.rglob("value.txt"))) == 2


def test_text_tells_what_went_and_what_stays(home: Path) -> None:
    done = CliRunner().invoke(app, ["admin", "gc"])
    assert done.exit_code == 0
    assert "live: removed" in done.output
    assert "latest" in done.output
    assert "removed in all" in done.output
