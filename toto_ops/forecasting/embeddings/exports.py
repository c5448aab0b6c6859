"""Files for other programs: written whole or not at all, and never over anything that is not an export itself."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from toto_ops.errors import StorageError
from toto_ops.storage.atomic import replaced

KIND = "toto-ops.export"
"""Key of the metadata by which an export is known for one."""

EMBEDDINGS = "embeddings"
"""Its value in files of embeddings, and in models that make them."""


def write_export(path: Path, write: Callable[[Path], None], is_export: Callable[[Path], bool]) -> Path:
    """Let `write` fill a file beside `path`, and move it there.

    Parameters
    ----------
    is_export
        Whether a file that is there already was written by an earlier export; otherwise it stays as it is.

    Raises
    ------
    StorageError
        If something else is there, its folder cannot be made or written to, or the disk is full.
    """
    if path.exists() and not (path.is_file() and is_export(path)):
        raise StorageError(
            "is there already and is no export of embeddings", where=str(path), remedy="name another file, or remove this one"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        with replaced(path, path.suffix) as staged:
            write(staged)
            staged.chmod(0o644)
    except OSError as error:  # a full disk is told by `replaced`; here it is the folder that was asked for
        raise StorageError(
            f"cannot be written ({error.strerror})", where=str(path), remedy="name a folder that can be written to with --output"
        ) from error
    return path
