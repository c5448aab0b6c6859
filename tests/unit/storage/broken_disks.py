"""A disk that refuses from the n-th call on, and what of a store a reader can see. For fault tests only."""

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

FULL, READ_ONLY = errno.ENOSPC, errno.EROFS

NEEDS_SPACE = ("mkdir", "open", "fsync", "link", "rename", "replace")
"""What a full disk refuses, besides writing; it still lets files be removed."""

FREES_SPACE = ("unlink", "rmdir", "remove")


@dataclass
class BrokenDisk:
    """Lets `calls` changes through, then refuses every further one, until the test ends.

    Reading always works.
    """

    patch: pytest.MonkeyPatch
    below: Path
    number: int
    calls: int
    seen: list[str] = field(default_factory=list)

    @property
    def refused(self) -> bool:
        return len(self.seen) > self.calls

    def allow(self, call: str, path: Any = None) -> None:
        """Count one change; one beyond the allowed raises. Files elsewhere (pytest's own, devices) are no concern."""
        if path is not None and isinstance(path, (str, os.PathLike)) and not str(path).startswith(str(self.below)):
            return
        self.seen.append(call)
        if self.refused:
            raise OSError(self.number, os.strerror(self.number))

    def install(self) -> None:
        for name in NEEDS_SPACE + (FREES_SPACE if self.number == READ_ONLY else ()):
            self.patch.setattr(os, name, self._guarded(name, getattr(os, name)))
        plain_open, plain_fdopen = io.open, os.fdopen

        def guarded_open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if not set(mode) & set("wax+"):
                return plain_open(file, mode, *args, **kwargs)
            self.allow("io.open", file)
            return _Stream(plain_open(file, mode, *args, **kwargs), self)

        self.patch.setattr(io, "open", guarded_open)
        self.patch.setattr(os, "fdopen", lambda *args, **kwargs: _Stream(plain_fdopen(*args, **kwargs), self))

    def _guarded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(path: Any, *args: Any, **kwargs: Any) -> Any:
            if name != "open" or (args and args[0] & (os.O_WRONLY | os.O_RDWR)):
                self.allow(name, path)
            return call(path, *args, **kwargs)

        return guarded


class _Stream:
    """A file open for writing whose disk may fill up in the middle: half of what is written then stays."""

    def __init__(self, stream: Any, disk: BrokenDisk) -> None:
        self._stream, self._disk = stream, disk

    def write(self, content: Any) -> int:
        try:
            self._disk.allow("write")
        except OSError:
            self._stream.write(content[: len(content) // 2])
            raise
        return int(self._stream.write(content))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def broken_disk(below: Path, number: int, calls: int) -> Iterator[BrokenDisk]:
    """Inside, the disk under `below` lets `calls` changes through and refuses the next."""
    with pytest.MonkeyPatch.context() as patch:
        disk = BrokenDisk(patch, below, number, calls)
        disk.install()
        yield disk


def every_refusal(below: Path, number: int, attempt: Callable[[], object]) -> Iterator[tuple[str, Exception]]:
    """Attempt the same again and again, refused at its first change, its second, and so on until it goes through.

    Yields
    ------
    call
        What was refused.
    error
        What the attempt raised.
    """
    for calls in range(1000):
        with broken_disk(below, number, calls) as disk:
            try:
                attempt()
            except Exception as error:  # noqa: BLE001 - which error it is, is what the test asks
                refused = (disk.seen[disk.calls], error)
            else:
                return
        yield refused


def visible(root: Path) -> dict[str, bytes]:
    """Every file a reader of the store can come across, by its relative name; temporary names begin with a dot."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    named = {path.relative_to(root).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in named.items() if not any(part.startswith(".") for part in name.split("/"))}
