"""What runs of the controls left in a home, and how it is taken away.

Each run lies in a namespace of its own, named after a hash of seed, configuration and source code. Nothing refers to it, and
once the code has changed nothing will ever read it again: what is old goes as a whole. For the same reason its documents are
never migrated to another schema version.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from toto_ops.configuration import Settings
from toto_ops.errors import BusyError
from toto_ops.pipeline.controls import CONTROLS, in_progress_alone
from toto_ops.storage.refusals import named_refusals
from toto_ops.storage.retention import StoredItem, wholes


def old_controls(settings: Settings, untouched_since: float) -> tuple[StoredItem, ...]:
    """Runs of the controls of a local home in which nothing was written since a moment, in seconds since the epoch."""
    folders = sorted(path for path in Path(settings.home).glob(f"{CONTROLS}-*") if path.is_dir())
    return tuple(item for item in wholes("controls", "", folders) if item.touched < untouched_since)


def remove_controls(settings: Settings, item: StoredItem, untouched_since: float) -> bool:
    """Take a run of the controls away; False if it is in progress or was gone on with meanwhile, and stays.

    Raises
    ------
    StorageError
        If the file system refuses.
    """
    try:
        with in_progress_alone(settings, item.path.name), named_refusals(str(item.path)):
            if item not in old_controls(settings, untouched_since):
                return False
            # Killed halfway, what is left is outcomes of single markets, each whole; the next collection takes them.
            shutil.rmtree(item.path)
    except BusyError:
        return False
    return True
