"""Runs that never ended: settled when their launcher is gone, respected when it is not.

A command line that was killed leaves a run that says it is running, and possibly step processes that go on working,
as far as promoting. All of them carry the launcher's identity, the run as a tag and the processes in their
environment, so that the next retraining can put both to rest before it starts.
"""

from __future__ import annotations

import os
import signal
import socket
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from toto_ops.errors import BusyError
from toto_ops.universes import Universe

if TYPE_CHECKING:
    import dagster as dg

LAUNCHER_TAG = "toto/launcher"
LAUNCHER_VARIABLE = "TOTO_LAUNCHER"


@lru_cache(maxsize=1)
def launcher_identity() -> str:
    """Host, process and a random part: never the same twice."""
    return f"{socket.gethostname()}:{os.getpid()}:{os.urandom(8).hex()}"


def settle_unfinished_runs(instance: dg.DagsterInstance, universe: Universe) -> None:
    """Report runs failed whose launcher on this host is gone, end what is left of them, and respect all others.

    The caller holds the lock of this universe, so an unfinished run launched from this host's command line has lost its
    process.

    Raises
    ------
    BusyError
        If a run of this universe was launched by the UI, a schedule or another host.
    """
    import dagster as dg

    unfinished = [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    for run in instance.get_runs(dg.RunsFilter(statuses=unfinished)):
        if not _concerns(run, universe):
            continue
        launcher = run.tags.get(LAUNCHER_TAG, "")
        if not launcher.startswith(f"{socket.gethostname()}:"):
            raise BusyError(
                f"run {run.run_id} is {run.status.value.lower()}",
                where=universe.name,
                remedy="wait for it, or cancel it in the Dagster UI",
            )
        if launcher != launcher_identity():
            _end_processes_of(launcher)
        instance.report_run_failed(
            run, "The process that launched this run is gone; the run was reported failed before the next one."
        )
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _concerns(run: dg.DagsterRun, universe: Universe) -> bool:
    """By its tag; runs of a backfill of the whole graph have none and are known by their assets."""
    from assets.resources import UNIVERSE_TAG

    selected = run.asset_selection or frozenset()
    return run.tags.get(UNIVERSE_TAG) == universe.name or any(key.path[0] == universe.name for key in selected)


def _end_processes_of(launcher: str) -> None:
    """Kill the step processes a dead launcher left behind: their run is over, and they must not promote any more."""
    mark = f"{LAUNCHER_VARIABLE}={launcher}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or somebody else's
            continue
        if mark in environment:
            try:
                os.kill(int(folder.name), signal.SIGKILL)
            except ProcessLookupError:
                continue
