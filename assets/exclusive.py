"""One retraining of a universe at a time, whatever route it was launched by.

Runs that carry the universe as a tag wait in Dagster's queue for each other, and command lines hold a lock. Neither
knows the runs of "materialize all" in the UI, which carry no such tag; so whoever ingests bars looks around first. Of
two that began at once the later one gives way: both see the same order, since both read it from the instance.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
from dagster._core.execution.backfill import (
    BULK_ACTION_TERMINAL_STATUSES,
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)

from assets.run_processes import has_died, launcher_of
from assets.run_tags import UNIVERSE_TAG, retrain_id_of
from toto_ops.errors import BusyError
from toto_ops.universes import Universe

EXECUTING = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
"""A queued run is not among them: the queue keeps it back, or it will look around itself when its turn comes."""

BACKFILL_DAEMON_SILENCE = 120.0
"""Seconds without a heartbeat after which nobody works on a backfill; it goes on when the daemon is back."""


@dataclass(frozen=True)
class InProgress:
    """A retraining, ingest or other run over the bars of a universe that has not ended.

    Attributes
    ----------
    retrain_id
        Backfill or root run.
    began_at
        When it began, s since 1970; infinite while it has not.
    description
        What it is, and who launched it, for a message.
    """

    retrain_id: str
    began_at: float
    description: str


def in_progress(instance: dg.DagsterInstance, universe: Universe) -> tuple[InProgress, ...]:
    """Everything that works on the bars of a universe now, the earliest first."""
    backfills = {one.retrain_id: one for one in _backfills(instance, universe)}
    runs = (one for one in _runs(instance, universe, EXECUTING) if one.retrain_id not in backfills)
    return tuple(sorted((*backfills.values(), *runs), key=_order))


def queued(instance: dg.DagsterInstance, universe: Universe) -> tuple[InProgress, ...]:
    """Runs of a universe whose turn has not come."""
    return tuple(_runs(instance, universe, (dg.DagsterRunStatus.QUEUED,)))


def require_idle(instance: dg.DagsterInstance, universe: Universe) -> None:
    """Refuse to begin while something works on the universe.

    Raises
    ------
    BusyError
        Naming it.
    """
    for other in in_progress(instance, universe):
        raise _busy(other, universe)


def require_only_retraining(context: dg.AssetExecutionContext, universe: Universe) -> None:
    """Refuse to go on beside a retraining of the universe that began earlier.

    Raises
    ------
    BusyError
        Naming it.
    """
    own = retrain_id_of(context.run)
    working = in_progress(context.instance, universe)
    began_at = min((one.began_at for one in working if one.retrain_id == own), default=time.time())
    for other in working:
        if other.retrain_id != own and (other.began_at, other.retrain_id) < (began_at, own):
            raise _busy(other, universe)


def require_unfinished(context: dg.AssetExecutionContext) -> None:
    """Refuse to change what serves in a run that was reported over, cancelled or failed, while its process went on.

    Raises
    ------
    BusyError
        What serves is as it was.
    """
    run = context.instance.get_run_by_id(context.run_id)
    if run is not None and run.is_finished:
        raise BusyError(
            f"run {run.run_id} was reported {run.status.value.lower()} meanwhile: it may not promote any more",
            where=run.job_name,
            remedy="retrain; what was finished is reused",
        )


def unfinished_backfills(instance: dg.DagsterInstance) -> Sequence[PartitionBackfill]:
    """Backfills of any universe that have not ended, whether or not anybody works on them."""
    unfinished = [status for status in BulkActionStatus if status not in BULK_ACTION_TERMINAL_STATUSES]
    return instance.get_backfills(filters=BulkActionsFilter(statuses=unfinished))


def concerns(run: dg.DagsterRun, universe: Universe) -> bool:
    """By its tag; runs of a backfill of the whole graph have none and are known by their assets."""
    selected = run.asset_selection or frozenset()
    return run.tags.get(UNIVERSE_TAG) == universe.name or any(key.path[0] == universe.name for key in selected)


def _runs(instance: dg.DagsterInstance, universe: Universe, statuses: Sequence[dg.DagsterRunStatus]) -> Iterator[InProgress]:
    for record in instance.get_run_records(dg.RunsFilter(statuses=list(statuses))):
        run = record.dagster_run
        if concerns(run, universe) and not has_died(instance, run):
            began_at = float("inf") if record.start_time is None else record.start_time
            launcher = launcher_of(run)
            where = f"a command line on {launcher.split(':')[0]}" if launcher else "Dagster"
            yield InProgress(retrain_id_of(run), began_at, f"run {run.run_id} ({run.job_name}, launched by {where})")


def _backfills(instance: dg.DagsterInstance, universe: Universe) -> Iterator[InProgress]:
    """Between two of its runs a backfill has none, and is in progress all the same."""
    heartbeat = instance.get_daemon_heartbeats().get("BACKFILL")
    if heartbeat is None or time.time() - heartbeat.timestamp > BACKFILL_DAEMON_SILENCE:
        return
    for backfill in unfinished_backfills(instance):
        if any(key.path[0] == universe.name for key in backfill.asset_selection or ()):
            yield InProgress(backfill.backfill_id, backfill.backfill_timestamp, f"backfill {backfill.backfill_id} of the UI")


def _order(one: InProgress) -> tuple[float, str]:
    return one.began_at, one.retrain_id


def _busy(other: InProgress, universe: Universe) -> BusyError:
    began = f" since {datetime.fromtimestamp(other.began_at, UTC):%Y-%m-%d %H:%M} UTC" if other.began_at < float("inf") else ""
    return BusyError(
        f"{other.description} is in progress{began}",
        where=universe.name,
        remedy="wait for it, or cancel it in the Dagster UI (`toto-ops dev`)",
    )
