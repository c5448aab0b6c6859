"""Execute a job in the calling process, in the instance the UI shows, while whoever asked sees its steps."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import dagster as dg

from assets.run_processes import LAUNCHER_TAG, launcher_identity
from sensors.failures import root_cause
from toto_ops.storage.refusals import PLACES, refusal

LOGGER = logging.getLogger(__name__)

REPOSITORY_TAG = ".dagster/repository"
"""Where the UI looks a run's job up; without it, runs of the command line would be missing from the job's page."""

StepStatus = Literal["started", "succeeded", "failed", "skipped"]

POLL_SECONDS = 0.3
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The terminal shows progress and a summary; the event log keeps everything."""


@dataclass(frozen=True)
class StepEvent:
    """Progress of one step of a run, for whoever displays it."""

    step: str
    status: StepStatus


OnEvent = Callable[[StepEvent], None]


@dataclass(frozen=True)
class Executed:
    """How one run ended; `failures` has what was raised first in each failed step."""

    run_id: str
    success: bool
    failures: tuple[str, ...]


def execute(instance: dg.DagsterInstance, job_name: str, namespace: str, tags: Mapping[str, str], on_event: OnEvent) -> Executed:
    """Run a job to its end while its events are handed to `on_event`.

    Raises
    ------
    KeyboardInterrupt
        If the run was interrupted; Dagster has it as failed.
    """
    job = dg.build_reconstructable_job("deploy.definitions", "job_named", reconstructable_args=(job_name,))
    run_config = {**QUIET, "resources": {"toto": {"config": {"namespace": namespace}}}}
    launcher = {LAUNCHER_TAG: launcher_identity(), REPOSITORY_TAG: "__repository__@deploy.definitions"}
    earlier = _launched_here(instance)
    done = threading.Event()
    watcher = threading.Thread(target=_show_progress, args=(instance, earlier, done, on_event), daemon=True)
    watcher.start()
    try:
        with dg.execute_job(
            job, instance=instance, run_config=run_config, tags={**tags, **launcher}, raise_on_error=False
        ) as result:
            if _interrupted(result.all_events):
                raise KeyboardInterrupt
            failures = tuple(f"{event.step_key}: {root_cause(event)}" for event in result.all_events if event.is_step_failure)
            return Executed(result.run_id, result.success, failures)
    finally:
        done.set()
        watcher.join()


def _interrupted(events: Sequence[dg.DagsterEvent]) -> bool:
    """Whether Ctrl-C ended the run. Dagster swallows it and reports a failure, but it was meant for all that is to follow."""
    errors = [event.job_failure_data.error for event in events if event.is_job_failure]
    return any(error is not None and error.cls_name == dg.DagsterExecutionInterruptedError.__name__ for error in errors)


def _launched_here(instance: dg.DagsterInstance) -> list[str]:
    """Runs of this process, the newest first."""
    return [run.run_id for run in instance.get_runs(dg.RunsFilter(tags={LAUNCHER_TAG: launcher_identity()}))]


def _show_progress(instance: dg.DagsterInstance, earlier: Sequence[str], done: threading.Event, on_event: OnEvent) -> None:
    """Watch until the run has ended; whatever keeps from watching, such as a full disk, is for the run to fail of or not."""
    try:
        _watch(instance, earlier, done, on_event)
    except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to
        LOGGER.warning("progress is shown no more: %s", refusal(error, PLACES) or error)


def _watch(instance: dg.DagsterInstance, earlier: Sequence[str], done: threading.Event, on_event: OnEvent) -> None:
    kinds: dict[dg.DagsterEventType, StepStatus] = {
        dg.DagsterEventType.STEP_START: "started",
        dg.DagsterEventType.STEP_SUCCESS: "succeeded",
        dg.DagsterEventType.STEP_FAILURE: "failed",
        dg.DagsterEventType.STEP_SKIPPED: "skipped",
    }
    seen = 0
    run_id: str | None = None
    finished = False
    while not finished:
        finished = done.wait(POLL_SECONDS)
        if run_id is None:
            run_id = next((one for one in _launched_here(instance) if one not in earlier), None)
        if run_id is None:
            continue
        events = instance.all_logs(run_id, of_type=set(kinds))
        for event in events[seen:]:
            dagster_event = event.get_dagster_event()
            on_event(StepEvent(dagster_event.step_key or "", kinds[dagster_event.event_type]))
        seen = len(events)
