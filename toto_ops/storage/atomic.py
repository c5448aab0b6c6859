"""A local file that is replaced as a whole: a reader sees the old content or the new one, never a part."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from toto_ops.storage.refusals import named_refusals


def replace_file(path: Path, content: bytes) -> None:
    """Write a file and its folder, on the disk before it is visible.

    Raises
    ------
    StorageError
        If the disk is full or read-only; the file is as it was.
    """
    with named_refusals(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
