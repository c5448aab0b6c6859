"""Old runs of the Dagster instance: which may go, and their removal.

Dagster removes old ticks by itself (`retention` in dagster.yaml), but neither runs nor their event logs: it leaves that
to whoever deletes runs. What the UI shows of an asset is read from the event log of the run that made it, so the runs
with the newest materialisation, attempt or check of any asset partition stay, however old, and so do the runs of
retrainings whose artefacts stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg
from dagster._core.event_api import EventRecordsFilter
from dagster._core.storage.dagster_run import FINISHED_STATUSES
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from assets.exclusive import unfinished_backfills
from assets.run_tags import retrain_id_of
from deploy.instance import existing_instance
from toto_ops.configuration import Settings

_IDS_AT_ONCE = 500


@dataclass(frozen=True)
class StoredRun:
    """One finished run that nothing refers to.

    Attributes
    ----------
    size
        Bytes of its event log and of what its steps printed, where these are files.
    """

    run_id: str
    size: int


@dataclass(frozen=True)
class RunHistory:
    """The runs of one Dagster instance."""

    instance: dg.DagsterInstance

    @classmethod
    def existing(cls, settings: Settings) -> RunHistory | None:
        """The history of a home as it is; None where Dagster has never run."""
        instance = existing_instance(settings)
        return None if instance is None else cls(instance)

    def unfinished_retrainings(self) -> frozenset[str]:
        """`retrain_id` of every run and backfill that has not ended, or whose process died unnoticed."""
        statuses = [status for status in dg.DagsterRunStatus if status not in FINISHED_STATUSES]
        runs = frozenset(retrain_id_of(run) for run in self.instance.get_runs(dg.RunsFilter(statuses=statuses)))
        return runs | frozenset(backfill.backfill_id for backfill in unfinished_backfills(self.instance))

    def removable(
        self, untouched_since: datetime, kept_retrainings: Collection[str], checks: Iterable[dg.AssetCheckKey]
    ) -> tuple[StoredRun, ...]:
        """Finished runs that ended before a moment and that nothing refers to, the oldest first.

        Parameters
        ----------
        kept_retrainings
            `retrain_id` of the retrainings whose artefacts stay.
        checks
            Every asset check that the UI shows.
        """
        ended = dg.RunsFilter(statuses=list(FINISHED_STATUSES), updated_before=untouched_since)
        candidates = [
            record.dagster_run
            for record in self.instance.get_run_records(ended, ascending=True)
            if retrain_id_of(record.dagster_run) not in kept_retrainings
        ]
        if not candidates:
            return ()
        shown = {*self._runs_of_newest_materialisations(), *self._runs_of_newest_checks(list(checks))}
        return tuple(StoredRun(run.run_id, self._size(run.run_id)) for run in candidates if run.run_id not in shown)

    def remove(self, run: StoredRun) -> None:
        """Delete a run with its event log and with what its steps printed."""
        self.instance.delete_run(run.run_id)
        self.instance.compute_log_manager.delete_logs(prefix=[run.run_id])
        for file in self._event_log_files(run.run_id):
            file.unlink()

    def _runs_of_newest_materialisations(self) -> Iterator[str]:
        """Of each partition of each asset: the run of its newest materialisation, and of the newest attempt at one."""
        storage = self.instance.event_log_storage
        for key in self.instance.all_asset_keys():
            newest = self.instance.get_latest_materialization_event(key)
            planned = self.instance.get_latest_planned_materialization_info(key)
            yield from (newest.run_id,) if newest else ()
            yield from (planned.run_id,) if planned else ()
            for kind in (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED):
                ids = list(storage.get_latest_storage_id_by_partition(key, kind).values())
                for start in range(0, len(ids), _IDS_AT_ONCE):
                    some = EventRecordsFilter(event_type=kind, asset_key=key, storage_ids=ids[start : start + _IDS_AT_ONCE])
                    yield from (record.run_id for record in storage.get_event_records(some))

    def _runs_of_newest_checks(self, checks: list[dg.AssetCheckKey]) -> Iterator[str]:
        """Of each partition of each check: the run of its newest result."""
        storage = self.instance.event_log_storage
        if checks:
            yield from (info.latest_planned_run_id for info in storage.get_asset_check_partition_info(checks))
            yield from (record.run_id for record in storage.get_latest_asset_check_execution_by_key(checks).values())

    def _size(self, run_id: str) -> int:
        files = list(self._event_log_files(run_id))
        logs = self.instance.compute_log_manager
        if isinstance(logs, LocalComputeLogManager):
            printed = Path(logs.get_captured_local_path([run_id, "compute_logs", "any"], "out")).parent
            files += [file for file in printed.rglob("*") if file.is_file()]
        return sum(file.stat().st_size for file in files)

    def _event_log_files(self, run_id: str) -> Iterator[Path]:
        """SQLite keeps one file per run and leaves it behind, empty, when the run is deleted."""
        storage = self.instance.event_log_storage
        if isinstance(storage, SqliteEventLogStorage):
            shard = Path(storage.path_for_shard(run_id))
            yield from (
                file for file in (shard, *(shard.with_name(f"{shard.name}-{end}") for end in ("wal", "shm"))) if file.exists()
            )
