"""Failed runs: what one leaves in the event log, and a structured log line for whatever collects logs to pick up."""

import json
import logging
from collections.abc import Mapping
from datetime import datetime

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from assets.run_tags import NAMESPACE_TAG, UNIVERSE_TAG
from toto_ops import errors
from toto_ops.monitoring.alerts import FailedRun
from toto_ops.storage.store import LIVE

LOGGER = logging.getLogger("toto_ops.run_failure")

_OWN_ERRORS = {
    kind.__name__ for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.TotoOpsError)
}


def run_universe(run: dg.DagsterRun) -> str:
    """The universe a run is about, by its tag, else by its assets: runs of a backfill of the whole graph have no tag.

    Empty for a run about none, or about several.
    """
    prefixes = {key.path[0] for key in run.asset_selection or ()}
    return run.tags.get(UNIVERSE_TAG, "") or (prefixes.pop() if len(prefixes) == 1 else "")


def failed_run(instance: dg.DagsterInstance, run: dg.DagsterRun, at: datetime, message: str) -> FailedRun:
    """A failed run as the library speaks of it.

    Parameters
    ----------
    message
        What Dagster noted of the run's end.
    """
    kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_CHECK_EVALUATION}
    log = [entry.get_dagster_event() for entry in instance.all_logs(run.run_id, of_type=kinds)]
    checks = [
        event.asset_check_evaluation_data for event in log if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    coverage = [check.description or "" for check in checks if check.check_name == "coverage" and not check.passed]
    return FailedRun(
        run_id=run.run_id,
        job=run.job_name,
        universe=run_universe(run),
        namespace=run.tags.get(NAMESPACE_TAG, LIVE),
        at=at,
        failed_steps={event.step_key: root_cause(event) for event in log if event.is_step_failure and event.step_key},
        message=message,
        coverage=coverage[-1] if coverage else None,
    )


def failure_record(run: dg.DagsterRun, message: str, failed_steps: Mapping[str, str]) -> dict[str, str | dict[str, str]]:
    """What is logged of a failed run; plain values only. `failed_steps` maps a step to what was raised in it."""
    return {
        "event": "run_failure",
        "run_id": run.run_id,
        "job": run.job_name,
        "universe": run_universe(run),
        "failed_steps": dict(failed_steps),
        "message": message,
    }


def root_cause(event: dg.DagsterEvent) -> str:
    """What was raised first in a failed step, without its stack trace; that is in the run's log."""
    return first_raised(event.step_failure_data.error)


def first_raised(error: SerializableErrorInfo | None) -> str:
    """The message of the project's own error in a chain of causes, which says what to do; else of the first raised."""
    while error is not None and error.cause is not None and error.cls_name not in _OWN_ERRORS:
        error = error.cause
    return error.message.strip() if error else "no detail"


def run_failure_log(default_status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """Sensor that logs one JSON line per failed run."""

    @dg.run_failure_sensor(
        name="run_failure_log", default_status=default_status, description="Logs every failed run as one JSON line."
    )
    def log_failure(context: dg.RunFailureSensorContext) -> None:
        steps = {event.step_key: root_cause(event) for event in context.get_step_failure_events() if event.step_key}
        record = failure_record(context.dagster_run, context.failure_event.message or "", steps)
        LOGGER.error(json.dumps(record, sort_keys=True))
        context.log.error(json.dumps(record, sort_keys=True))

    return log_failure
