"""A local file that is replaced as a whole: a reader sees the old content or the new one, never a part."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toto_ops.storage.refusals import named_refusals


def replace_file(path: Path, content: bytes) -> None:
    """Write a file and its folder, on the disk before it is visible.

    Raises
    ------
    StorageError
        If the disk is full or read-only; the file is as it was.
    """
    with replaced(path) as staged:
        staged.write_bytes(content)


@contextmanager
def replaced(path: Path, suffix: str = ".tmp") -> Iterator[Path]:
    """An empty file of its owner's alone beside `path`, to be written; at the end it is on the disk and takes its place.

    Parameters
    ----------
    suffix
        Of that file, for programs that go by it.

    Raises
    ------
    StorageError
        If the disk is full or read-only; the file is as it was.
    """
    with named_refusals(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=suffix)
        os.close(descriptor)
        staged = Path(name)
        try:
            yield staged
            with staged.open("rb") as stream:
                os.fsync(stream.fileno())
            staged.replace(path)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
