"""Markets to be cut off or rewritten at a moment: bars and published sentiment, real and made up, of one market and of two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import polars as pl

from tests.unit.features.bar_histories import DAILY, STOCKS, random_bars, random_sentiment, real_bars
from toto_ops.features.compute import FeatureConfig, compute_features
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.features.panel_builder import build_panel
from toto_ops.universes import Universe

CONFIG = FeatureConfig()
SHARES, COINS = ("AAPL", "NVDA"), ("BTCUSD", "ETHUSD", "XRPUSD")
CUTS = 2
TRADED_ROWS = 150
"""Rows at the end of each panel that are traded on; those before give baselines something to look back on."""

Rewrite = Callable[["Market", np.datetime64], "Market"]


@dataclass(frozen=True)
class Market:
    """Bars of symbols by the universe they follow, and what was published on them."""

    bars: dict[str, pl.DataFrame]
    sentiment: pl.DataFrame | None = None

    def features(self) -> pl.DataFrame:
        """All that is computed from each symbol's own bars."""
        return pl.concat(compute_features(bars, UNIVERSES[name], self.sentiment, CONFIG) for name, bars in self.bars.items())

    @cached_property
    def panel(self) -> Panel:
        calendars = {symbol: UNIVERSES[name].calendar for name, bars in self.bars.items() for symbol in bars["symbol"].unique()}
        return build_panel(self.features(), tuple(calendars), calendars=calendars)

    @property
    def traded_after(self) -> datetime:
        """Where backtests begin."""
        return to_aware(self.panel.close_time[[-TRADED_ROWS]])[0]

    def cuts(self) -> list[np.datetime64]:
        """Closes at which every symbol has a bar that has not ended for good: there, and only there, a feed that stops for
        a while cannot be taken for one that has ended. Whether a feed has ended is a fact of the listing, like a split date."""
        panel = self.panel
        rows = np.arange(panel.rows)[:, None]
        gone = panel.ended & (rows > np.where(panel.mask, rows, -1).max(axis=0))
        sound = np.flatnonzero((panel.mask | gone).all(axis=1))
        sound = sound[(sound > panel.rows - TRADED_ROWS + 50) & (sound < panel.rows - 5)]
        return list(panel.close_time[sound[np.linspace(0, len(sound) - 1, CUTS).astype(int)]])


UNIVERSES: dict[str, Universe] = {"coins": DAILY, "shares": STOCKS}


def random_market() -> Market:
    """Four symbols with holes, standing prices, jumps and words; one starts late, one pauses for days, one ends early."""
    tables = [random_bars(seed, 450, f"S{seed}") for seed in range(4)]
    tables[1] = tables[1].slice(60)
    tables[2] = pl.concat([tables[2].head(-70), tables[2].tail(60)])
    tables[3] = tables[3].head(-40)
    words = pl.concat(random_sentiment(seed, f"S{seed}", words=90, days=450) for seed in range(4))
    return Market({"coins": pl.concat(tables)}, words)


def real_market() -> Market:
    return Market({"coins": real_bars(DAILY, *COINS, last=500)})


def two_markets() -> Market:
    """Real coins, which trade at all hours, beside real shares, which do not."""
    coins, shares = real_bars(DAILY, *COINS[:2], last=5000), real_bars(STOCKS, *SHARES, last=5000)
    until = min(coins["close_time"].max(), shares["close_time"].max())  # type: ignore[type-var]
    around = pl.col("close_time").is_between(until - timedelta(days=500), until)  # type: ignore[operator]
    return Market({"coins": coins.filter(around), "shares": shares.filter(around)})


MARKETS: dict[str, Callable[[], Market]] = {"random": random_market, "real": real_market, "two markets": two_markets}


def utc(moment: np.datetime64) -> pl.Expr:
    return pl.lit(moment.item()).dt.replace_time_zone("UTC")


def without_the_future(market: Market, cut: np.datetime64) -> Market:
    """What could be known at `cut`: the bars that had closed and the words that had been published."""
    words = None if market.sentiment is None else market.sentiment.filter(pl.col("published_at") <= utc(cut))
    return Market({name: bars.filter(pl.col("close_time") <= utc(cut)) for name, bars in market.bars.items()}, words)


def with_another_future(market: Market, cut: np.datetime64) -> Market:
    """The same past, and prices, volumes and words of an ordinary other history after it."""
    rng = np.random.default_rng(7)

    def rewritten(bars: pl.DataFrame) -> pl.DataFrame:
        drift = pl.Series(np.exp(rng.normal(0.0, 0.05, bars.height)))
        return _rewritten(bars, cut, price=pl.lit(drift), volume=pl.lit(pl.Series(rng.lognormal(0, 1, bars.height))))

    return Market({name: rewritten(bars) for name, bars in market.bars.items()}, _contradicted(market.sentiment, cut))


def with_a_wild_future(market: Market, cut: np.datetime64) -> Market:
    """The same past, and prices three times as high or as low after it, bar by bar, in a market without volume."""
    swing = pl.when(pl.int_range(pl.len()) % 2 == 0).then(3.0).otherwise(1.0 / 3.0)
    bars = {name: _rewritten(table, cut, price=swing, volume=pl.lit(0.0)) for name, table in market.bars.items()}
    return Market(bars, _contradicted(market.sentiment, cut))


REWRITES: dict[str, Rewrite] = {
    "no future": without_the_future,
    "another future": with_another_future,
    "a wild future": with_a_wild_future,
}


def _rewritten(bars: pl.DataFrame, cut: np.datetime64, *, price: pl.Expr, volume: pl.Expr) -> pl.DataFrame:
    later = pl.col("close_time") > utc(cut)
    prices = [pl.when(later).then(pl.col(name) * price).otherwise(name).alias(name) for name in ("open", "high", "low", "close")]
    return bars.with_columns(*prices, volume=pl.when(later).then(pl.col("volume") * volume).otherwise("volume"))


def _contradicted(words: pl.DataFrame | None, cut: np.datetime64) -> pl.DataFrame | None:
    if words is None:
        return None
    later, values = pl.col("published_at") > utc(cut), ("news_sentiment", "macro_sentiment")
    return words.with_columns(pl.when(later).then(-pl.col(name)).otherwise(name).alias(name) for name in values)


def changed_features(one: pl.DataFrame, other: pl.DataFrame, until: np.datetime64) -> set[str]:
    """Columns of two tables of features that differ on bars that closed by a moment."""
    past = [table.filter(pl.col("close_time") <= utc(until)).sort("symbol", "close_time") for table in (one, other)]
    if past[0].height != past[1].height:
        return {"number of bars"}
    return {name for name in one.columns if not past[0][name].equals(past[1][name], null_equal=True)}


def changed_arrays(one: Panel, other: Panel, until: np.datetime64) -> set[str]:
    """What differs between two panels on rows that had ended by a moment: every array that has rows, by introspection,
    and for features and context the names of those that differ."""
    if one.symbols != other.symbols:
        return {"symbols"}
    found = set()
    for name, (mine, theirs) in rows_of(one, other).items():
        past = [values[: int(np.searchsorted(panel.close_time, until, side="right"))] for panel, values in
                ((one, mine), (other, theirs))]  # fmt: skip
        if not same(*past):
            names = {"features": one.feature_names, "context": one.context_names}.get(name)
            found |= {name} if names is None else {names[f] for f in range(len(names)) if not same(*(p[..., f] for p in past))}
    return found


def rows_of(one: object, other: object) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Every array of two dataclasses whose first axis is that of their `close_time`."""
    arrays = {}
    for field in fields(one):  # type: ignore[arg-type]
        pair = getattr(one, field.name), getattr(other, field.name)
        lengths = tuple(len(side.close_time) for side in (one, other))  # type: ignore[attr-defined]
        if all(isinstance(values, np.ndarray) for values in pair) and tuple(len(values) for values in pair) == lengths:
            arrays[field.name] = pair
    return arrays


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal to the bit; NaN equals NaN."""
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def stamped(panel: Panel) -> Panel:
    """The panel with the number of its row in place of everything that is known at a close."""
    row = np.arange(panel.rows)

    def told(values: np.ndarray) -> np.ndarray:
        stamps = np.broadcast_to(row.reshape(-1, *[1] * (values.ndim - 1)), values.shape).astype(values.dtype)
        return np.ascontiguousarray(stamps)

    everything = ("features", "context", "volatility", "traded_value", "forecast", "embedding")
    known = {name: told(getattr(panel, name)) for name in everything}
    return replace(panel, **known, open=told(panel.open) * 2 + 1000, close=told(panel.close) * 2 + 1001)
