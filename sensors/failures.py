"""A structured log line for every failed run, for whatever collects logs to pick up."""

import json
import logging
from collections.abc import Mapping

import dagster as dg

from assets.resources import UNIVERSE_TAG

LOGGER = logging.getLogger("toto_ops.run_failure")


def failure_record(run: dg.DagsterRun, message: str, failed_steps: Mapping[str, str]) -> dict[str, str | dict[str, str]]:
    """What is logged of a failed run; plain values only. `failed_steps` maps a step to what was raised in it."""
    return {
        "event": "run_failure",
        "run_id": run.run_id,
        "job": run.job_name,
        "universe": run.tags.get(UNIVERSE_TAG, ""),
        "failed_steps": dict(failed_steps),
        "message": message,
    }


def root_cause(event: dg.DagsterEvent) -> str:
    """What was raised first in a failed step, without its stack trace; that is in the run's log."""
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
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
