"""A run is dead when the process that executed it is gone, and what it left running is ended; nothing else is touched."""

import os
import signal
import subprocess
import sys

import dagster as dg
import pytest

from assets.run_processes import LAUNCHER_VARIABLE, end_processes, has_died, launcher_identity
from tests.unit.assets.run_samples import (
    DEAD_LAUNCHER,
    ELSEWHERE,
    ended_process,
    executed_again,
    of_a_command_line,
    of_the_ui,
    sleeping_process,
    started_run,
)


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def test_a_command_line_lives_as_long_as_its_process(instance: dg.DagsterInstance) -> None:
    assert not has_died(instance, of_a_command_line(instance, launcher_identity()))
    host, _, started, _ = launcher_identity().split(":")
    assert has_died(instance, of_a_command_line(instance, f"{host}:{ended_process()}:{started}:abc"))


def test_a_process_that_inherited_the_number_is_another_one(instance: dg.DagsterInstance) -> None:
    assert has_died(instance, of_a_command_line(instance, DEAD_LAUNCHER))


def test_a_process_nobody_waited_for_is_gone_all_the_same(instance: dg.DagsterInstance) -> None:
    code = "from assets.run_processes import launcher_identity as i; print(i(), flush=True)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        identity = process.stdout.read().strip()  # at its end the process has exited, and is a zombie until it is waited for
        assert has_died(instance, of_a_command_line(instance, identity))


def test_what_another_machine_executes_is_not_judged_from_here(instance: dg.DagsterInstance) -> None:
    assert not has_died(instance, of_a_command_line(instance, ELSEWHERE))
    remote = {".dagster/grpc_info": '{"host": "code-server", "port": 4000}'}
    assert not has_died(instance, of_the_ui(instance, ended_process(), remote))


def test_a_run_of_the_ui_lives_as_long_as_the_process_it_named(instance: dg.DagsterInstance) -> None:
    assert not has_died(instance, of_the_ui(instance, os.getpid()))
    assert has_died(instance, of_the_ui(instance, ended_process()))
    assert not has_died(instance, started_run(instance)), "it has named none yet"


@pytest.mark.parametrize("launcher", [DEAD_LAUNCHER, launcher_identity()], ids=["dead", "alive"])
def test_a_run_executed_again_from_the_ui_is_no_run_of_the_command_line_before(
    instance: dg.DagsterInstance, launcher: str
) -> None:
    parent = of_a_command_line(instance, launcher)
    assert not has_died(instance, executed_again(instance, parent, os.getpid()))
    assert has_died(instance, executed_again(instance, parent, ended_process()))


def test_a_younger_process_is_not_the_one_the_run_named(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    run = of_the_ui(instance, os.getpid())
    monkeypatch.setattr("assets.run_processes._boot_time", lambda: 4e9)  # as if this process had started long after the event
    assert has_died(instance, run)


def test_what_a_dead_launcher_left_running_is_ended_and_nothing_else(instance: dg.DagsterInstance) -> None:
    run = of_a_command_line(instance, DEAD_LAUNCHER)
    marked, other = {LAUNCHER_VARIABLE: DEAD_LAUNCHER}, {LAUNCHER_VARIABLE: f"{DEAD_LAUNCHER}d"}
    with sleeping_process(**marked) as orphan, sleeping_process(**other) as bystander:
        end_processes(instance, run)
        assert orphan.wait(timeout=10) == -signal.SIGKILL
        assert bystander.poll() is None


def test_step_processes_of_a_dead_run_of_the_ui_are_ended(instance: dg.DagsterInstance) -> None:
    run = of_the_ui(instance, ended_process())
    with sleeping_process() as orphan:
        event = dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.STEP_WORKER_STARTED.value,
            job_name=run.job_name,
            event_specific_data=dg._core.events.EngineEventData.in_process(orphan.pid),
        )
        instance.report_dagster_event(event, run.run_id)
        end_processes(instance, run)
        assert orphan.wait(timeout=10) == -signal.SIGKILL
