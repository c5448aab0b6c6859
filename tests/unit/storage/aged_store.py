"""A store whose content has been lying there for a while."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from toto_ops.storage.store import ArtefactKey, ArtefactRef, ArtefactStore

DAY = 86_400.0


def content(text: str) -> Callable[[Path], None]:
    """A writer of an artefact of one file."""

    def write(folder: Path) -> None:
        (folder / "value.txt").write_text(text)

    return write


def put_aged(store: ArtefactStore, key: ArtefactKey, text: str, days: float = 60.0) -> ArtefactRef:
    """Store an artefact made from `text` that nobody has touched for `days`."""
    ref = store.put(key, f"from {text}", content(text))
    age(Path(str(store.place(ref))), days)
    return ref


def age(path: Path, days: float = 60.0) -> None:
    """Let a file, or everything below a folder, have been touched last `days` ago."""
    stamp = time.time() - days * DAY
    for item in (path, *path.rglob("*")):
        os.utime(item, (stamp, stamp))


def a_day_ago() -> float:
    """Seconds since the epoch."""
    return time.time() - DAY
