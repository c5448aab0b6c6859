"""Launching: what died is settled, what lives respected, and older moments kept away from what serves."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from deploy import launch
from deploy.execution import StepEvent
from deploy.launch import LaunchRequest
from deploy.universe_lock import universe_lock
from tests.unit.assets.run_samples import DEAD_LAUNCHER, ELSEWHERE, of_a_command_line, status_now
from toto_ops.configuration import Settings
from toto_ops.errors import BusyError, LookAheadError, StorageError, SymbolNameError
from toto_ops.monitoring.staleness import Fingerprint
from toto_ops.pipeline.new_symbols import NewSymbols
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import last_retraining, remember


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(Settings(home=str(tmp_path), env="local"))


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    """The instance the next launch will use."""
    instance = dg.DagsterInstance.ephemeral()
    monkeypatch.setattr("deploy.launch.prepare_instance", lambda _settings: instance)
    return instance


def unseen(_event: StepEvent) -> None:
    raise AssertionError("no run was to be started")


def test_a_launch_beside_a_run_of_someone_else_is_refused_and_names_it(ready: dg.DagsterInstance, project: Project) -> None:
    run = of_a_command_line(ready, ELSEWHERE)
    universe = project.universe("crypto")
    with pytest.raises(BusyError, match=run.run_id):
        launch.retrain(LaunchRequest(project, universe, unseen))
    with pytest.raises(BusyError, match=run.run_id):
        launch.backfill(project, universe, None, unseen)


def test_a_launch_settles_what_died_before_it(ready: dg.DagsterInstance, project: Project) -> None:
    dead = of_a_command_line(ready, DEAD_LAUNCHER)
    with pytest.raises(StorageError, match=r"serves nothing yet.*toto-ops retrain crypto"):
        launch.backfill(project, project.universe("crypto"), None, unseen)
    assert status_now(ready, dead).status == dg.DagsterRunStatus.FAILURE


def test_a_launch_while_a_command_line_holds_the_lock_is_refused(ready: dg.DagsterInstance, project: Project) -> None:
    universe = project.universe("crypto")
    with universe_lock(project.settings, universe), pytest.raises(BusyError, match="another"):
        launch.retrain(LaunchRequest(project, universe, unseen))
    with universe_lock(project.settings, project.universe("stocks")), universe_lock(project.settings, universe):
        assert Path(project.settings.home, "locks", "crypto.lock").exists()


def test_named_symbols_are_members_once_each_in_order(project: Project) -> None:
    universe = project.universe("crypto")
    found = NewSymbols((), {}, {}, ("BTCUSD", "XMRUSD"))
    assert launch._named(found, universe, ["xmrusd", "BTCUSD", "XMRUSD"]) == ("BTCUSD", "XMRUSD")
    with pytest.raises(SymbolNameError, match=r"DOTUSD, EOSUSD: not in .*put DOTUSD.csv and EOSUSD.csv into .*crypto"):
        launch._named(found, universe, ["EOSUSD", "DOTUSD", "XMRUSD"])
    with pytest.raises(SymbolNameError, match="is not a symbol"):
        launch._named(found, universe, ["../x"])


def test_an_earlier_moment_than_the_last_retraining_is_a_replay(project: Project) -> None:
    universe = project.universe("crypto")
    moment = datetime(2021, 7, 7, tzinfo=UTC)
    assert launch._namespace(project, universe, moment) == "live"  # nothing serves yet: there is nothing to protect

    retraining = project.retraining(universe, "run-1")
    retraining.resolve_as_of(moment)
    fingerprint = Fingerprint(sources={}, config_hash="x", code_versions={})
    retraining.store.create_document(f"{retraining.folder}/fingerprint.json", fingerprint.model_dump(mode="json"))
    remember(project, retraining, universe, moment)
    assert last_retraining(project, universe) == retraining
    assert launch._namespace(project, universe, moment - timedelta(days=1)) == launch.REPLAY
    assert launch._namespace(project, universe, moment) == "live"
    assert launch._namespace(project, universe, None) == "live"
    assert launch._stands_at(project, universe, moment)
    assert not launch._stands_at(project, universe, moment + timedelta(days=1))


def test_a_moment_that_has_not_come_is_refused(project: Project) -> None:
    moment = datetime.now(UTC) + timedelta(days=1)
    with pytest.raises(LookAheadError, match=r"crypto: .*future"):
        launch.retrain(LaunchRequest(project, project.universe("crypto"), unseen, as_of=moment))
    assert not Path(project.settings.home, "dagster").exists()
