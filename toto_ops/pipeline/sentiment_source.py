"""Published sentiment of a universe: an optional CSV per symbol beside its bars."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from toto_ops.errors import SourceError
from toto_ops.features.sentiment import read_sentiment
from toto_ops.universes import CsvSource, Universe


def sentiment_path(universe: Universe, symbol: str) -> Path | None:
    """The sentiment file of a symbol, or None where there is none.

    Raises
    ------
    SourceError
        If the configured folder is not there: that is not the same as a folder without this symbol.
    """
    if not isinstance(universe.source, CsvSource) or universe.source.sentiment_folder is None:
        return None
    if not universe.source.sentiment_folder.is_dir():
        raise SourceError(
            "is not a folder", where=str(universe.source.sentiment_folder), remedy="restore it, or remove sentiment_folder"
        )
    path = universe.source.sentiment_folder / f"{symbol}.csv"
    return path if path.exists() else None


def published_sentiment(universe: Universe, symbol: str) -> pl.DataFrame | None:
    """What was published on a symbol, or None where there is no file.

    Raises
    ------
    BarDataError
        If the file cannot be read: an unreadable opinion is not the absence of one.
    """
    path = sentiment_path(universe, symbol)
    if path is None or not isinstance(universe.source, CsvSource):
        return None
    return read_sentiment(path.parent, symbol, universe.source.timezone)
