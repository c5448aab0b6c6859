"""Where raw bars come from: folders with one CSV per symbol, listed once when the source is opened.

The bundled sample may have a folder of further files beside it, where a new symbol is one file more.

A source that cannot be listed raises; it is never taken for a universe without symbols, because what follows from an
empty universe is deletion. A file that cannot be used concerns its symbol alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import polars as pl

from toto_ops.errors import BarDataError, SourceError, SymbolNameError
from toto_ops.market.csv_reader import read_bars_csv
from toto_ops.storage.hashing import file_digest, value_hash
from toto_ops.universes import CombinedSource, SampleSource, Universe, checked_symbol

SAMPLE_FOLDER = Path(__file__).parent / "sample"


@dataclass(frozen=True)
class Discovery:
    """What a source holds."""

    symbols: tuple[str, ...]
    """Usable symbols, sorted."""
    rejected: Mapping[str, str]
    """Files that cannot become a symbol, and why: names not fit for a path, collisions once upper-cased."""


class BarSource(Protocol):
    """Gives the raw bars of symbols, good or bad."""

    def discover(self) -> Discovery:
        """Symbols the source held when it was opened."""
        ...

    def read(self, symbol: str) -> pl.DataFrame:
        """Raw bars (`RAW_SCHEMA`) as the source has them.

        Raises
        ------
        SymbolNameError
            If the name is not fit for a path or stands for several files.
        BarDataError
            If this symbol is absent or cannot be read; other symbols are not concerned.
        """
        ...

    def last_train_stamp(self, symbol: str) -> datetime | None:
        """Stamp of the last bar meant for development, where the source keeps the test bars apart; else None."""
        ...

    def fingerprint(self, symbol: str) -> str:
        """Hash that changes with the content behind `symbol`; far cheaper than reading it. Raises as `read` does."""
        ...

    def part(self, symbol: str) -> str | None:
        """Which part of a combined universe `symbol` comes from; None where there are no parts, or not this symbol."""
        ...


@dataclass(frozen=True)
class CsvFolders:
    """One CSV per symbol, in one folder or in consecutive ones whose bars follow each other.

    Parameters
    ----------
    parts
        Folders in the order of time.
    timezone
        IANA zone of timestamps that carry none.
    files
        The files of each symbol, in the order of `parts`.
    rejected
        File names that cannot become a symbol, and why.
    train
        The one of `parts` whose bars are meant for development, where the source keeps the test bars apart.
    """

    parts: tuple[Path, ...]
    timezone: str
    files: Mapping[str, tuple[Path, ...]]
    rejected: Mapping[str, str]
    train: Path | None = None

    @classmethod
    def open(cls, folder: Path, timezone: str = "UTC", added: Path | None = None) -> CsvFolders:
        """List `folder`, or its `train/` and `test/` folders, and then `added`.

        Raises
        ------
        SourceError
            If a folder is missing or unreadable, there is no CSV at all, or it is not clear which files count.
        """
        parts = _parts(folder)
        train = parts[0] if len(parts) > 1 else None
        parts += () if added is None else (added,)
        claims: defaultdict[str, list[Path]] = defaultdict(list)
        rejected: dict[str, str] = {}
        for path in (path for part in parts for path in _listed(part) if _is_csv(path)):
            try:
                claims[checked_symbol(path.name[: -len(".csv")])].append(path)
            except SymbolNameError as error:
                rejected[_shown(folder, path)] = str(error)
        files: dict[str, tuple[Path, ...]] = {}
        for symbol, paths in sorted(claims.items()):
            if len({path.parent for path in paths}) == len(paths):
                files[symbol] = tuple(paths)
            else:
                names = [_shown(folder, path) for path in paths]
                rejected |= dict.fromkeys(names, f"{' and '.join(names)} are all {symbol} once upper-cased")
        if not files and not rejected:
            raise SourceError("holds no CSV file", where=str(folder), remedy="put one <SYMBOL>.csv per symbol there")
        return cls(parts, timezone, files, rejected, train)

    def discover(self) -> Discovery:
        """Symbols and rejected files as listed at opening."""
        return Discovery(tuple(self.files), self.rejected)

    def read(self, symbol: str) -> pl.DataFrame:
        """Raw bars of `symbol`; the file of a later folder follows, and must agree where it overlaps."""
        first, *later = self._paths(symbol)
        bars = read_bars_csv(first, self.timezone)
        for path in later:
            bars = _continued(bars, read_bars_csv(path, self.timezone), first.parent, path)
        return bars

    def last_train_stamp(self, symbol: str) -> datetime | None:
        """Stamp of the last bar in `train/`; None without such a folder, or where `symbol` is not in it."""
        train = [path for path in self._paths(symbol) if path.parent == self.train]
        last = read_bars_csv(train[0], self.timezone)["timestamp"].max() if train else None
        return last if isinstance(last, datetime) else None

    def fingerprint(self, symbol: str) -> str:
        """Hash of the bytes of the symbol's files."""
        try:
            return value_hash([[path.parent.name, file_digest(path)] for path in self._paths(symbol)])
        except OSError as error:
            raise BarDataError(
                f"cannot be read ({error})", where=symbol, remedy="check that the file is there and readable"
            ) from error

    def part(self, symbol: str) -> str | None:
        """None: folders have no parts."""
        del symbol
        return None

    def _paths(self, symbol: str) -> tuple[Path, ...]:
        name = checked_symbol(symbol)
        if name in self.files:
            return self.files[name]
        where = ", ".join(str(part) for part in self.parts)
        reasons = [reason for file, reason in self.rejected.items() if Path(file.upper()).stem == name]
        if reasons:
            raise SymbolNameError(f"{name} cannot be read: {reasons[0]}", where=where, remedy="keep one file for each symbol")
        raise BarDataError(
            f"there is no file for {name}",
            where=where,
            remedy=f"add {name}.csv, or take {name} out of the universe and out of Dagster with `toto-ops symbols remove`",
        )


@dataclass(frozen=True)
class CombinedSources:
    """The sources of several universes as one.

    Parameters
    ----------
    parts
        Source of each universe, by its name.
    owners
        The universe each symbol comes from. One that several of them have is nobody's, and rejected.
    """

    parts: Mapping[str, BarSource]
    owners: Mapping[str, str]
    rejected: Mapping[str, str]

    @classmethod
    def of(cls, parts: Mapping[str, BarSource]) -> CombinedSources:
        """List every part.

        Raises
        ------
        SourceError
            If one of them holds no symbol that could be told apart.
        """
        found = {name: source.discover() for name, source in parts.items()}
        claims: defaultdict[str, list[str]] = defaultdict(list)
        for name, discovery in found.items():
            for symbol in discovery.symbols:
                claims[symbol].append(name)
        rejected = {f"{name}: {file}": why for name, discovery in found.items() for file, why in discovery.rejected.items()}
        rejected |= {symbol: f"{symbol} is in {' and in '.join(names)}" for symbol, names in claims.items() if len(names) > 1}
        return cls(parts, {symbol: names[0] for symbol, names in sorted(claims.items()) if len(names) == 1}, rejected)

    def discover(self) -> Discovery:
        """Symbols of all parts."""
        return Discovery(tuple(self.owners), self.rejected)

    def read(self, symbol: str) -> pl.DataFrame:
        """Raw bars from the part that has them."""
        return self._owner(symbol).read(symbol)

    def last_train_stamp(self, symbol: str) -> datetime | None:
        """As the part that has the symbol says."""
        return self._owner(symbol).last_train_stamp(symbol)

    def fingerprint(self, symbol: str) -> str:
        """As the part that has the symbol says."""
        return self._owner(symbol).fingerprint(symbol)

    def part(self, symbol: str) -> str | None:
        """Name of the universe the symbol comes from."""
        return self.owners.get(checked_symbol(symbol))

    def _owner(self, symbol: str) -> BarSource:
        name = checked_symbol(symbol)
        if name in self.owners:
            return self.parts[self.owners[name]]
        if name in self.rejected:
            raise SymbolNameError(f"{name} cannot be read: {self.rejected[name]}", remedy="rename it in one of them")
        raise BarDataError(
            f"{name} is in none of {', '.join(self.parts)}",
            remedy="add its file to one of them, or take it out of Dagster with `toto-ops symbols remove`",
        )


def open_source(universe: Universe) -> BarSource:
    """The source a universe is configured with, listed now.

    Raises
    ------
    SourceError
        If it cannot be listed.
    """
    if isinstance(universe.source, CombinedSource):
        return CombinedSources.of({name: open_source(part) for name, part in universe.parts.items()})
    if isinstance(universe.source, SampleSource):
        return CsvFolders.open(SAMPLE_FOLDER / universe.source.folder, added=universe.source.added_folder)
    return CsvFolders.open(universe.source.folder, universe.source.timezone)


def part_of(universe: Universe, source: BarSource, symbol: str) -> Universe:
    """The universe whose calendar, bar, costs and units the data of `symbol` follow."""
    return universe.part(source.part(symbol))


def source_mark(source: BarSource, symbol: str) -> str:
    """What tells whether the source's bars of `symbol` changed: their fingerprint, or why there is none."""
    try:
        return source.fingerprint(symbol)
    except (BarDataError, SymbolNameError) as error:  # concerns this symbol alone: ingest quarantines it and says why
        return f"unreadable: {error.problem}"


def _parts(folder: Path) -> tuple[Path, ...]:
    names = {path.name for path in _listed(folder) if path.is_dir()} & {"train", "test"}
    if not names:
        return (folder,)
    if names != {"train", "test"}:
        missing = ({"train", "test"} - names).pop()
        raise SourceError(
            f"has no {missing}/ beside its other half", where=str(folder), remedy="give both train/ and test/, or neither"
        )
    if any(_is_csv(path) for path in _listed(folder)):
        raise SourceError(
            "holds CSV files beside train/ and test/",
            where=str(folder),
            remedy="move them into train/ or test/, or remove those folders",
        )
    return (folder / "train", folder / "test")


def _continued(earlier: pl.DataFrame, later: pl.DataFrame, folder: Path, path: Path) -> pl.DataFrame:
    """`earlier`, of `folder`, followed by what `later`, read at `path`, adds; where both have bars they must be the same."""
    end = earlier["timestamp"].max()
    overlap = later.filter(pl.col("timestamp") <= end)
    differing = overlap.join(earlier, on=overlap.columns, how="anti", nulls_equal=True)
    if len(differing):
        first = differing.sort("timestamp")["timestamp"][0]
        raise BarDataError(
            f"{len(differing)} bars disagree with those of {folder.name}/, first {first:%Y-%m-%d %H:%M}",
            where=str(path),
            remedy=f"start {path.parent.name}/ after {folder.name}/ ends, or export both from the same source and adjustment",
        )
    return pl.concat([earlier, later.filter(pl.col("timestamp") > end)])


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise SourceError(
            f"cannot be listed ({error.strerror})", where=str(folder), remedy="check the path, the mount and the permissions"
        ) from error


def _shown(folder: Path, path: Path) -> str:
    """The name of a file below `folder`, and the whole path of one in a folder beside it."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def _is_csv(path: Path) -> bool:
    return path.name.lower().endswith(".csv") and not path.is_dir()
