"""Runs as different routes leave them behind."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test

from assets.run_processes import CODE_SERVER_TAG, LAUNCHER_TAG
from assets.run_tags import UNIVERSE_TAG

DEAD_LAUNCHER = f"{socket.gethostname()}:{os.getpid()}:1:abc"
"""This process has that number, but it did not start one tick after the machine."""
ELSEWHERE = "elsewhere:1:2:abc"
LOCAL_SERVER = {CODE_SERVER_TAG: json.dumps({"host": "localhost", "socket": "/run/dagster"})}


def started_run(instance: dg.DagsterInstance, **changes: object) -> dg.DagsterRun:
    """A run that says it is running; `changes` go to `create_run_for_test`."""
    run = create_run_for_test(instance, **{"job_name": "crypto_retrain", **changes})  # type: ignore[arg-type]
    event = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name=run.job_name)
    instance.report_dagster_event(event, run.run_id)
    return status_now(instance, run)


def of_a_command_line(instance: dg.DagsterInstance, launcher: str, universe: str = "crypto") -> dg.DagsterRun:
    return started_run(instance, tags={UNIVERSE_TAG: universe, LAUNCHER_TAG: launcher})


def of_the_ui(instance: dg.DagsterInstance, pid: int, tags: dict[str, str] | None = None) -> dg.DagsterRun:
    """A run of the UI over the crypto assets, whose process was this one."""
    run = started_run(
        instance,
        job_name="__ASSET_JOB",
        asset_selection=frozenset({dg.AssetKey(["crypto", "bars"])}),
        tags=LOCAL_SERVER | (tags or {}),
    )
    instance.report_engine_event("Started process for run", run, EngineEventData.in_process(pid))
    return run


def executed_again(instance: dg.DagsterInstance, parent: dg.DagsterRun, pid: int) -> dg.DagsterRun:
    """A run that somebody executed again from the UI: it inherits the tags of its parent, and has a process of its own."""
    run = started_run(
        instance,
        job_name=parent.job_name,
        tags={**parent.tags, **LOCAL_SERVER},
        parent_run_id=parent.run_id,
        root_run_id=parent.root_run_id or parent.run_id,
    )
    instance.report_engine_event("Started process for run", run, EngineEventData.in_process(pid))
    return run


def queued_run(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRun:
    """A run over the crypto assets whose turn has not come."""
    repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("toto"), "__repository__")
    return create_run_for_test(
        instance,
        status=dg.DagsterRunStatus.QUEUED,
        tags=tags,
        asset_selection=frozenset({dg.AssetKey(["crypto", "bars"])}),
        remote_job_origin=RemoteJobOrigin(repository, "crypto_retrain"),
    )


def status_now(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    return stored


@contextmanager
def sleeping_process(**environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    program = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(program, env=os.environ | environment) as process:
        try:
            yield process
        finally:
            process.kill()


def ended_process() -> int:
    """The number of a process that is over."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid
