"""Bars of made-up symbols with everything real feeds do: gaps, holes, standing prices, no volume, jumps, late starts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from toto_ops.features.reference import SymbolBars, Word
from toto_ops.features.sentiment import SENTIMENT_SCHEMA
from toto_ops.market.calendars import expected_open_times, with_bar_times
from toto_ops.market.health import calendar_rows
from toto_ops.market.schema import BAR_SCHEMA
from toto_ops.market.sources import open_source
from toto_ops.universes import Costs, SampleSource, Universe

START = datetime(2022, 1, 3, tzinfo=UTC)


def make_universe(calendar: str = "24/7", bar: str = "1d") -> Universe:
    return Universe(
        name="tried",
        asset_class="stock" if calendar == "XNYS" else "crypto",
        bar=bar,
        source=SampleSource(folder="daily_stocks" if calendar == "XNYS" else "daily_crypto"),
        calendar=calendar,
        periods_per_year=252,
        cadence="0 6 1 * *",
        costs=Costs(commission=0.0),
        volume_unit="base",
        adjustment="split",
    )


DAILY = make_universe()
STOCKS = make_universe("XNYS")


def bars_of(symbol: str, close: np.ndarray, volume: np.ndarray | None = None, universe: Universe = DAILY) -> pl.DataFrame:
    """Bars of given closes on consecutive bars of the calendar; high and low a little around."""
    close = np.asarray(close, dtype=np.float64)
    opens = expected_open_times(universe, START, START + timedelta(days=2 * len(close) + 10)).head(len(close))
    volume = np.full(len(close), 1000.0) if volume is None else np.asarray(volume, dtype=np.float64)
    prices = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": volume}
    times = {"open_time": opens, "close_time": opens + universe.bar_length}
    return pl.DataFrame(times | prices, schema=BAR_SCHEMA).select(pl.lit(symbol).alias("symbol"), pl.all())


def random_bars(seed: int, length: int = 160, symbol: str = "S0") -> pl.DataFrame:
    """One symbol of `length` daily bars at most, from a unit of price between 1e-8 and 1e5."""
    rng = np.random.default_rng(seed)
    volatility = np.exp(np.repeat(rng.normal(-4, 0.8, length // 20 + 1), 20)[:length])
    moves = rng.normal(0, 1, length) * volatility
    moves[rng.random(length) < 0.01] += rng.choice([-1.2, 1.2])
    quiet = int(rng.integers(0, length - 30))
    standing = np.zeros(length, dtype=bool)
    if rng.random() < 0.5:
        standing[quiet : quiet + int(rng.integers(5, 30))] = True
    moves[standing] = 0.0
    close = 10 ** rng.uniform(-8, 5) * np.exp(np.cumsum(moves))
    volume = rng.lognormal(8, 1, length) * (rng.random(length) > 0.1)
    table = bars_of(symbol, close, volume)
    flat = pl.Series(standing)
    table = table.with_columns(pl.when(flat).then("close").otherwise(name).alias(name) for name in ("high", "low"))
    return table.filter(pl.Series(rng.random(length) > (0.1 if rng.random() < 0.5 else 0.0)))


def random_sentiment(seed: int, symbol: str = "S0", words: int = 12, days: int = 200) -> pl.DataFrame:
    """Words of news, of macro, or of both, at odd moments over the first days."""
    rng = np.random.default_rng(seed)
    published = [START + timedelta(seconds=int(second)) for second in np.sort(rng.integers(0, days * 86400, words))]
    rows = {"symbol": [symbol] * words, "published_at": published}
    kind = rng.integers(0, 3, words)
    news = [None if k == 1 else float(v) for k, v in zip(kind, rng.uniform(-1, 1, words), strict=True)]
    macro = [None if k == 2 else float(v) for k, v in zip(kind, rng.uniform(-1, 1, words), strict=True)]
    return pl.DataFrame(rows | {"news_sentiment": news, "macro_sentiment": macro}, schema=SENTIMENT_SCHEMA)


def real_bars(universe: Universe, *symbols: str, last: int = 400) -> pl.DataFrame:
    """The newest real bars of bundled symbols."""
    source = open_source(universe)
    tables = [with_bar_times(source.read(symbol), universe).tail(last) for symbol in symbols]
    return pl.concat(
        table.select(pl.lit(symbol).alias("symbol"), pl.all()) for symbol, table in zip(symbols, tables, strict=True)
    )


def as_lists(bars: pl.DataFrame, universe: Universe = DAILY) -> SymbolBars:
    """One symbol's bars as the reference takes them."""
    return SymbolBars(
        close_time=bars["close_time"].to_list(),
        high=bars["high"].to_list(),
        low=bars["low"].to_list(),
        close=bars["close"].to_list(),
        volume=bars["volume"].to_list(),
        calendar_row=calendar_rows(bars["open_time"], universe).tolist(),
    )


def as_words(sentiment: pl.DataFrame) -> list[Word]:
    return [Word(*row) for row in sentiment.select("published_at", "news_sentiment", "macro_sentiment").rows()]
