"""The files a backtest is written to: refused before anything is run if they cannot be, named if the disk refuses them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toto_ops.errors import ConfigError, StorageError
from toto_ops.storage.atomic import replace_file

if TYPE_CHECKING:
    from toto_ops.evaluation.backtests.document import BacktestReport

_ELSEWHERE = "name a file in a folder this user can write to; asking the same again is no further look"

_LOOKED_AT = 4096
"""Bytes of a file that is there already by which it is known as a report."""


@dataclass(frozen=True)
class _Kind:
    """One kind of file: what its name ends with, and what the reports of this module begin with."""

    what: str
    suffixes: tuple[str, ...]
    beginning: re.Pattern[bytes]


_PAGE = _Kind("the page", (".html", ".htm"), re.compile(rb"<!DOCTYPE html>.*<title>[^<]*: backtest of ", re.DOTALL))
_TEXT = _Kind("the text report", (".txt",), re.compile(rb"[^\n]*: backtest of "))
_TRADES = _Kind("the table of trades", (".csv",), re.compile(rb"contestant,symbol,"))


@dataclass(frozen=True)
class ReportFiles:
    """Where the report goes; None where it is not wanted."""

    html: Path | None = None
    text: Path | None = None
    trades: Path | None = None

    @property
    def wanted(self) -> tuple[Path, ...]:
        """Those that are."""
        return tuple(path for path in (self.html, self.text, self.trades) if path is not None)

    def checked(self) -> ReportFiles:
        """The same files as seen from the working directory.

        Raises
        ------
        ConfigError
            If one is named as something else, is a folder, cannot lie where it is wanted, or is there already and is no
            earlier report of its kind.
        """
        return ReportFiles(html=_placed(self.html, _PAGE), text=_placed(self.text, _TEXT), trades=_placed(self.trades, _TRADES))

    def write(self, report: BacktestReport) -> tuple[Path, ...]:
        """Write what is wanted.

        Raises
        ------
        StorageError
            If a file cannot be written.
        """
        from toto_ops.evaluation.reports.backtest_page import render_page
        from toto_ops.evaluation.reports.backtest_tables import trades_csv
        from toto_ops.evaluation.reports.backtest_text import render_text

        for path, render in ((self.html, render_page), (self.text, render_text), (self.trades, trades_csv)):
            if path is not None:
                _replace(path, render(report))
        return self.wanted


def _placed(path: Path | None, kind: _Kind) -> Path | None:
    if path is None:
        return None
    place = Path.cwd() / path.expanduser()
    if place.is_dir():
        raise ConfigError("is a folder", where=str(place), remedy="name a file in it")
    if place.suffix.lower() not in kind.suffixes:
        endings = " or ".join(kind.suffixes)
        raise ConfigError(f"{kind.what} must end with {endings}", where=str(place), remedy="name such a file")
    _refuse_unwritable(place)
    if place.exists():
        _refuse_others(place, kind)
    return place


def _refuse_unwritable(place: Path) -> None:
    nearest = next(folder for folder in place.parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise ConfigError(f"{nearest} is not a folder this user can write to", where=str(place), remedy=_ELSEWHERE)
    if nearest not in place.parents[:2]:
        raise ConfigError(
            f"{place.parent.parent} does not exist, and only the last folder is made",
            where=str(place),
            remedy="check the name, or make the folder first",
        )


def _refuse_others(place: Path, kind: _Kind) -> None:
    """An earlier report may be replaced and an empty file filled; what else is there is not ours."""
    try:
        with place.open("rb") as there:
            beginning = there.read(_LOOKED_AT)
    except OSError as error:
        raise ConfigError(f"is there and cannot be read: {error.strerror}", where=str(place), remedy=_ELSEWHERE) from error
    if beginning and not kind.beginning.match(beginning):
        raise ConfigError(
            f"is there already and is no {kind.what.removeprefix('the ')} of a backtest: it would be lost",
            where=str(place),
            remedy="name another file, or remove it",
        )


def _replace(path: Path, text: str) -> None:
    try:
        replace_file(path, text.encode())
    except (OSError, StorageError) as error:
        problem = error.problem if isinstance(error, StorageError) else error.strerror
        raise StorageError(f"the report cannot be written: {problem}", where=str(path), remedy=_ELSEWHERE) from error
