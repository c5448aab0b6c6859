"""What a dead process left in the instance is settled, with or without a lock; what lives is left alone."""

import os
import signal

import dagster as dg
import pytest

from assets.run_processes import LAUNCHER_VARIABLE, launcher_identity
from sensors.settle_runs import settle_runs
from sensors.unfinished_runs import settle_dead_runs, settle_given_up_runs
from tests.unit.assets.run_samples import (
    DEAD_LAUNCHER,
    ELSEWHERE,
    ended_process,
    executed_again,
    of_a_command_line,
    of_the_ui,
    sleeping_process,
    status_now,
)
from toto_ops.configuration import Settings
from toto_ops.universes import load_universes

CRYPTO = load_universes(Settings()).universe("crypto")


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral(settings={"concurrency": {"pools": {"default_limit": 1}}})


def test_dead_runs_are_reported_failed_and_their_processes_ended(instance: dg.DagsterInstance) -> None:
    dead = [of_a_command_line(instance, DEAD_LAUNCHER), of_the_ui(instance, ended_process())]
    with sleeping_process(**{LAUNCHER_VARIABLE: DEAD_LAUNCHER}) as orphan:
        assert set(settle_dead_runs(instance)) == {run.run_id for run in dead}
        assert orphan.wait(timeout=10) == -signal.SIGKILL
    assert {status_now(instance, run).status for run in dead} == {dg.DagsterRunStatus.FAILURE}
    assert settle_dead_runs(instance) == ()


def test_runs_that_live_or_cannot_be_judged_are_left_alone(instance: dg.DagsterInstance) -> None:
    alive = [of_a_command_line(instance, launcher_identity(), "stocks"), of_a_command_line(instance, ELSEWHERE)]
    assert settle_dead_runs(instance) == ()
    settle_given_up_runs(instance, CRYPTO)
    assert {status_now(instance, run).status for run in alive} == {dg.DagsterRunStatus.STARTED}


def test_a_run_this_process_gave_up_is_settled_before_its_next_one(instance: dg.DagsterInstance) -> None:
    run = of_a_command_line(instance, launcher_identity())
    settle_given_up_runs(instance, CRYPTO)
    assert status_now(instance, run).status == dg.DagsterRunStatus.FAILURE


def test_what_is_executed_again_from_the_ui_belongs_to_nobody_here(instance: dg.DagsterInstance) -> None:
    run = executed_again(instance, of_a_command_line(instance, launcher_identity()), os.getpid())
    settle_given_up_runs(instance, CRYPTO)
    assert status_now(instance, run).status == dg.DagsterRunStatus.STARTED


def test_a_run_that_ends_while_it_is_looked_at_keeps_its_end(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = of_a_command_line(instance, DEAD_LAUNCHER)

    def ends_and_dies(_: dg.DagsterInstance, judged: dg.DagsterRun) -> bool:
        success = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_SUCCESS.value, job_name=judged.job_name)
        instance.report_dagster_event(success, judged.run_id)
        return True

    monkeypatch.setattr("sensors.unfinished_runs.has_died", ends_and_dies)
    assert settle_dead_runs(instance) == ()
    assert status_now(instance, run).status == dg.DagsterRunStatus.SUCCESS


def test_no_slot_is_held_by_a_run_that_is_over(tmp_path_factory: pytest.TempPathFactory) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        storage = instance.event_log_storage
        storage.set_concurrency_slots("promotion", 1)
        dead = of_a_command_line(instance, DEAD_LAUNCHER)
        alive = of_a_command_line(instance, launcher_identity(), "stocks")
        assert storage.claim_concurrency_slot("promotion", dead.run_id, "champion").is_claimed
        assert not storage.claim_concurrency_slot("promotion", alive.run_id, "champion").is_claimed
        settle_dead_runs(instance)
        assert storage.claim_concurrency_slot("promotion", alive.run_id, "champion").is_claimed
        settle_dead_runs(instance)
        assert storage.get_concurrency_run_ids() == {alive.run_id}


def test_the_sensor_says_what_it_settled_and_runs_everywhere(instance: dg.DagsterInstance) -> None:
    sensor = settle_runs()
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    dead = of_a_command_line(instance, DEAD_LAUNCHER)
    for expected in (dead.run_id, "Every unfinished run has its process"):
        answer = sensor(dg.build_sensor_context(instance=instance))
        assert isinstance(answer, dg.SkipReason)
        assert expected in (answer.skip_message or "")
