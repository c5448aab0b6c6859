"""Launch retrainings from the command line over the same Dagster instance the UI shows."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock, Timeout

from deploy.unfinished_runs import LAUNCHER_TAG, LAUNCHER_VARIABLE, launcher_identity, settle_unfinished_runs
from toto_ops.configuration import Settings
from toto_ops.errors import BusyError, LookAheadError, SourceError
from toto_ops.market.sources import open_source
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import assess, last_retraining
from toto_ops.universes import Universe, load_universes

if TYPE_CHECKING:
    import dagster as dg

LOGGER = logging.getLogger(__name__)

REPLAY = "replay"
"""Namespace of retrainings that stand at an earlier moment than the last live one."""

REPOSITORY_TAG = ".dagster/repository"
"""Where the UI looks a run's job up; without it, runs of the command line would be missing from the job's page."""

POLL_SECONDS = 0.3
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The terminal shows progress and a summary; the event log keeps everything."""


@dataclass(frozen=True)
class StepEvent:
    """Progress of one step of a run, for whoever displays it."""

    step: str
    status: Literal["started", "succeeded", "failed", "skipped"]


@dataclass(frozen=True)
class Launch:
    """How one universe's launch ended."""

    namespace: str
    status: Literal["retrained", "up_to_date", "failed"]
    reason: str
    retrain_id: str | None = None
    failures: tuple[str, ...] = ()


def prepare_instance(settings: Settings) -> dg.DagsterInstance:
    """Install `deploy/dagster.yaml` into DAGSTER_HOME, export the environment steps inherit, and open the instance."""
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("dagster.yaml"), home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["TOTO_HOME"] = settings.home
    os.environ["TOTO_ENV"] = settings.env
    os.environ["TOTO_CONFIG_DIR"] = str(settings.config_dir)
    os.environ["OMP_NUM_THREADS"] = str(settings.torch_threads)
    os.environ[LAUNCHER_VARIABLE] = launcher_identity()
    import dagster as dg

    return dg.DagsterInstance.get()


def reconcile_all(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Make every symbol of every universe a partition, so that the UI can launch before anything was retrained."""
    from assets.partitions import reconcile_partitions

    for universe in load_universes(settings).universes.values():
        try:
            reconcile_partitions(instance, universe, universe_symbols(universe, open_source(universe)))
        except SourceError as error:  # known symbols stay as they are, and the other universes are not concerned
            LOGGER.warning("symbols of %s could not be listed: %s", universe.name, error)


def retrain(
    project: Project,
    universe: Universe,
    *,
    force: bool,
    as_of: datetime | None,
    on_event: Callable[[StepEvent], None],
) -> Launch:
    """Retrain one universe through Dagster, or say that nothing changed.

    One that is to stand at an earlier moment than the last one is a replay: it has a namespace of its own, so that a
    model judged on older bars can never come to serve.

    Raises
    ------
    BusyError
        If another retraining of this universe is in progress.
    LookAheadError
        If `as_of` lies in the future: live, it would put every later retraining into the past.
    KeyboardInterrupt
        If the run was interrupted; Dagster has it as failed.
    """
    if as_of is not None and as_of > datetime.now(UTC):
        raise LookAheadError(
            f"as_of {as_of:%Y-%m-%d %H:%M %Z} lies in the future", where=universe.name, remedy="give a moment that has passed"
        )
    instance = prepare_instance(project.settings)
    locks = project.settings.local_root / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(locks / f"{universe.name}.lock", timeout=0):
            return _retrain_locked(instance, project, universe, force=force, as_of=as_of, on_event=on_event)
    except Timeout as error:
        raise BusyError(
            "another retraining is in progress", where=universe.name, remedy="wait for it; `make dev` shows how far it is"
        ) from error


def _retrain_locked(
    instance: dg.DagsterInstance,
    project: Project,
    universe: Universe,
    *,
    force: bool,
    as_of: datetime | None,
    on_event: Callable[[StepEvent], None],
) -> Launch:
    from assets.partitions import range_tags, reconcile_partitions
    from assets.resources import AS_OF_TAG, REASON_TAG, UNIVERSE_TAG

    settle_unfinished_runs(instance, universe)
    namespace = _namespace(project, universe, as_of)
    project = Project(project.settings, namespace)
    assessment = assess(project, universe)
    if not assessment.stale and not force and _stands_at(project, universe, as_of):
        return Launch(namespace, "up_to_date", assessment.reason)
    reconcile_partitions(instance, universe, assessment.symbols)
    tags = {
        **range_tags(instance, universe),
        UNIVERSE_TAG: universe.name,
        LAUNCHER_TAG: launcher_identity(),
        REPOSITORY_TAG: "__repository__@deploy.definitions",
        "toto/namespace": namespace,
        REASON_TAG: (assessment.reason if assessment.stale else "asked for")[:200],
    }
    if as_of is not None:
        tags[AS_OF_TAG] = as_of.isoformat()
    run_id, success, failures = _execute(instance, project, universe, tags, on_event)
    return Launch(namespace, "retrained" if success else "failed", tags[REASON_TAG], run_id, failures)


def _namespace(project: Project, universe: Universe, as_of: datetime | None) -> str:
    last = last_retraining(project, universe)
    return REPLAY if as_of is not None and last is not None and as_of < last.as_of else project.namespace


def _stands_at(project: Project, universe: Universe, as_of: datetime | None) -> bool:
    """Whether the last retraining stood at the moment now asked for; any does when none is asked for."""
    last = last_retraining(project, universe)
    return as_of is None or (last is not None and last.as_of == as_of)


def _execute(
    instance: dg.DagsterInstance,
    project: Project,
    universe: Universe,
    tags: dict[str, str],
    on_event: Callable[[StepEvent], None],
) -> tuple[str, bool, tuple[str, ...]]:
    """Run the job to its end while its events are handed to `on_event`."""
    import dagster as dg

    from assets.jobs import retrain_job_name
    from sensors.failures import root_cause

    job = dg.build_reconstructable_job("deploy.definitions", "job_named", reconstructable_args=(retrain_job_name(universe),))
    run_config = {**QUIET, "resources": {"toto": {"config": {"namespace": project.namespace}}}}
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(instance, tags, done, on_event), daemon=True)
    watcher.start()
    try:
        with dg.execute_job(job, instance=instance, run_config=run_config, tags=tags, raise_on_error=False) as result:
            if _interrupted(result.all_events):
                raise KeyboardInterrupt
            failures = tuple(f"{event.step_key}: {root_cause(event)}" for event in result.all_events if event.is_step_failure)
            return result.run_id, result.success, failures
    finally:
        done.set()
        watcher.join()


def _interrupted(events: Sequence[dg.DagsterEvent]) -> bool:
    """Whether Ctrl-C ended the run. Dagster swallows it and reports a failure, but it was meant for all that is to follow."""
    import dagster as dg

    errors = [event.job_failure_data.error for event in events if event.is_job_failure]
    return any(error is not None and error.cls_name == dg.DagsterExecutionInterruptedError.__name__ for error in errors)


def _watch(
    instance: dg.DagsterInstance,
    tags: dict[str, str],
    done: threading.Event,
    on_event: Callable[[StepEvent], None],
) -> None:
    import dagster as dg

    from assets.resources import UNIVERSE_TAG

    kinds: dict[dg.DagsterEventType, Literal["started", "succeeded", "failed", "skipped"]] = {
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
            runs = instance.get_runs(dg.RunsFilter(tags={tag: tags[tag] for tag in (LAUNCHER_TAG, UNIVERSE_TAG)}), limit=1)
            run_id = runs[0].run_id if runs else None
        if run_id is None:
            continue
        events = instance.all_logs(run_id, of_type=set(kinds))
        for event in events[seen:]:
            dagster_event = event.get_dagster_event()
            on_event(StepEvent(dagster_event.step_key or "", kinds[dagster_event.event_type]))
        seen = len(events)
