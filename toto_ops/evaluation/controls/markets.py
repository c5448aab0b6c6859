"""Bars of markets made for a purpose: random walks, real bars without their order, and planted trends.

All are put together in the same way from two simple returns per bar, from close to open and from open to close. Every
generator is handed its random numbers, so that a market is a function of its seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toto_ops.errors import InsufficientDataError
from toto_ops.market.sources import SAMPLE_FOLDER, CsvFolders

Array = NDArray[np.float64]
AssetClass = Literal["stock", "crypto"]

FIRST_CLOSE = 100.0
MONEY_TRADED = 1e12
"""Usual money traded per bar: so much that the size of our own trades does not matter. What trading costs in a thin market
is another question than whether skill can be told from luck."""

USUAL_VOLATILITY: dict[AssetClass, float] = {"stock": 0.018, "crypto": 0.045}
"""Standard deviation of the daily returns of the bundled bars, about."""

VOLUME_LOOKBACK = 20
DEGREES_OF_FREEDOM = 4.0
"""Tails of random walks: daily returns of stocks and coins have a kurtosis like that of Student's t with 3 to 5."""
SHARED = 0.5
"""Share of the variance of random walks that all symbols have in common."""
STEPS_PER_BAR = 8
"""Prices of a random walk within one bar, from which its high and low follow."""
LARGEST_STEP = 5.0
"""Bound of a step of a random walk, in deviations of an ordinary one. It cuts both sides alike, so that nothing is earned by
it; and a wild bar of stocks stays below a third, where checks of quality would take it for an unadjusted split."""


@dataclass(frozen=True)
class MarketBars:
    """Bars of `A` symbols that all trade at the same `T` moments.

    Attributes
    ----------
    symbols
        `A` names, sorted.
    open_time
        `[T]` moments, UTC: what a source calls the timestamp.
    open, high, low, close, volume
        `[T, A]` float64; volume in units of the symbol.
    """

    symbols: tuple[str, ...]
    open_time: pl.Series
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array

    def write(self, folder: Path, *, volume_unit: Literal["base", "quote"]) -> None:
        """Write one CSV per symbol, as a source that is to be read by ingest."""
        folder.mkdir(parents=True, exist_ok=True)
        volume = self.volume * self.close if volume_unit == "quote" else self.volume
        stamps = self.open_time.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        for column, symbol in enumerate(self.symbols):
            bars = {"open": self.open, "high": self.high, "low": self.low, "close": self.close, "volume": volume}
            table = pl.DataFrame({"timestamp": stamps} | {name: values[:, column] for name, values in bars.items()})
            table.write_csv(folder / f"{symbol}.csv")


@dataclass(frozen=True)
class Legs:
    """A market as returns and shapes, all `[T, A]` float64; the price level follows from them.

    Attributes
    ----------
    gap, body
        Simple returns from the last close to the open, and from the open to the close.
    above, below
        High over the larger, and low over the smaller, of open and close.
    activity
        Volume relative to what is usual.
    """

    gap: Array
    body: Array
    above: Array
    below: Array
    activity: Array

    def rows(self, chosen: NDArray[np.intp]) -> Legs:
        """The same market with other bars, or its bars in another order."""
        return Legs(*(values[chosen] for values in (self.gap, self.body, self.above, self.below, self.activity)))

    def bars(self, symbols: tuple[str, ...], open_time: pl.Series) -> MarketBars:
        """Prices from a first close of 100."""
        close = FIRST_CLOSE * _compounded((1 + self.gap) * (1 + self.body))
        opened = close / (1 + self.body)
        return MarketBars(
            symbols=symbols,
            open_time=open_time,
            open=opened,
            high=np.maximum(opened, close) * self.above,
            low=np.minimum(opened, close) * self.below,
            close=close,
            volume=MONEY_TRADED * self.activity / close,
        )


@dataclass(frozen=True)
class PlantedTrends:
    """Trends that last: each symbol drifts up or down at a constant rate and turns at random, each on its own.

    Attributes
    ----------
    drift
        Mean log return per bar, up or down.
    noise
        Standard deviation of the log return per bar around it.
    turn
        Probability per bar of turning.
    """

    drift: float
    noise: float
    turn: float

    def legs(self, bars: int, symbols: int, generator: np.random.Generator) -> tuple[Legs, NDArray[np.bool_]]:
        """A market of `T` bars of `A` symbols, and `[T, A]` whether each was rising during each bar.

        The first direction is drawn from the stationary distribution, which is even. Every bar opens at the last close.
        """
        shape = (bars, symbols)
        turns = generator.random(shape) < self.turn
        rising = (np.cumsum(turns, axis=0) + generator.integers(0, 2, symbols)) % 2 == 0
        returns = np.where(rising, self.drift, -self.drift) + self.noise * generator.standard_normal(shape)
        reach = self.noise * generator.random((2, *shape))
        legs = Legs(
            gap=np.zeros(shape),
            body=np.expm1(returns),
            above=1 + reach[0],
            below=1 / (1 + reach[1]),
            activity=_activity(shape, generator),
        )
        return legs, rising


def random_walk(bars: int, symbols: int, volatility: float, generator: np.random.Generator) -> Legs:
    """Prices whose every change has mean 0, whatever came before: no decision earns anything, before costs.

    Simple returns are symmetric around 0, fat-tailed and correlated between the symbols; prices are martingales.

    Parameters
    ----------
    volatility
        Standard deviation of the return per bar, about.
    """
    shape = (bars, symbols)
    # A bar as a whole is calm or wild: that is what gives Student's t, and it leaves every step symmetric.
    wildness = np.sqrt((DEGREES_OF_FREEDOM - 2) / generator.chisquare(DEGREES_OF_FREEDOM, (bars, 1, 1)))
    common = generator.standard_normal((bars, STEPS_PER_BAR, 1))
    own = generator.standard_normal((bars, STEPS_PER_BAR, symbols))
    ordinary = volatility / math.sqrt(STEPS_PER_BAR)
    steps = ordinary * wildness * (math.sqrt(SHARED) * common + math.sqrt(1 - SHARED) * own)
    steps = np.clip(steps, -LARGEST_STEP * ordinary, LARGEST_STEP * ordinary)
    path = np.asarray(np.cumprod(1 + steps, axis=1), dtype=np.float64)
    last = path[:, -1]
    return Legs(
        gap=np.zeros(shape),
        body=last - 1,
        above=np.maximum(path.max(axis=1), 1.0) / np.maximum(last, 1.0),
        below=np.minimum(path.min(axis=1), 1.0) / np.minimum(last, 1.0),
        activity=_activity(shape, generator),
    )


def shuffled(real: Legs, bars: int, generator: np.random.Generator) -> Legs:
    """Real bars without mean and order: `bars` of them, drawn without replacement, the same ones for all symbols.

    Both returns of a bar lose their mean over all real bars first. Money is earned from open to open, by the body of one
    bar and the gap of another; these do not know of each other once the order is gone, so that product has mean 1 as well.
    What symbols did together, the tails, and the shapes of bars stay as they were.
    """
    order = generator.permutation(len(real.gap))[:bars]
    centred = Legs(real.gap - real.gap.mean(axis=0), real.body - real.body.mean(axis=0), real.above, real.below, real.activity)
    return centred.rows(order)


@lru_cache(maxsize=2)
def real_legs(asset_class: AssetClass, symbols: int) -> tuple[tuple[str, ...], Legs]:
    """The bundled daily bars of the symbols with the longest histories, over the days all of them share.

    Raises
    ------
    InsufficientDataError
        If fewer symbols are bundled.
    """
    folder = SAMPLE_FOLDER / {"stock": "daily_stocks", "crypto": "daily_crypto"}[asset_class]
    source = CsvFolders.open(folder)
    histories = {symbol: source.read(symbol) for symbol in source.discover().symbols}
    if len(histories) < symbols:
        raise InsufficientDataError(f"{len(histories)} symbols are bundled, {symbols} are needed", where=str(folder))
    chosen = tuple(sorted(sorted(histories, key=lambda symbol: (-len(histories[symbol]), symbol))[:symbols]))
    stacked = pl.concat(_shapes(histories[symbol], symbol) for symbol in chosen)
    common = stacked.filter(pl.len().over("timestamp") == symbols).sort("timestamp", "symbol")
    parts = (common[name].to_numpy().reshape(-1, symbols) for name in ("gap", "body", "above", "below", "activity"))
    return chosen, Legs(*parts)


def _shapes(bars: pl.DataFrame, symbol: str) -> pl.DataFrame:
    """Returns and shapes of one symbol's bars, without those before its volume was reported."""
    before, last = pl.col("close").shift(1), pl.col("close")
    usual = pl.col("volume").rolling_mean(VOLUME_LOOKBACK)
    table = bars.select(
        "timestamp",
        symbol=pl.lit(symbol),
        gap=pl.col("open") / before - 1,
        body=last / pl.col("open") - 1,
        above=pl.col("high") / pl.max_horizontal("open", "close"),
        below=pl.col("low") / pl.min_horizontal("open", "close"),
        activity=pl.col("volume") / usual,
    )
    return table.filter(pl.all_horizontal(pl.exclude("timestamp", "symbol").is_finite()))


def _compounded(growth: Array) -> Array:
    return np.asarray(np.cumprod(growth, axis=0), dtype=np.float64)


def _activity(shape: tuple[int, int], generator: np.random.Generator) -> Array:
    return np.exp(0.3 * generator.standard_normal(shape))
