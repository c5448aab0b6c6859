"""The files a backtest is written to: refused before anything is run if they cannot be, named if the disk refuses them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toto_ops.errors import ConfigError, StorageError
from toto_ops.storage.atomic import replace_file

if TYPE_CHECKING:
    from toto_ops.evaluation.backtests.document import BacktestReport

_ELSEWHERE = "name a file in a folder this user can write to; asking the same again is no further look"


@dataclass(frozen=True)
class ReportFiles:
    """Where the report goes; None where it is not wanted."""

    html: Path | None = None
    text: Path | None = None
    trades: Path | None = None

    def checked(self) -> ReportFiles:
        """The same files as seen from the working directory.

        Raises
        ------
        ConfigError
            If one is a folder or cannot lie where it is wanted, or if two are the same.
        """
        files = ReportFiles(*(None if path is None else _placed(path) for path in (self.html, self.text, self.trades)))
        wanted = [path for path in (files.html, files.text, files.trades) if path is not None]
        for path in wanted:
            if wanted.count(path) > 1:
                raise ConfigError("two reports would be this file", where=str(path), remedy="give each a file of its own")
        return files

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

        written = []
        for path, render in ((self.html, render_page), (self.text, render_text), (self.trades, trades_csv)):
            if path is not None:
                _replace(path, render(report))
                written.append(path)
        return tuple(written)


def _placed(path: Path) -> Path:
    place = Path.cwd() / path.expanduser()
    if place.is_dir():
        raise ConfigError("is a folder", where=str(place), remedy="name a file in it")
    nearest = next(folder for folder in place.parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise ConfigError(f"{nearest} is not a folder this user can write to", where=str(place), remedy=_ELSEWHERE)
    return place


def _replace(path: Path, text: str) -> None:
    try:
        replace_file(path, text.encode())
    except (OSError, StorageError) as error:
        problem = error.problem if isinstance(error, StorageError) else error.strerror
        raise StorageError(f"the report cannot be written: {problem}", where=str(path), remedy=_ELSEWHERE) from error
