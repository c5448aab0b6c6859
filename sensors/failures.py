"""A structured log line for every failed run, for whatever collects logs to pick up."""

import json
import logging

import dagster as dg

from assets.resources import UNIVERSE_TAG

LOGGER = logging.getLogger("toto_ops.run_failure")


def failure_record(run: dg.DagsterRun, message: str, failed_steps: list[str]) -> dict[str, str | list[str]]:
    """What is logged of a failed run; plain values only."""
    return {
        "event": "run_failure",
        "run_id": run.run_id,
        "job": run.job_name,
        "universe": run.tags.get(UNIVERSE_TAG, ""),
        "failed_steps": failed_steps,
        "message": message,
    }


def run_failure_log(default_status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """Sensor that logs one JSON line per failed run."""

    @dg.run_failure_sensor(
        name="run_failure_log", default_status=default_status, description="Logs every failed run as one JSON line."
    )
    def log_failure(context: dg.RunFailureSensorContext) -> None:
        steps = [event.step_key for event in context.get_step_failure_events() if event.step_key]
        record = failure_record(context.dagster_run, context.failure_event.message or "", steps)
        LOGGER.error(json.dumps(record, sort_keys=True))
        context.log.error(json.dumps(record, sort_keys=True))

    return log_failure
