"""Looks at the whole system: Dagster's daemons, schedules, sensors and runs, and every universe. It changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Literal

import dagster as dg
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickStatus,
)

from assets.exclusive import concerns, in_progress
from assets.jobs import retrain_job_name
from assets.run_tags import NAMESPACE_TAG
from deploy.instance import existing_instance
from sensors.failures import failed_run, first_raised
from toto_ops.configuration import Settings
from toto_ops.errors import StorageError
from toto_ops.monitoring.status import Automation, Daemon, Observed, RunFailure, SystemStatus, Tick, judged
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import read_last
from toto_ops.pipeline.universe_status import Activity, observe_universe
from toto_ops.storage.store import LIVE
from toto_ops.universes import Universe

RUNS_LOOKED_AT = 300
"""Newest finished runs among which failures are looked for."""
FAILURES_SHOWN = 5

InstigatorData = ScheduleInstigatorData | SensorInstigatorData | None
"""What Dagster keeps of a schedule, of a sensor, or of one it never evaluated."""


def system_status(settings: Settings) -> SystemStatus:
    """How everything stands now. Nothing is started, and a home that does not exist is not made.

    Raises
    ------
    ConfigError
        If a configuration file cannot be read. A stored document that cannot is a problem of its universe.
    """
    from deploy.definitions import build_defs  # reads the configuration, which may be at fault

    project, definitions = Project(settings), build_defs(settings=settings)
    universes = tuple(project.universes.universes.values())
    with existing_instance(settings) or nullcontext() as instance:
        now = datetime.now(UTC)
        automations = _automations(definitions, instance, now)
        skipped = {one.name: one.last_tick.at for one in automations if one.last_tick and one.last_tick.status == "skipped"}
        activities = {
            universe.name: _activity(instance, project, universe, skipped) if instance else Activity() for universe in universes
        }
        daemons = _daemons(instance, now) if instance else ()
    observed = Observed(
        at=now,
        env=settings.env,
        home=settings.home,
        daemons=daemons,
        automations=automations,
        universes=tuple(observe_universe(project, universe, activities[universe.name], now) for universe in universes),
    )
    return judged(observed)


def _daemons(instance: dg.DagsterInstance, now: datetime) -> tuple[Daemon, ...]:
    daemons = []
    for name, status in sorted(instance.get_daemon_statuses().items()):
        heartbeat = status.last_heartbeat
        at = datetime.fromtimestamp(heartbeat.timestamp, UTC) if heartbeat else None
        daemons.append(
            Daemon(
                name=name,
                last_heartbeat=at,
                age_seconds=None if at is None else (now - at).total_seconds(),
                errors=tuple(first_raised(error) for error in (heartbeat.errors or ())) if heartbeat else (),
            )
        )
    return tuple(daemons)


# -- schedules and sensors -------------------------------------------------------------------------------------


def _automations(definitions: dg.Definitions, instance: dg.DagsterInstance | None, now: datetime) -> tuple[Automation, ...]:
    states = _states(instance) if instance else {}
    automations = []
    for schedule in definitions.schedules or ():
        if isinstance(schedule, dg.ScheduleDefinition):
            default = schedule.default_status == dg.DefaultScheduleStatus.RUNNING
            found = _automation(schedule.name, "schedule", states.get(schedule.name), instance, now, default=default)
            automations.append(found.model_copy(update={"cron": str(schedule.cron_schedule)}))
    for sensor in definitions.sensors or ():
        default = sensor.default_status == dg.DefaultSensorStatus.RUNNING
        found = _automation(sensor.name, "sensor", states.get(sensor.name), instance, now, default=default)
        automations.append(found.model_copy(update={"every_seconds": float(sensor.minimum_interval_seconds or 30)}))
    return tuple(automations)


def _states(instance: dg.DagsterInstance) -> Mapping[str, InstigatorState]:
    """What is stored of every schedule and sensor; of two code locations that had one of a name, the later."""
    return {state.instigator_name: state for state in sorted(instance.all_instigator_state(), key=_last_touched)}


def _last_touched(state: InstigatorState) -> float:
    data = state.instigator_data
    evaluated = data.last_tick_timestamp if isinstance(data, SensorInstigatorData) else data and data.last_iteration_timestamp
    return max(evaluated or 0.0, _switched_on(data) or 0.0)


def _switched_on(data: InstigatorData) -> float | None:
    """When it was last switched on, s since 1970."""
    return data.last_sensor_start_timestamp if isinstance(data, SensorInstigatorData) else data and data.start_timestamp


def _automation(
    name: str,
    kind: Literal["schedule", "sensor"],
    state: InstigatorState | None,
    instance: dg.DagsterInstance | None,
    now: datetime,
    *,
    default: bool,
) -> Automation:
    """A schedule or sensor as the daemon sees it: what somebody switched goes before what the environment says."""
    if state is None or instance is None:
        return Automation(name=name, kind=kind, running=default, by_hand=False)
    by_hand = state.status in (InstigatorStatus.RUNNING, InstigatorStatus.STOPPED)
    since = _switched_on(state.instigator_data)
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=2)
    return Automation(
        name=name,
        kind=kind,
        running=state.status == InstigatorStatus.RUNNING if by_hand else default,
        by_hand=by_hand,
        running_since=None if since is None else datetime.fromtimestamp(since, UTC),
        last_tick=_tick(ticks, now),
    )


def _tick(ticks: Sequence[InstigatorTick], now: datetime) -> Tick | None:
    """The newest finished tick; one under way says nothing yet, unless it is the first."""
    finished = [tick for tick in ticks if tick.status != TickStatus.STARTED]
    newest = (finished or list(ticks))[:1]
    if not newest:
        return None
    tick = newest[0]
    statuses: dict[TickStatus, Literal["started", "skipped", "success", "failure"]] = {
        TickStatus.STARTED: "started",
        TickStatus.SKIPPED: "skipped",
        TickStatus.SUCCESS: "success",
        TickStatus.FAILURE: "failure",
    }
    at = datetime.fromtimestamp(tick.timestamp, UTC)
    message = first_raised(tick.error) if tick.error else tick.skip_reason or ""
    return Tick(at=at, age_seconds=(now - at).total_seconds(), status=statuses[tick.status], message=message)


# -- runs ------------------------------------------------------------------------------------------------------


def _activity(instance: dg.DagsterInstance, project: Project, universe: Universe, skipped: Mapping[str, datetime]) -> Activity:
    try:
        last = read_last(project, universe.name)
    except StorageError:  # named among the problems of the universe
        last = None
    return Activity(
        in_progress=tuple(one.description for one in in_progress(instance, universe)),
        failed_runs=tuple(_failures(instance, universe, last.completed_at if last else None)),
        nothing_to_do_at=skipped.get(retrain_job_name(universe)),
    )


def _failures(instance: dg.DagsterInstance, universe: Universe, retrained_at: datetime | None) -> Iterator[RunFailure]:
    """Runs that failed after the last retraining succeeded, and after the last success of their own job."""
    finished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE], created_after=retrained_at)
    succeeded: set[str] = set()
    shown = 0
    for record in instance.get_run_records(finished, limit=RUNS_LOOKED_AT):
        run = record.dagster_run
        if shown == FAILURES_SHOWN or not concerns(run, universe) or run.tags.get(NAMESPACE_TAG, LIVE) != LIVE:
            continue
        if run.status == dg.DagsterRunStatus.SUCCESS:
            if not run.job_name.startswith("__"):  # of a backfill's runs, one success says nothing of the others
                succeeded.add(run.job_name)
        elif run.job_name not in succeeded:
            shown += 1
            ended = record.end_time or record.create_timestamp.timestamp()
            failure = failed_run(instance, run, datetime.fromtimestamp(ended, UTC), "its process ended before the run did")
            yield RunFailure(run_id=run.run_id, job=run.job_name, at=failure.at, problem=failure.cause)
