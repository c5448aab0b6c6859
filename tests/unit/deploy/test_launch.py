"""Launching: dead runs are settled, live ones respected, and older moments kept away from what serves."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from deploy import launch
from deploy.unfinished_runs import LAUNCHER_TAG, LAUNCHER_VARIABLE, settle_unfinished_runs
from toto_ops.configuration import Settings
from toto_ops.errors import BusyError, LookAheadError
from toto_ops.monitoring.staleness import Fingerprint
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import last_retraining, remember

HERE = f"{socket.gethostname()}:123:abc"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(Settings(home=str(tmp_path), env="local"))


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def started(instance: dg.DagsterInstance, **changes: object) -> dg.DagsterRun:
    return create_run_for_test(instance, job_name="crypto_retrain", status=dg.DagsterRunStatus.STARTED, **changes)  # type: ignore[arg-type]


def test_a_run_whose_launcher_died_is_reported_failed(instance: dg.DagsterInstance, project: Project) -> None:
    run = started(instance, tags={"toto/universe": "crypto", LAUNCHER_TAG: HERE})
    settle_unfinished_runs(instance, project.universe("crypto"))
    settled = instance.get_run_by_id(run.run_id)
    assert settled is not None
    assert settled.status == dg.DagsterRunStatus.FAILURE


def test_what_a_dead_launcher_left_running_is_ended_and_nothing_else(instance: dg.DagsterInstance, project: Project) -> None:
    program = [sys.executable, "-c", "import time; time.sleep(60)"]
    orphan = subprocess.Popen(program, env=os.environ | {LAUNCHER_VARIABLE: HERE})
    bystander = subprocess.Popen(program, env=os.environ | {LAUNCHER_VARIABLE: f"{HERE}d"})
    try:
        started(instance, tags={"toto/universe": "crypto", LAUNCHER_TAG: HERE})
        settle_unfinished_runs(instance, project.universe("crypto"))
        assert orphan.wait(timeout=10) == -signal.SIGKILL
        assert bystander.poll() is None
    finally:
        for process in (orphan, bystander):
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    "changes",
    [
        {"tags": {"toto/universe": "crypto"}},
        {"tags": {"toto/universe": "crypto", LAUNCHER_TAG: "elsewhere:1:x"}},
        {"asset_selection": frozenset({dg.AssetKey(["crypto", "bars"])})},
    ],
)
def test_a_run_of_someone_else_is_waited_for(instance: dg.DagsterInstance, project: Project, changes: dict[str, object]) -> None:
    run = started(instance, **changes)
    with pytest.raises(BusyError, match=run.run_id):
        settle_unfinished_runs(instance, project.universe("crypto"))


def test_runs_of_another_universe_and_finished_ones_are_nobodys_business(instance: dg.DagsterInstance, project: Project) -> None:
    other = started(instance, tags={"toto/universe": "stocks", LAUNCHER_TAG: HERE})
    create_run_for_test(instance, job_name="crypto_retrain", status=dg.DagsterRunStatus.SUCCESS, tags={"toto/universe": "crypto"})
    settle_unfinished_runs(instance, project.universe("crypto"))
    untouched = instance.get_run_by_id(other.run_id)
    assert untouched is not None
    assert untouched.status == dg.DagsterRunStatus.STARTED


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


def test_the_instance_is_configured_from_the_project_and_shared_with_the_ui(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DAGSTER_HOME", "TOTO_HOME", "TOTO_ENV", "TOTO_CONFIG_DIR", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "to be replaced")
    instance = launch.prepare_instance(project.settings)
    launch.reconcile_all(instance, project.settings)
    assert set(instance.get_dynamic_partitions("stocks_symbols")) == set(project.universe("stocks").symbols or ())
    assert (project.settings.dagster_home / "dagster.yaml").exists()
    assert instance.global_op_concurrency_default_limit == 1
    assert instance.run_monitoring_enabled


def test_a_moment_that_has_not_come_is_refused(project: Project) -> None:
    moment = datetime.now(UTC) + timedelta(days=1)
    with pytest.raises(LookAheadError, match=r"crypto: .*future"):
        launch.retrain(project, project.universe("crypto"), force=False, as_of=moment, on_event=lambda _event: None)
    assert not Path(project.settings.home, "dagster").exists()


def test_ctrl_c_in_a_run_is_told_from_a_failure() -> None:
    @dg.op
    def fails() -> None:
        raise RuntimeError("broken")

    @dg.op
    def is_interrupted() -> None:
        raise dg.DagsterExecutionInterruptedError

    def events(op: dg.OpDefinition) -> Sequence[dg.DagsterEvent]:
        graph = dg.GraphDefinition(name="one_step", node_defs=[op])
        return graph.execute_in_process(raise_on_error=False).all_events

    assert launch._interrupted(events(is_interrupted))
    assert not launch._interrupted(events(fails))
