"""The lock of one namespace: artefacts become visible, are renewed and are taken away one at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FILE = ".lock"


@contextmanager
def locked(namespace: Path) -> Iterator[None]:
    """Hold the lock of a namespace between processes and threads of this machine; the kernel lets it go with its process.

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
