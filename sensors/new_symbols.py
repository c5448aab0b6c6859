"""New symbols: a file or a configuration entry becomes a partition, and a run of its own takes it into the served market."""

from datetime import UTC, datetime

import dagster as dg

from assets.exclusive import in_progress
from assets.jobs import add_symbols_job_name
from assets.partitions import block_of, block_tags, reconcile_partitions
from assets.resources import TotoOps
from assets.run_tags import new_symbols_tags
from toto_ops.universes import Universe

LOOK_EVERY_SECONDS = 60


def new_symbols_sensor(universe: Universe, default_status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """The sensor of one universe: asks for one run per contiguous block of new symbols, or says why it does not."""

    @dg.sensor(
        name=f"{universe.name}_new_symbols",
        job_name=add_symbols_job_name(universe),
        minimum_interval_seconds=LOOK_EVERY_SECONDS,
        default_status=default_status,
        description=f"Notices new symbols of {universe.name}, makes them partitions and takes them into the served market.",
    )
    def new_symbols(context: dg.SensorEvaluationContext, toto: TotoOps) -> list[dg.RunRequest] | dg.SkipReason:
        from toto_ops.monitoring.new_symbols import attempt_key
        from toto_ops.pipeline.new_symbols import find_new_symbols

        project = toto.project_as_configured_now()
        current = project.universe(universe.name)
        found = find_new_symbols(project, current)
        reconcile_partitions(context.instance, current, found.members)
        if not found.to_add:
            return dg.SkipReason(f"{universe.name}: {found.summary}")
        for other in in_progress(context.instance, current):
            return dg.SkipReason(f"{universe.name}: {found.summary}; they wait until {other.description} has ended")
        requests = []
        for tags in block_tags(context.instance, current, found.to_add):
            symbols = block_of(context.instance, current, tags)
            requests.append(
                dg.RunRequest(
                    run_key=attempt_key(universe.name, {symbol: found.marks[symbol] for symbol in symbols}, datetime.now(UTC)),
                    tags={**tags, **new_symbols_tags(universe, symbols)},
                )
            )
        return requests

    return new_symbols
