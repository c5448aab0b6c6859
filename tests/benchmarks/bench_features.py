"""Features and 34-feature states of a million bars, beside bare TA-Lib on arrays and beside stockstats.

Every contender runs in a process of its own on the same bars, so that its peak memory is its own. The two that claim
the same outputs are compared number by number before any time is believed. Run it with `make bench`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
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
SECONDS, GIGABYTES, TIMES_TA_LIB, TIMES_PANDAS = 2.0, 2.0, 4.0, 10.0
"""What is required: at most, at most, at most, at least."""

PATIENCE = 20.0
"""Seconds after which a slow contender is not repeated any more."""

RESULT = Path("build/benchmarks/features.json")


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


@dataclass(frozen=True)
class Measured:
    """One contender on one market."""

    contender: str
    market: str
    best_s: float
    median_s: float
    cpu_s: float
    peak_gb: float
    """Peak resident memory of the process above what it held before the first run, bars and libraries included there."""
    process_gb: float
    """Peak resident memory of the whole process."""


@dataclass(frozen=True)
class Figure:
    """What was measured against what is required."""

    name: str
    measured: float
    required: float
    met: bool


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


def measure(contender: str, market: Market, repeats: int) -> Measured:
    """Run one contender in this process; the first run, which warms calendars and allocators, is not counted."""
    run = CONTENDERS[contender](market)
    before = _peak_gb()
    run()
    wall, cpu = [], []
    while len(wall) < repeats and sum(wall) < PATIENCE:
        start, cpu_start = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    peak = _peak_gb()
    return Measured(contender, market.name, min(wall), statistics.median(wall), min(cpu), peak - before, peak)


def check_same_outputs(market: Market) -> float:
    """Largest difference between ours and TA-Lib's once both know everything; regimes may differ at a margin's edge.

    Raises
    ------
    AssertionError
        If any other feature differs by more than float32 explains, or more than one regime in 10,000 does.
    """
    ours, theirs = (contender(market)()[-500:] for contender in (toto_ops_contender, ta_lib_contender))
    difference = np.abs(ours - theirs).max(axis=(0, 1))
    smooth = [i for i, name in enumerate(STATE_FEATURES) if not name.startswith("regime")]
    regimes = [i for i, name in enumerate(STATE_FEATURES) if name.startswith("regime")]
    edge = float((ours[..., regimes] != theirs[..., regimes]).any(axis=-1).mean())
    if difference[smooth].max() > 1e-4 or edge > 1e-4:
        worst = STATE_FEATURES[int(difference.argmax())]
        raise AssertionError(f"outputs differ: {worst} by {difference.max()}, regimes in {edge:.2%} of bars")
    return float(difference[smooth].max())


def compare(repeats: int) -> dict[str, object]:
    """Measure every contender on every market and set the figures against what is required."""
    results = []
    for market in MARKETS:
        difference = check_same_outputs(market)
        runs = {contender: _in_own_process(contender, market, repeats) for contender in CONTENDERS}
        ours, bare, pandas = runs["toto-ops"], runs["TA-Lib"], runs["stockstats"]
        unaligned = runs["TA-Lib, unaligned"]
        figures = [
            Figure("seconds", ours.best_s, SECONDS, ours.best_s < SECONDS),
            Figure("GB of the process", ours.process_gb, GIGABYTES, ours.process_gb < GIGABYTES),
            _ratio("times TA-Lib", ours, bare, TIMES_TA_LIB),
            _ratio("times TA-Lib, unaligned", ours, unaligned, TIMES_TA_LIB),
            Figure(
                "times as fast as stockstats",
                pandas.best_s / ours.best_s,
                TIMES_PANDAS,
                pandas.best_s >= TIMES_PANDAS * ours.best_s,
            ),
        ]
        results.append(
            {
                "market": market.name,
                "largest_difference_from_ta_lib": difference,
                "runs": [asdict(run) for run in runs.values()],
                "figures": [asdict(figure) for figure in figures],
            }
        )
    return {"bars": BARS, "markets": results}


def _ratio(name: str, ours: Measured, theirs: Measured, at_most: float) -> Figure:
    return Figure(name, ours.best_s / theirs.best_s, at_most, ours.best_s <= at_most * theirs.best_s)


def show(report: dict[str, object]) -> None:
    """Print one table for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=118)
    for market in report["markets"]:  # type: ignore[attr-defined]
        table = Table(title=f"{BARS:,} bars: {market['market']}")
        for heading in ("contender", "best s", "median s", "cpu s", "added GB", "process GB"):
            table.add_column(heading, justify="left" if heading == "contender" else "right")
        for run in market["runs"]:
            numbers = (run[key] for key in ("best_s", "median_s", "cpu_s", "peak_gb", "process_gb"))
            table.add_row(run["contender"], *(f"{number:.3f}" for number in numbers))
        console.print(table)
        for figure in market["figures"]:
            verdict = "met" if figure["met"] else "MISSED"
            console.print(f"  {figure['name']}: {figure['measured']:.2f} (required {figure['required']:g}): {verdict}")


def _in_own_process(contender: str, market: Market, repeats: int) -> Measured:
    command = [sys.executable, __file__, "--contender", contender, "--market", market.name, "--repeats", str(repeats)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Measured(**json.loads(finished.stdout))


def _peak_gb() -> float:
    # Not getrusage: its peak is inherited from the process that started this one. Linux counts in KiB.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024 / 1e9


def main() -> None:
    """Compare all contenders, or measure the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contender", choices=CONTENDERS)
    parser.add_argument("--market", choices=[market.name for market in MARKETS], default=MARKETS[0].name)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    if chosen.contender:
        market = next(market for market in MARKETS if market.name == chosen.market)
        sys.stdout.write(json.dumps(asdict(measure(chosen.contender, market, chosen.repeats))))
        return
    report = compare(chosen.repeats)
    show(report)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=1))
    sys.stdout.write(f"written to {RESULT}\n")


if __name__ == "__main__":
    main()
