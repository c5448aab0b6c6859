"""The lock that keeps two command lines from working on one universe; the system takes it back from a dead process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock

from toto_ops.configuration import Settings
from toto_ops.errors import BusyError
from toto_ops.storage.locking import held
from toto_ops.universes import Universe


@contextmanager
def universe_lock(settings: Settings, universe: Universe, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock of a universe.

    Parameters
    ----------
    wait
        Seconds to wait for whoever holds it.

    Raises
    ------
    BusyError
        If it is still held after that.
    """
    busy = BusyError(
        "another command works on it", where=universe.name, remedy="wait for it; `make dev` shows how far a retraining is"
    )
    with held(FileLock(settings.lock_folder / f"{universe.name}.lock", timeout=wait), busy):
        yield
