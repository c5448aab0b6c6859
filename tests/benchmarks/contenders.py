"""The markets of the feature benchmark, and who computes the 34-feature states of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toto_ops.features.compute import FeatureConfig, compute_features
from toto_ops.features.panel_builder import build_panel, states
from toto_ops.features.state import ACCOUNT_FEATURES, RETURN_LAGS, SENTIMENT_FEATURES, STATE_FEATURES
from toto_ops.market.calendars import expected_open_times
from toto_ops.market.health import calendar_rows
from toto_ops.market.schema import MOMENT
from toto_ops.universes import Costs, SampleSource, Universe

BARS = 1_000_000


@dataclass(frozen=True)
class Market:
    """A million bars in one shape."""

    name: str
    symbols: int
    calendar: str
    bar: str

    @property
    def length(self) -> int:
        return BARS // self.symbols

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"S{i:05d}" for i in range(self.symbols))

    def universe(self) -> Universe:
        return Universe(
            name="bench",
            asset_class="crypto",
            bar=self.bar,
            source=SampleSource(folder="daily_crypto"),
            calendar=self.calendar,
            periods_per_year=365,
            cadence="0 6 1 * *",
            costs=Costs(commission=0.0),
            volume_unit="base",
            adjustment="none",
        )

    def bars(self) -> pl.DataFrame:
        """Random walks with volume, one block per symbol, all on the same bars of the calendar."""
        rng = np.random.default_rng(0)
        universe, shape = self.universe(), (self.symbols, self.length)
        start = datetime(2000, 1, 3, tzinfo=UTC)
        opens = expected_open_times(universe, start, start + 2 * self.length * universe.bar_length + timedelta(days=9))
        opens = pl.concat([opens.head(self.length)] * self.symbols, rechunk=True)
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, shape), axis=1)).ravel()
        open_ = close * np.exp(rng.normal(0, 0.003, BARS))
        return pl.DataFrame(
            {
                "symbol": np.repeat(self.names, self.length),
                "open_time": opens,
                "close_time": opens + universe.bar_length,
                "open": open_,
                "high": np.maximum(open_, close) * 1.001,
                "low": np.minimum(open_, close) * 0.999,
                "close": close,
                "volume": rng.lognormal(10, 1, BARS),
            }
        )


MARKETS = (
    Market("1,000 symbols, daily, 24/7", 1000, "24/7", "1d"),
    Market("200 symbols, daily, 24/7", 200, "24/7", "1d"),
    Market("200 symbols, daily, XNYS", 200, "XNYS", "1d"),
    Market("8 symbols, 5-minute, 24/7", 8, "24/7", "5m"),
)


def toto_ops_contender(market: Market) -> Callable[[], NDArray[np.float32]]:
    """Bars to features to panel to states `[T, A, 34]`."""
    bars, universe, config = market.bars(), market.universe(), FeatureConfig()

    def run() -> NDArray[np.float32]:
        panel = build_panel(compute_features(bars, universe, None, config), market.names)
        return states(panel, np.zeros((*panel.mask.shape, 4), dtype=np.float32))

    return run


def ta_lib_contender(market: Market) -> Callable[[], NDArray[np.float32]]:
    """The same states `[T, A, 34]` with bare TA-Lib and NumPy on the arrays of one symbol after the other."""
    symbols = _arrays(market)
    universe, config = market.universe(), FeatureConfig()

    def run() -> NDArray[np.float32]:
        grid = np.unique(np.concatenate([symbol["open_time"] for symbol in symbols]))
        out = np.zeros((len(grid), len(symbols), len(STATE_FEATURES)), dtype=np.float32)
        for a, symbol in enumerate(symbols):
            calendar = calendar_rows(pl.Series(symbol["open_time"]).cast(MOMENT), universe).astype(np.int64)
            rows = _ta_lib_states(symbol, calendar, config)
            complete = np.isfinite(rows).all(axis=1)
            out[np.searchsorted(grid, symbol["open_time"])[complete], a] = rows[complete]
        return out[_first_complete(out) :]

    return run


def ta_lib_unaligned_contender(market: Market) -> Callable[[], list[NDArray[np.float32]]]:
    """The same columns, but each symbol left to itself: nothing aligned by time, calendar positions given."""
    symbols = _arrays(market)
    universe, config = market.universe(), FeatureConfig()
    calendars = [calendar_rows(pl.Series(symbol["open_time"]).cast(MOMENT), universe).astype(np.int64) for symbol in symbols]

    def run() -> list[NDArray[np.float32]]:
        return [_ta_lib_states(symbol, calendar, config) for symbol, calendar in zip(symbols, calendars, strict=True)]

    return run


def stockstats_contender(market: Market) -> Callable[[], NDArray[np.float32]]:
    """States `[T, A, 34]` with stockstats and pandas, one symbol after the other, aligned by a pandas reindex."""
    import pandas as pd
    from stockstats import StockDataFrame

    frames = {
        key[0]: table.drop("symbol").to_pandas() for key, table in market.bars().partition_by("symbol", as_dict=True).items()
    }
    universe, config = market.universe(), FeatureConfig()
    regime, health = config.regime, config.health

    def one(frame: pd.DataFrame) -> pd.DataFrame:
        stock = StockDataFrame.retype(frame[["open", "high", "low", "close", "volume"]].copy())
        close = frame["close"]
        returns = np.log(close).diff()
        columns = {f"return_{lag}": returns.shift(lag - 1) for lag in range(1, RETURN_LAGS + 1)}
        columns["rsi"] = stock["rsi_14"] / 100
        columns["macd_signal"] = stock["macds"] / close
        columns["bollinger_width"] = (stock["boll_ub"] - stock["boll_lb"]) / stock["boll"]
        columns["volume_ratio"] = (frame["volume"] / stock["volume_20_sma"]).clip(0, 10)
        columns |= dict.fromkeys(ACCOUNT_FEATURES, 0.0)
        level = np.log(returns.rolling(regime.window).std(ddof=0).clip(lower=1e-6))
        history = level.rolling(regime.history, min_periods=regime.minimum_history)
        unusual = (level - history.mean()) / (regime.threshold * history.std(ddof=0)).clip(lower=np.log1p(regime.minimum_change))
        columns |= {"regime_low": unusual < -1, "regime_normal": unusual.abs() <= 1, "regime_high": unusual > 1}
        calendar = pd.Series(calendar_rows(pl.Series(frame["open_time"]).cast(MOMENT), universe).astype(np.int64))
        size = returns.abs()
        usual = size.rolling(health.window, min_periods=health.jump_history).mean().shift(1)
        faults = (frame["volume"] <= 0, (size == 0) & (frame["high"] == frame["low"]), size > health.jump_multiple * usual)
        span = calendar - calendar.shift(health.window - 1).fillna(calendar.iloc[0]) + 1
        present = span.index.to_series().add(1).clip(upper=health.window)
        shares = (1 - present / span, *(fault.rolling(health.window, min_periods=1).mean() for fault in faults), 1.0)
        columns["data_health"] = 1 - _weighted(shares, config)
        columns |= dict.fromkeys(SENTIMENT_FEATURES, 0.0)
        return pd.DataFrame(columns).set_index(frame["open_time"]).astype(np.float32)

    def run() -> NDArray[np.float32]:
        together = pd.concat({name: one(frame) for name, frame in frames.items()}, names=["symbol"]).swaplevel()
        grid = pd.MultiIndex.from_product([together.index.levels[0], sorted(frames)])
        values = together.dropna().reindex(grid, fill_value=0.0).to_numpy()
        out = values.reshape(-1, len(frames), len(STATE_FEATURES))
        return out[_first_complete(out) :]

    return run


def _arrays(market: Market) -> list[dict[str, NDArray[np.generic]]]:
    names = ("open_time", "high", "low", "close", "volume")
    tables = market.bars().partition_by("symbol", maintain_order=True)
    return [{name: table[name].to_physical().to_numpy().copy() for name in names} for table in tables]


def _ta_lib_states(symbol: dict[str, NDArray[Any]], calendar: NDArray[np.int64], config: FeatureConfig) -> NDArray[np.float32]:
    """States `[T, 34]` of one symbol, NaN where a look-back is incomplete."""
    import talib

    high, low, close, volume = (symbol[name] for name in ("high", "low", "close", "volume"))
    regime, health, window = config.regime, config.health, config.health.window
    column = {name: i for i, name in enumerate(STATE_FEATURES)}
    out = np.zeros((len(close), len(STATE_FEATURES)), dtype=np.float32)
    returns = np.diff(np.log(close), prepend=np.nan)
    for lag in range(RETURN_LAGS):
        out[:lag, lag] = np.nan
        out[lag:, lag] = returns[: len(returns) - lag]
    out[:, column["rsi"]] = talib.RSI(close, 14) / 100
    out[:, column["macd_signal"]] = talib.MACD(close, 12, 26, 9)[1] / close
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    out[:, column["bollinger_width"]] = (upper - lower) / middle
    out[:, column["volume_ratio"]] = np.clip(volume / talib.SMA(volume, 20), 0, 10)

    # TA-Lib has no windows that grow, so regimes begin with a full history instead of the minimum one.
    level = np.log(np.maximum(talib.STDDEV(returns, regime.window), 1e-6))
    margin = np.maximum(regime.threshold * talib.STDDEV(level, regime.history), np.log1p(regime.minimum_change))
    unusual = (level - talib.SMA(level, regime.history)) / margin
    out[:, column["regime_low"]] = unusual < -1
    out[:, column["regime_normal"]] = np.abs(unusual) <= 1
    out[:, column["regime_high"]] = unusual > 1

    size = np.abs(returns)
    present = np.minimum(np.arange(1, len(close) + 1), window)
    expected = calendar - calendar[np.maximum(0, np.arange(len(close)) - window + 1)] + 1
    jump = np.zeros(len(close), dtype=bool)
    jump[1:] = size[1:] > health.jump_multiple * talib.SMA(size, window)[:-1]
    faults = (volume <= 0, (size == 0) & (high == low), jump)
    shares = (1 - present / expected, *(_trailing(fault, window) / present for fault in faults), 1.0)
    out[:, column["data_health"]] = 1 - _weighted(shares, config)
    return out


def _trailing(flags: NDArray[np.bool_], window: int) -> NDArray[np.int64]:
    total = np.cumsum(flags)
    total[window:] -= total[:-window].copy()
    return total


def _weighted(shares: tuple[Any, ...], config: FeatureConfig) -> Any:
    faults = config.health.faults
    lost = sum(fault.weight * np.minimum(1, share / fault.intolerable) for fault, share in zip(faults, shares, strict=True))
    return lost / sum(fault.weight for fault in faults)


def _first_complete(states_: NDArray[np.float32]) -> int:
    return int(states_.any(axis=(1, 2)).argmax())


CONTENDERS: dict[str, Callable[[Market], Callable[[], object]]] = {
    "toto-ops": toto_ops_contender,
    "TA-Lib": ta_lib_contender,
    "TA-Lib, unaligned": ta_lib_unaligned_contender,
    "stockstats": stockstats_contender,
}
