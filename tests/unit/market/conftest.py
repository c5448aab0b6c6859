"""Real bars of one stock, and a universe that reads CSV files from a temporary folder."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from toto_ops.configuration import Settings
from toto_ops.market.sources import open_source
from toto_ops.universes import CsvSource, Universe, load_universes

AS_OF = datetime(2015, 12, 31, 23, tzinfo=UTC)


@pytest.fixture(scope="session")
def as_of() -> datetime:
    """Shortly after the last of `sound_bars` closed."""
    return AS_OF


@pytest.fixture(scope="session")
def bundled_universes() -> dict[str, Universe]:
    """The shipped universes over the bundled bars alone, whatever a developer has put beside them."""
    return {name: bundled_alone(universe) for name, universe in load_universes(Settings()).universes.items()}


def bundled_alone(universe: Universe) -> Universe:
    return universe.model_copy(update={"source": universe.source.model_copy(update={"added": None})})


@pytest.fixture(scope="session")
def sound_bars(bundled_universes) -> pl.DataFrame:
    """Raw daily bars of AAPL of 2014 and 2015, without a fault."""
    bars = open_source(bundled_universes["stocks"]).read("AAPL")
    return bars.filter(pl.col("timestamp").dt.year().is_in([2014, 2015]))


@pytest.fixture
def csv_universe(bundled_universes, tmp_path) -> Universe:
    """Stocks read from `<tmp_path>/feed`, whatever is there."""
    folder = tmp_path / "feed"
    folder.mkdir()
    changes = {"source": CsvSource(folder=folder), "symbols": None}
    return bundled_universes["stocks"].model_copy(update=changes)


@pytest.fixture
def feed(csv_universe, tmp_path) -> Callable[[str, pl.DataFrame], Path]:
    """Write a table as one symbol's CSV."""

    def write(symbol: str, bars: pl.DataFrame) -> Path:
        path = tmp_path / "feed" / f"{symbol}.csv"
        bars.write_csv(path)
        return path

    return write
