"""A file system that refuses to be written to, named as one clear error whichever library met it.

Python says it as an `OSError`, SQLite by an error code of its own, libraries written in Rust only in words. All of them
are the same to whoever has to free the disk.
"""

from __future__ import annotations

import errno
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from toto_ops.errors import StorageError, TotoOpsError

PLACES = "TOTO_HOME, or the MLflow database"
"""Where whatever does not name a file was to be written: a database does not say."""

_FULL = "no space is left on the disk"
_READ_ONLY = "cannot be written to: the file system is read-only, or this user may not"
_BROKEN = "the disk fails"

_BY_ERRNO = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: f"{_FULL}: the quota is used up",
    errno.EFBIG: f"{_FULL}: a file would exceed the size this process may write",
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
    errno.EIO: _BROKEN,
}
_BY_SQLITE_CODE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: _READ_ONLY,
    sqlite3.SQLITE_IOERR: f"{_FULL}, or {_BROKEN}",
}
_REMEDIES = {
    _READ_ONLY: "make TOTO_HOME a folder this user can write to, then run it again: nothing that was stored has changed",
    _FULL: (
        "free some space (`toto-ops admin gc` removes what nothing refers to), then run it again: "
        "nothing that was stored has changed, and what was finished is reused"
    ),
    _BROKEN: "check the disk of TOTO_HOME, then run it again",
}
_ERRNO_IN_WORDS = re.compile(r"\(os error (\d+)\)")


def refusal(error: BaseException, where: str = "") -> StorageError | None:
    """What the file system refused, if that is what an error was raised from.

    Parameters
    ----------
    where
        What was being written, for errors that do not name a file.

    Returns
    -------
    StorageError or None
        None for an error of any other origin, and for one that says already what is wrong.
    """
    link: BaseException | None = None if isinstance(error, TotoOpsError) else error
    while link is not None:
        problem = _problem(link)
        if problem is not None:
            filename = link.filename if isinstance(link, OSError) else None
            remedy = next(advice for start, advice in _REMEDIES.items() if problem.startswith(start))
            return StorageError(problem, where=str(filename or where), remedy=remedy)
        link = link.__cause__
    return None


@contextmanager
def named_refusals(where: str) -> Iterator[None]:
    """Name what the file system refuses inside; every other error passes as it is.

    Raises
    ------
    StorageError
        If the disk is full, read-only or failing.
    """
    try:
        yield
    except Exception as error:
        refused = refusal(error, where)
        if refused is None:
            raise
        raise refused from error


def _problem(error: BaseException) -> str | None:
    if isinstance(error, sqlite3.Error):
        # The low byte is the error; the rest says more precisely which call met it.
        return _BY_SQLITE_CODE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (in_words := _ERRNO_IN_WORDS.search(str(error))):
        number = int(in_words[1])
    return None if number is None else _BY_ERRNO.get(number)
