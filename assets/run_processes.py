"""The processes behind a run: which they are, whether they live, and how to end what is left of them.

A run launched from a command line carries the identity of its launcher as a tag, and its step processes carry it in
their environment. A run launched by the UI, a schedule or a sensor names its processes in its event log. Only processes
of this machine are judged: what another one executes cannot be seen from here.
"""

import json
import os
import signal
import socket
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import dagster as dg

LAUNCHER_TAG = "toto/launcher"
LAUNCHER_VARIABLE = "TOTO_LAUNCHER"

CODE_SERVER_TAG = ".dagster/grpc_info"
"""Where Dagster notes which code server started the process of a run."""
SAME_MACHINE = ("localhost", "127.0.0.1", "::1")
CLOCK_SLACK = 2.0
"""Seconds by which a process may seem younger than the event it wrote itself; boot time is known to the second."""


@lru_cache(maxsize=1)
def launcher_identity() -> str:
    """Host, process, start of the process and a random part: never the same twice, and its end can be seen."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started_ticks(os.getpid())}:{os.urandom(4).hex()}"


def launcher_of(run: dg.DagsterRun) -> str | None:
    """The command line that executes a run. One executed again from the UI has only inherited the tag of its parent."""
    return run.tags.get(LAUNCHER_TAG) if run.parent_run_id is None else None


def has_died(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the process that executes an unfinished run has ended on this machine without ending the run."""
    launcher = launcher_of(run)
    if launcher is not None:
        return _launcher_is_gone(launcher)
    return _is_executed_here(run) and _worker_is_gone(instance, run)


def end_processes(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Kill the step processes a dead run left behind: their run is over, and they must not promote any more."""
    launcher = launcher_of(run)
    left = set(_processes_marked(launcher)) if launcher else {pid for pid, at in _step_workers(instance, run) if _lives(pid, at)}
    for pid in left - {os.getpid()}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # ended meanwhile
            continue


def _launcher_is_gone(identity: str) -> bool:
    host, pid, started, *_ = [*identity.split(":"), "", ""]
    return host == socket.gethostname() and pid.isdigit() and str(_started_ticks(int(pid))) != started


def _is_executed_here(run: dg.DagsterRun) -> bool:
    server = json.loads(run.tags.get(CODE_SERVER_TAG, "{}"))
    return bool(server.get("socket")) or server.get("host") in SAME_MACHINE


def _worker_is_gone(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """By the process the run names when it starts; one that names none yet is on its way."""
    workers = _named_processes(instance, run, dg.DagsterEventType.ENGINE_EVENT)
    return bool(workers) and not any(_lives(pid, at) for pid, at in workers)


def _step_workers(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[tuple[int, float]]:
    return _named_processes(instance, run, dg.DagsterEventType.STEP_WORKER_STARTED)


def _named_processes(instance: dg.DagsterInstance, run: dg.DagsterRun, kind: dg.DagsterEventType) -> list[tuple[int, float]]:
    """Processes that wrote an event of this kind about themselves, with the time of the event, s since 1970."""
    found = []
    for entry in instance.all_logs(run.run_id, of_type=kind):
        details = entry.get_dagster_event().event_specific_data
        pid = getattr(details, "metadata", {}).get("pid")
        if pid is not None:
            found.append((int(pid.value), entry.timestamp))
    return found


def _processes_marked(launcher: str) -> Iterator[int]:
    mark = f"{LAUNCHER_VARIABLE}={launcher}".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or somebody else's
            continue
        if mark in environment:
            yield int(folder.name)


def _lives(pid: int, named_at: float) -> bool:
    """Whether the process that was named at a time still lives; a younger one only inherited its number."""
    ticks = _started_ticks(pid)
    return ticks is not None and _boot_time() + ticks / os.sysconf("SC_CLK_TCK") <= named_at + CLOCK_SLACK


def _started_ticks(pid: int) -> int | None:
    """When a process started, clock ticks since boot; None once it has ended, waited for by its parent or not."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def _boot_time() -> int:
    lines = Path("/proc/stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("btime "))
