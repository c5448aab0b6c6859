"""What the calendar fires: `<universe>_retrain` on the universe's cadence, and `<universe>_ingest` where one is given."""

import dagster as dg

from assets.jobs import ingest_job_name, retrain_job_name
from assets.partitions import range_tags, reconcile_partitions
from assets.resources import TotoOps
from assets.run_tags import AS_OF_TAG, UNIVERSE_TAG, launch_tags
from toto_ops.universes import Universe


def schedules(universe: Universe, default_status: dg.DefaultScheduleStatus) -> list[dg.ScheduleDefinition]:
    """Every schedule of a universe."""
    retraining = retrain_schedule(universe, default_status)
    if universe.ingest_cadence is None:
        return [retraining]
    return [retraining, ingest_schedule(universe, universe.ingest_cadence, default_status)]


def retrain_schedule(universe: Universe, default_status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    """Retrain on the cadence; skips, saying so, when nothing it would train on has changed."""

    @dg.schedule(
        name=retrain_job_name(universe),
        cron_schedule=universe.cadence,
        job_name=retrain_job_name(universe),
        execution_timezone="UTC",
        default_status=default_status,
        description=f"Retrains {universe.name} on its cadence, unless nothing changed since the last retraining.",
    )
    def schedule(context: dg.ScheduleEvaluationContext, toto: TotoOps) -> dg.RunRequest | dg.SkipReason:
        from toto_ops.pipeline.retraining_decision import assess

        project = toto.project_as_configured_now()
        verdict = assess(project, project.universe(universe.name))
        if not verdict.stale:
            return dg.SkipReason(f"{universe.name}: {verdict.reason}")
        reconcile_partitions(context.instance, universe, verdict.symbols)
        tags = {**range_tags(context.instance, universe), **launch_tags(universe, verdict.reason)}
        if not verdict.as_of_is_newest_close:
            tags[AS_OF_TAG] = context.scheduled_execution_time.isoformat()
        return dg.RunRequest(run_key=_run_key(context, universe), tags=tags)

    return schedule


def ingest_schedule(universe: Universe, cadence: str, default_status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    """Bring in new bars between retrainings, so that serving answers from fresh ones."""

    @dg.schedule(
        name=ingest_job_name(universe),
        cron_schedule=cadence,
        job_name=ingest_job_name(universe),
        execution_timezone="UTC",
        default_status=default_status,
        description=f"Validates new bars of {universe.name} and serves from them; no model is trained.",
    )
    def schedule(context: dg.ScheduleEvaluationContext, toto: TotoOps) -> dg.RunRequest:
        from toto_ops.market.sources import open_source
        from toto_ops.market.universe_symbols import universe_symbols

        present = toto.project_as_configured_now().universe(universe.name)
        reconcile_partitions(context.instance, universe, universe_symbols(present, open_source(present)))
        tags = {**range_tags(context.instance, universe), UNIVERSE_TAG: universe.name}
        if not present.is_sample:  # a sample stands at its newest close, whatever the clock says
            tags[AS_OF_TAG] = context.scheduled_execution_time.isoformat()
        return dg.RunRequest(run_key=_run_key(context, universe), tags=tags)

    return schedule


def _run_key(context: dg.ScheduleEvaluationContext, universe: Universe) -> str:
    return f"{universe.name}-{context.scheduled_execution_time:%Y%m%dT%H%M}"
