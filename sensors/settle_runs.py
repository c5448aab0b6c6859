"""Housekeeping: a run whose process died holds neither the queue nor a slot for longer than a minute."""

import dagster as dg

from sensors.unfinished_runs import settle_dead_runs

INTERVAL_SECONDS = 60


def settle_runs() -> dg.SensorDefinition:
    """Sensor that settles dead runs. It launches nothing, so it runs in every environment."""

    @dg.sensor(
        name="settle_unfinished_runs",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports runs failed whose process is gone, ends what it left behind and frees its slots. Launches nothing.",
    )
    def settle(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        settled = settle_dead_runs(context.instance)
        if not settled:
            return dg.SkipReason("Every unfinished run has its process.")
        return dg.SkipReason(f"Reported failed, since the process was gone: {', '.join(settled)}.")

    return settle
