"""Where pretraining reads its bars from: memory, or Parquet files far larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from toto_ops.errors import StorageError
from toto_ops.features.moments import to_utc64
from toto_ops.forecasting.series import BarSeries, series_of
from toto_ops.learning.splits import Span

_COLUMNS = ("close_time", "high", "low", "close", "volume")


class SeriesSource(Protocol):
    """The bars of several symbols, any stretch of which can be asked for."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """In alphabetical order."""

    def rows(self, symbol: str, span: Span) -> range:
        """Which bars of a symbol close within a span, counted from its first one."""

    def read(self, symbol: str, rows: range) -> BarSeries:
        """Some bars of a symbol, one after the other."""


class SeriesInMemory:
    """Bars that are in memory already."""

    def __init__(self, series: Sequence[BarSeries]) -> None:
        self._series = {one.symbol: one for one in sorted(series, key=lambda one: one.symbol)}
        if len(self._series) != len(series):
            raise ValueError("a symbol has more than one series")

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self._series)

    def rows(self, symbol: str, span: Span) -> range:
        bounds = np.array([to_utc64(span.after), to_utc64(span.until)])
        first, stop = np.searchsorted(self._series[symbol].close_time, bounds, side="right").tolist()
        return range(first, stop)

    def read(self, symbol: str, rows: range) -> BarSeries:
        return self._series[symbol].take(slice(rows.start, rows.stop))


class ParquetSeries:
    """Bars in Parquet files, one of `BAR_SCHEMA` per symbol, of which no more is read than is asked for.

    A read decodes the row groups that hold its bars, one at a time, and keeps those bars alone.

    Raises
    ------
    StorageError
        By `rows` and `read`, if a file is missing or damaged; it names the file.
    BarDataError
        By `read`, if a bar has values no forecast can be made from.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = dict(sorted(files.items()))

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self._files)

    def rows(self, symbol: str, span: Span) -> range:
        closed = [(pl.col("close_time") <= moment).sum().alias(name) for name, moment in span]
        with self._named(symbol):
            first, stop = pl.scan_parquet(self._files[symbol]).select(closed).collect(engine="streaming").row(0)
        return range(first, stop)

    def read(self, symbol: str, rows: range) -> BarSeries:
        with self._named(symbol):
            bars = pl.scan_parquet(self._files[symbol]).select(_COLUMNS).slice(rows.start, len(rows)).collect(engine="streaming")
        return series_of(symbol, bars)

    @contextmanager
    def _named(self, symbol: str) -> Iterator[None]:
        try:
            yield
        except (OSError, pl.exceptions.PolarsError) as error:
            raise StorageError(
                f"bars of {symbol} cannot be read ({error})",
                where=str(self._files[symbol]),
                remedy="ingest the bars of this symbol again",
            ) from error
