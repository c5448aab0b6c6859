"""Calendar retraining: `crypto_retrain` monthly, `stocks_retrain` quarterly, as each universe's cadence says."""

import dagster as dg

from assets.jobs import retrain_job_name
from assets.partitions import range_tags, reconcile_partitions
from assets.resources import AS_OF_TAG, REASON_TAG, UNIVERSE_TAG, TotoOps
from toto_ops.universes import Universe


def retrain_schedule(universe: Universe, default_status: dg.DefaultScheduleStatus) -> dg.ScheduleDefinition:
    """The schedule of one universe: skips, saying so, when nothing it would train on has changed."""

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

        due = context.scheduled_execution_time
        project = toto.project_as_configured_now()
        verdict = assess(project, project.universe(universe.name))
        if not verdict.stale:
            return dg.SkipReason(f"{universe.name}: {verdict.reason}")
        reconcile_partitions(context.instance, universe, verdict.symbols)
        tags = {**range_tags(context.instance, universe), UNIVERSE_TAG: universe.name, REASON_TAG: verdict.reason[:200]}
        if not verdict.as_of_is_newest_close:
            tags[AS_OF_TAG] = due.isoformat()
        return dg.RunRequest(run_key=f"{universe.name}-{due:%Y%m%dT%H%M}", tags=tags)

    return schedule
