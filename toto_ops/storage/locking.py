"""Locks between processes: on a namespace of the store for moments at a time, and on what a whole command works on."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from toto_ops.errors import BusyError

LOCK_FILE = ".lock"


@contextmanager
def locked(namespace: Path) -> Iterator[None]:
    """Hold the lock of a namespace between processes and threads of this machine; the kernel lets it go with its process.

    Artefacts become visible, are renewed and are taken away under it, one at a time.
    It is held for microseconds at a time and taken very often: a waiting process must get it as soon as it is free,
    which is why this is a lock of the kernel and not one that is asked for again and again.
    """
    namespace.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(namespace / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Unlocked before it is closed: a process forked meanwhile has a copy of the descriptor and would go on holding it.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


@contextmanager
def held(lock: FileLock, busy: BusyError) -> Iterator[None]:
    """Hold a lock while something is done that must not be done twice at once.

    Parameters
    ----------
    lock
        Its timeout says how long to wait for whoever holds it.
    busy
        What to raise if it is still held after that.

    Raises
    ------
    BusyError
        `busy`.
    """
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire()
    except Timeout as error:
        raise busy from error
    try:
        yield
    finally:
        lock.release()
