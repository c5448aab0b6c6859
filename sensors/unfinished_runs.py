"""Runs that never ended: settled when the process that executed them is gone.

A command line that was killed leaves a run that says it is running, possibly step processes that go on working as far
as promoting, and slots of concurrency pools. All of it is put to rest before the next launch, when `toto-ops dev`
starts, and by a sensor meanwhile.
"""

import dagster as dg

from assets.exclusive import EXECUTING, concerns
from assets.run_processes import end_processes, has_died, launcher_identity, launcher_of
from toto_ops.universes import Universe

GONE = "The process that executed this run is gone; what was left of it was ended, and it was reported failed."
GIVEN_UP = "The process that launched this run gave it up; it was reported failed before the next one."


def settle_dead_runs(instance: dg.DagsterInstance) -> tuple[str, ...]:
    """Report runs failed whose process is gone, end what is left of them, and free every slot a finished run holds.

    Returns
    -------
    tuple of str
        Ids of the runs reported failed.
    """
    dead = [run for run in _executing(instance) if has_died(instance, run) and not _has_ended(instance, run)]
    for run in dead:
        end_processes(instance, run)
        instance.report_run_failed(run, GONE)
    _free_slots_of_finished_runs(instance)
    return tuple(run.run_id for run in dead)


def settle_given_up_runs(instance: dg.DagsterInstance, universe: Universe) -> None:
    """Report runs of a universe failed that this very process launched and left; call it under the universe's lock."""
    for run in _executing(instance):
        if concerns(run, universe) and launcher_of(run) == launcher_identity():
            instance.report_run_failed(run, GIVEN_UP)
    _free_slots_of_finished_runs(instance)


def _executing(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    return list(instance.get_runs(dg.RunsFilter(statuses=list(EXECUTING))))


def _has_ended(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run without a process came to its end after it was listed; asked last, a dead one cannot end any more."""
    stored = instance.get_run_by_id(run.run_id)
    return stored is None or stored.is_finished


def _free_slots_of_finished_runs(instance: dg.DagsterInstance) -> None:
    for run_id in instance.event_log_storage.get_concurrency_run_ids():
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)
