"""What a killed retraining must not leave behind once the next one has ended: runs, slots, locks, processes."""

import time
from pathlib import Path

import dagster as dg
from filelock import FileLock, Timeout

from tests.reliability.planted_home import UNIVERSE, PlantedHome

GRACE_SECONDS = 10.0
"""Fork servers notice the end of their parent a moment later."""


def leftovers(planted: PlantedHome) -> list[str]:
    """Everything still held, in words."""
    return [*_unfinished_runs_and_slots(planted), *_held_locks(planted), *_processes(planted)]


def _unfinished_runs_and_slots(planted: PlantedHome) -> list[str]:
    with dg.DagsterInstance.from_config(str(planted.root / "dagster")) as instance:
        unfinished = [run for run in instance.get_runs() if not run.is_finished]
        storage = instance.event_log_storage
        pools = [storage.get_concurrency_info(key) for key in storage.get_concurrency_keys()]
    faults = [f"run {run.run_id} is {run.status.value.lower()}" for run in unfinished]
    for pool in pools:
        held = [slot.run_id for slot in pool.claimed_slots] + [step.run_id for step in pool.pending_steps]
        faults += [f"a slot of pool {pool.concurrency_key} is held or awaited by run {run_id}" for run_id in held]
    return faults


def _held_locks(planted: PlantedHome) -> list[str]:
    faults = []
    for path in (planted.root / "locks" / f"{UNIVERSE}.lock", *planted.root.glob(".*.lock")):
        try:
            with FileLock(path, timeout=1):
                pass
        except Timeout:
            faults.append(f"{path} is held")
    return faults


def _processes(planted: PlantedHome) -> list[str]:
    deadline = time.monotonic() + GRACE_SECONDS
    while (found := processes_of(planted)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return [f"process {number} still works in this home" for number in found]


def processes_of(planted: PlantedHome) -> list[int]:
    """Processes whose environment names this home."""
    mark = f"TOTO_HOME={planted.root}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
            except OSError:  # ended meanwhile, or somebody else's
                continue
            if mark in environment:
                found.append(int(folder.name))
    return found
