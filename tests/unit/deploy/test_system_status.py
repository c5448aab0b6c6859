"""What `toto-ops status` sees of Dagster: heartbeats, ticks, switches and runs; and that looking changes nothing."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo
from typer.testing import CliRunner

from assets.run_tags import NAMESPACE_TAG, UNIVERSE_TAG
from deploy.status import system_status
from toto_ops.cli import app
from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.monitoring.status import Automation, SystemStatus

NOW = datetime.now(UTC)


class House:
    """A home with a Dagster instance, and what daemons and people leave in it."""

    def __init__(self, home: Path, fresh: Path) -> None:
        self.settings = Settings(home=str(home), env="local")
        shutil.copytree(fresh, self.settings.dagster_home)
        self.instance = dg.DagsterInstance.from_config(str(self.settings.dagster_home))

    def look(self, env: str = "local") -> SystemStatus:
        return system_status(self.settings.model_copy(update={"env": env}))

    def automation(self, name: str, env: str = "local") -> Automation:
        (found,) = [one for one in self.look(env).automations if one.name == name]
        return found

    def heartbeat(self, age: timedelta, *errors: str) -> None:
        for name in self.instance.get_required_daemon_types():
            told = [SerializableErrorInfo(error, [], None) for error in errors]
            self.instance.add_daemon_heartbeat(DaemonHeartbeat((datetime.now(UTC) - age).timestamp(), name, "d", told))

    def switched(self, name: str, status: InstigatorStatus, since: datetime = NOW) -> InstigatorState:
        target = LoadableTargetOrigin(module_name="deploy.definitions")
        location = InProcessCodeLocationOrigin(target, location_name="deploy.definitions")
        origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
        if name.endswith("_retrain"):
            kind, data = InstigatorType.SCHEDULE, ScheduleInstigatorData("0 6 1 * *", since.timestamp())
        else:
            kind, data = InstigatorType.SENSOR, SensorInstigatorData(last_sensor_start_timestamp=since.timestamp())  # type: ignore[assignment]
        state = InstigatorState(origin, kind, status, data)
        self.instance.add_instigator_state(state)
        return state

    def ticked(self, state: InstigatorState, status: TickStatus, at: datetime, **changes: object) -> None:
        content = {"status": status, "timestamp": at.timestamp(), "selector_id": state.selector_id, **changes}
        where = {"instigator_name": state.instigator_name, "instigator_type": state.instigator_type}
        self.instance.create_tick(TickData(state.instigator_origin_id, **where, **content))  # type: ignore[arg-type]

    def run(self, job: str, status: dg.DagsterRunStatus, **tags: str) -> str:
        run = create_run_for_test(self.instance, job_name=job, tags={UNIVERSE_TAG: "crypto", **tags}, status=status)
        return run.run_id

    def failures(self) -> list[str]:
        (crypto,) = [one for one in self.look().universes if one.universe == "crypto"]
        return [failure.run_id for failure in crypto.failed_runs]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance nobody has used, made once: its tables take seconds."""
    folder = tmp_path_factory.mktemp("dagster")
    shutil.copyfile(PROJECT_ROOT / "deploy" / "dagster.yaml", folder / "dagster.yaml")
    dg.DagsterInstance.from_config(str(folder)).dispose()
    return folder


@pytest.fixture
def house(tmp_path: Path, fresh: Path) -> Iterator[House]:
    made = House(tmp_path, fresh)
    with made.instance:
        yield made


def test_looking_at_nothing_makes_nothing(tmp_path: Path) -> None:
    found = system_status(Settings(home=str(tmp_path / "nowhere"), env="local"))
    assert not found.late
    assert {one.name for one in found.automations} >= {"crypto_retrain", "stocks_retrain", "email_alerts"}
    assert [universe.universe for universe in found.universes] == ["stocks", "crypto", "multi"]
    assert not (tmp_path / "nowhere").exists()


def test_nobody_waits_for_a_daemon_on_a_laptop_and_everybody_in_production(house: House) -> None:
    house.heartbeat(timedelta(hours=3))
    assert not house.look("local").late
    assert house.look("prod").late
    house.heartbeat(timedelta(seconds=10))
    assert not house.look("prod").late


def test_an_error_of_the_daemon_is_shown(house: House) -> None:
    house.heartbeat(timedelta(seconds=10), "no space left on device")
    assert "no space left on device" in house.look("prod").daemons[0].errors


def test_what_somebody_switched_goes_before_the_environment(house: House) -> None:
    assert (house.automation("crypto_retrain").running, house.automation("crypto_retrain", "prod").running) == (False, True)
    house.switched("crypto_retrain", InstigatorStatus.RUNNING, NOW - timedelta(days=1))
    found = house.automation("crypto_retrain")
    assert (found.running, found.by_hand, found.cron) == (True, True, "0 6 1 * *")
    assert found.running_since is not None
    assert house.look().late, "whoever switched it on counts on a daemon, and there is none"


def test_a_default_the_daemon_noted_is_still_the_environments(house: House) -> None:
    house.switched("crypto_retrain", InstigatorStatus.DECLARED_IN_CODE)
    assert (house.automation("crypto_retrain").running, house.automation("crypto_retrain", "prod").running) == (False, True)


def test_the_last_tick_that_ended_is_shown_with_why(house: House) -> None:
    state = house.switched("webhook_alerts", InstigatorStatus.RUNNING)
    house.heartbeat(timedelta(seconds=1))
    house.ticked(state, TickStatus.SKIPPED, NOW - timedelta(minutes=3), skip_reason="nothing to tell")
    found = house.automation("webhook_alerts").last_tick
    assert found is not None
    assert (found.status, found.message) == ("skipped", "nothing to tell")
    cause = SerializableErrorInfo("AlertError: the webhook answered 503", [], "AlertError")
    raised = SerializableErrorInfo(
        "Error occurred during the execution of evaluation_fn", [], "SensorExecutionError", cause=cause
    )
    house.ticked(state, TickStatus.FAILURE, NOW - timedelta(minutes=2), error=raised)
    house.ticked(state, TickStatus.STARTED, NOW)
    found = house.automation("webhook_alerts").last_tick
    assert found is not None
    assert (found.status, found.message) == ("failure", "AlertError: the webhook answered 503")
    assert any("answered 503" in alarm.problem and alarm.late for alarm in house.look().alarms)


def test_runs_that_failed_since_the_last_success_are_shown(house: House) -> None:
    house.run("crypto_ingest", dg.DagsterRunStatus.FAILURE)
    house.run("crypto_ingest", dg.DagsterRunStatus.SUCCESS)
    failed = [house.run("crypto_retrain", dg.DagsterRunStatus.FAILURE) for _ in range(2)]
    house.run("crypto_retrain", dg.DagsterRunStatus.FAILURE, **{NAMESPACE_TAG: "replay"})
    house.run("stocks_retrain", dg.DagsterRunStatus.SUCCESS, **{UNIVERSE_TAG: "stocks"})
    assert house.failures() == failed[::-1]
    house.run("crypto_retrain", dg.DagsterRunStatus.SUCCESS)
    assert house.failures() == []


class TestCommand:
    @pytest.fixture(autouse=True)
    def here(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOTO_HOME", house.settings.home)

    def test_the_exit_code_says_whether_anything_is_late(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        assert CliRunner().invoke(app, ["status"]).exit_code == 0
        monkeypatch.setenv("TOTO_ENV", "prod")
        late = CliRunner().invoke(app, ["status"])
        assert late.exit_code == 2
        assert "late daemon: the Dagster daemon is silent and never reported" in late.stdout
        assert "Remedy: start `dagster-daemon run`" in late.stdout

    def test_a_program_reads_one_document(self, house: House) -> None:
        house.heartbeat(timedelta(seconds=10))
        answer = CliRunner().invoke(app, ["status", "--json"])
        told = json.loads(answer.stdout)
        assert told["late"] is False
        assert {daemon["name"] for daemon in told["daemons"]} >= {"SCHEDULER", "SENSOR"}
        assert all(daemon["age_seconds"] > 0 for daemon in told["daemons"])
        assert [universe["universe"] for universe in told["universes"]] == ["stocks", "crypto", "multi"]

    def test_a_configuration_that_cannot_be_read_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOTO_CONFIG_DIR", str(tmp_path))
        answer = CliRunner().invoke(app, ["status", "--json"])
        assert answer.exit_code == 1
        assert json.loads(answer.stdout)["error"] == "ConfigError"
