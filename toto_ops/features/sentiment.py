"""Published sentiment: read per symbol, and joined to a bar only once it was public at that bar's close."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
from pydantic import Field

from toto_ops.configuration import StrictModel
from toto_ops.errors import BarDataError
from toto_ops.features.state import SENTIMENT_FEATURES
from toto_ops.market.schema import MOMENT
from toto_ops.market.timestamps import StampColumn, parse_timestamps

SENTIMENT_COLUMNS = ("published_at", *SENTIMENT_FEATURES)
SENTIMENT_SCHEMA = pl.Schema({"symbol": pl.String(), "published_at": MOMENT} | dict.fromkeys(SENTIMENT_FEATURES, pl.Float64()))
"""What `read_sentiment` returns."""


class SentimentConfig(StrictModel):
    """How long a published word counts."""

    max_age_days: float = Field(default=30.0, gt=0, description="older sentiment counts as none")


def read_sentiment(folder: Path, symbol: str, timezone: str = "UTC") -> pl.DataFrame:
    """Read `<symbol>.csv` with the columns `published_at, news_sentiment, macro_sentiment`.

    A cell may be empty: a publication may concern the news or the economy alone.

    Parameters
    ----------
    folder
        Where the files of all symbols lie.
    timezone
        IANA zone of timestamps that carry none.

    Returns
    -------
    pl.DataFrame
        `SENTIMENT_SCHEMA`, sorted by publication; of two words at the same moment the later line counts.

    Raises
    ------
    BarDataError
        If the file cannot be read, lacks a column, or holds a timestamp or number that cannot be understood, or a
        sentiment outside [-1, 1].
    """
    path = folder / f"{symbol}.csv"
    try:
        text = pl.read_csv(path, infer_schema=False, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BarDataError(
            f"cannot be read ({str(error).splitlines()[0]})", where=str(path), remedy="save the sentiment as a UTF-8 CSV file"
        ) from error
    text = text.rename(lambda name: name.strip().lower())
    missing = [name for name in SENTIMENT_COLUMNS if name not in text.columns]
    if missing or text.is_empty():
        raise BarDataError(
            f"lacks the columns {', '.join(missing)}" if missing else "has no rows",
            where=str(path),
            remedy=f"give {', '.join(SENTIMENT_COLUMNS)}, or remove the file: absent sentiment is allowed",
        )
    stripped = pl.col(*SENTIMENT_COLUMNS).str.strip_chars()
    cells = text.select(pl.when(stripped != "").then(stripped))
    lines = pl.Series("line", range(2, cells.height + 2))
    published = parse_timestamps(StampColumn(cells["published_at"], lines, str(path)), timezone)
    values = [_sentiment(cells[name], path) for name in SENTIMENT_FEATURES]
    table = pl.DataFrame([pl.repeat(symbol, cells.height, eager=True).alias("symbol"), published.alias("published_at"), *values])
    return table.sort("published_at", maintain_order=True)


def with_sentiment(bars: pl.DataFrame, sentiment: pl.DataFrame | None, config: SentimentConfig) -> pl.DataFrame:
    """Bars with the latest sentiment published by each close, and whether there was any.

    Parameters
    ----------
    bars
        `[N]` canonical bars with `symbol`: one block per symbol, increasing in time within it.
    sentiment
        `SENTIMENT_SCHEMA` of any symbols, or None.

    Returns
    -------
    pl.DataFrame
        `bars` in the same order with `news_sentiment`, `macro_sentiment` (Float64, 0 where there is none) and
        `has_sentiment` (bool: either was published by the close, and not too long ago).
    """
    if sentiment is None:
        return bars.with_columns(*(pl.lit(0.0).alias(name) for name in SENTIMENT_FEATURES), has_sentiment=pl.lit(value=False))
    for name in SENTIMENT_FEATURES:
        words = sentiment.select("symbol", "published_at", name).drop_nulls().sort("published_at", maintain_order=True)
        bars = bars.join_asof(
            words,
            left_on="close_time",
            right_on="published_at",
            by="symbol",
            strategy="backward",
            tolerance=timedelta(days=config.max_age_days),
            coalesce=True,
            check_sortedness=False,
        ).drop("published_at", strict=False)
    known = pl.any_horizontal(pl.col(*SENTIMENT_FEATURES).is_not_null())
    return bars.with_columns(has_sentiment=known).with_columns(pl.col(*SENTIMENT_FEATURES).fill_null(0.0))


def _sentiment(cells: pl.Series, path: Path) -> pl.Series:
    values = cells.cast(pl.Float64, strict=False)
    sound = (values.abs() <= 1.0).fill_null(value=False) | cells.is_null()
    bad = (~sound).arg_true()
    if len(bad):
        raise BarDataError(
            f"line {bad[0] + 2}, column {cells.name}: {cells[bad[0]]!r:.60} is no sentiment ({len(bad)} such lines)",
            where=str(path),
            remedy="write numbers from -1 to 1, or leave the cell empty",
        )
    return values
