"""One universe, looked at without touching it."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.market.snapshot import Snapshot, SnapshotEntry
from toto_ops.monitoring.status import UniverseStatus
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import note_fingerprint, remember
from toto_ops.pipeline.universe_status import Activity, observe_universe
from toto_ops.registry.events import RegistryEvent
from toto_ops.serving.market_view import publish_market
from toto_ops.storage.store import ArtefactKey, ArtefactRef

NOW = datetime(2024, 2, 10, 12, tzinfo=UTC)
DUE = datetime(2024, 2, 1, 6, tzinfo=UTC)
BARS = "timestamp,open,high,low,close,volume\n2024-02-09,1,2,1,2,10\n"
IDLE = Activity()


class Desk:
    """One project with the universe `coins` in a CSV folder."""

    def __init__(self, folder: Path) -> None:
        self.bars = folder / "bars"
        self.bars.mkdir()
        self.add("AAA")
        config = folder / "config"
        shutil.copytree(PROJECT_ROOT / "deploy" / "config", config)
        content = yaml.safe_load((config / "universes.yaml").read_text())
        coins = {**content["universes"]["crypto"], "source": {"kind": "csv", "folder": str(self.bars)}}
        coins.pop("symbols", None)
        content["universes"] = {"coins": coins, "crypto": content["universes"]["crypto"]}
        (config / "universes.yaml").write_text(yaml.safe_dump(content))
        self.project = Project(Settings(home=str(folder / "home"), config_dir=config, env="local"))
        self.home = folder / "home"

    def add(self, symbol: str) -> None:
        (self.bars / f"{symbol}.csv").write_text(BARS)

    def retrained(self, at: datetime) -> None:
        """Leave behind what a successful retraining leaves behind."""
        universe = self.project.universe("coins")
        retraining = self.project.retraining(universe, "r1")
        note_fingerprint(self.project, retraining, universe)
        remember(self.project, retraining, universe, at)

    def publish(self, *entries: SnapshotEntry) -> None:
        snapshot = Snapshot(universe="coins", retrain_id="r1", as_of=NOW, config_hash="c", entries=entries)
        publish_market(self.project.store, snapshot, ArtefactRef(ArtefactKey("coins", "panel"), "p", "i"))

    def look(self, name: str = "coins", activity: Activity = IDLE) -> UniverseStatus:
        return observe_universe(self.project, self.project.universe(name), activity, NOW)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def served(symbol: str, days_old: float, **changes: object) -> SnapshotEntry:
    close = NOW - timedelta(days=days_old)
    return SnapshotEntry(symbol=symbol, status="included", bars="b", inputs_hash="i", rows=1, last_close=close, **changes)  # type: ignore[arg-type]


def test_a_home_that_does_not_exist_is_not_made_by_looking(desk: Desk) -> None:
    found = desk.look()
    assert (found.newest_bar, found.serving, found.last_retraining) == (None, None, None)
    assert not found.overdue
    assert not desk.home.exists()


def test_the_newest_bar_is_that_of_a_symbol_still_fed(desk: Desk) -> None:
    desk.publish(served("AAA", 1.5), served("BBB", 8), served("OLD", 900, ended=True))
    found = desk.look()
    assert found.newest_bar == NOW - timedelta(days=1.5)
    assert found.newest_bar_age_days == pytest.approx(1.5)
    assert set(found.late_symbols) == {"BBB"}
    assert found.grows


def test_when_every_feed_has_ended_it_says_since_when(desk: Desk) -> None:
    desk.publish(served("AAA", 700, ended=True), served("BBB", 900, ended=True))
    assert desk.look().last_feed_ended == NOW - timedelta(days=700)
    desk.publish(served("AAA", 1), served("BBB", 900, ended=True))
    assert desk.look().last_feed_ended is None


@pytest.mark.parametrize("document", ["serving.json", "last_retraining.json"])
def test_a_document_that_cannot_be_read_is_a_problem_and_hides_nothing_else(desk: Desk, document: str) -> None:
    desk.retrained(DUE + timedelta(hours=1))
    desk.publish(served("AAA", 1))
    (desk.home / "live" / "coins" / document).write_text('{"half":')
    found = desk.look()
    (problem,) = found.problems
    assert document in problem
    assert (found.newest_bar is None) == (document == "serving.json")
    assert (found.last_retraining is None) == (document == "last_retraining.json")


def test_the_bundled_sample_does_not_grow(desk: Desk) -> None:
    assert not desk.look("crypto").grows


def test_who_takes_no_part_is_told_with_the_reason_and_once(desk: Desk) -> None:
    desk.add("NEW")
    desk.add("BAD")
    desk.publish(served("AAA", 1), SnapshotEntry(symbol="BAD", status="quarantined", reasons=("gaps", "too short")))
    found = desk.look()
    assert found.quarantined == {"BAD": "gaps; too short"}
    assert found.waiting == {"NEW": "not taken in yet"}


def test_a_retraining_is_overdue_when_it_was_due_and_there_was_something_to_do(desk: Desk) -> None:
    desk.retrained(DUE - timedelta(days=20))
    assert not desk.look().overdue, "nothing has changed"
    desk.add("BBB")
    assert desk.look().changed_since == "due on 2024-02-01 06:00 UTC; new symbols: BBB"


def test_it_is_not_overdue_once_it_came_or_while_it_runs_or_when_the_schedule_found_nothing_to_do(desk: Desk) -> None:
    desk.retrained(DUE - timedelta(days=20))
    desk.add("BBB")
    assert not desk.look(activity=Activity(in_progress=("run r2",))).overdue
    assert not desk.look(activity=Activity(nothing_to_do_at=DUE)).overdue
    assert desk.look(activity=Activity(nothing_to_do_at=DUE - timedelta(days=31))).overdue
    desk.retrained(DUE + timedelta(hours=1))
    desk.add("CCC")
    assert not desk.look().overdue


def test_a_source_that_cannot_be_read_is_a_problem_and_no_empty_universe(desk: Desk) -> None:
    desk.retrained(DUE - timedelta(days=20))
    desk.publish(served("AAA", 1))
    shutil.rmtree(desk.bars)
    (problem,) = desk.look().problems
    assert "its source cannot be read" in problem


class RegistryDouble:
    """A fallback, version 1, and a champion, version 2, promoted and frozen."""

    def __init__(self, aliases: dict[str, int], *diary: RegistryEvent) -> None:
        self.known = aliases
        self.diary = diary

    def serving_name(self, universe: str) -> str:
        return f"toto-{universe}"

    def aliases(self, name: str) -> dict[str, int]:
        return self.known

    def model_tags(self, name: str) -> dict[str, str]:
        return {f"toto.event.{event.number:05d}": event.model_dump_json() for event in self.diary}

    def version(self, name: str, number: int) -> SimpleNamespace:
        aliases = tuple(alias for alias, version in self.known.items() if version == number)
        return SimpleNamespace(name=name, version=number, line="bc", aliases=aliases, created_at=NOW - timedelta(days=9))


def event(number: int, kind: str, version: int | None) -> RegistryEvent:
    at = NOW - timedelta(days=8 - number)
    content = {"number": number, "universe": "coins", "at": at, "kind": kind, "version": version, "instead_of": None}
    return RegistryEvent(**content, by="anna", why="quiet", outcome="done")  # type: ignore[arg-type]


def test_what_serves_since_when_and_whether_it_is_frozen(desk: Desk) -> None:
    desk.home.mkdir()
    (desk.home / "mlflow.db").write_text("")
    promoted, frozen = event(1, "promotion", 2), event(2, "freeze", 2)
    desk.project.__dict__["registry"] = RegistryDouble({"fallback": 1, "champion": 2}, promoted, frozen)
    serving = desk.look().serving
    assert serving is not None
    assert (serving.version, serving.role, serving.since) == (2, "champion", promoted.at)
    assert "by anna: quiet" in serving.frozen

    desk.project.__dict__["registry"] = RegistryDouble({"fallback": 1})
    serving = desk.look().serving
    assert serving is not None
    assert (serving.version, serving.role, serving.since, serving.frozen) == (1, "fallback", NOW - timedelta(days=9), "")


def test_a_registry_that_cannot_be_read_is_a_problem(desk: Desk) -> None:
    desk.home.mkdir()
    (desk.home / "mlflow.db").write_text("")
    unreadable = RegistryDouble({"champion": 2}, event(1, "promotion", 2).model_copy(update={"schema_version": 99}))
    desk.project.__dict__["registry"] = unreadable
    (problem,) = desk.look().problems
    assert "what serves cannot be told" in problem
    assert "schema_version 99" in problem
    json.dumps(desk.look().model_dump(mode="json"))
