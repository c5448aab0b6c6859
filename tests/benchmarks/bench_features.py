"""Features and 34-feature states of a million bars, beside bare TA-Lib on arrays and beside stockstats.

Every contender runs in a process of its own on the same bars, so that its peak memory is its own. The two that claim
the same outputs are compared number by number before any time is believed. Run it with `make bench`.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toto_ops.features.compute import FeatureConfig, compute_features
from toto_ops.features.panel_builder import build_panel, states
from toto_ops.features.state import ACCOUNT_SLICE, MARKET_FEATURES, RETURN_LAGS, STATE_FEATURES
from toto_ops.market.calendars import expected_open_times
from toto_ops.market.health import calendar_rows
from toto_ops.universes import Costs, SampleSource, Universe

BARS = 1_000_000
SECONDS, GIGABYTES, TIMES_TA_LIB, TIMES_PANDAS = 2.0, 2.0, 4.0, 10.0
"""What is required: at most, at most, at most, at least."""

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


def toto_ops_contender(market: Market) -> Callable[[], NDArray[np.float32]]:
    """Bars to features to panel to states `[T, A, 34]`."""
    bars, universe, config = market.bars(), market.universe(), FeatureConfig()

    def run() -> NDArray[np.float32]:
        panel = build_panel(compute_features(bars, universe, None, config), market.names)
        return states(panel, np.zeros((*panel.mask.shape, 4), dtype=np.float32))

    return run


def ta_lib_contender(market: Market) -> Callable[[], NDArray[np.float32]]:
    """The same 34 columns with bare TA-Lib and NumPy on the arrays of one symbol after the other, `[A, T, 34]`."""
    import talib

    bars, universe, config = market.bars(), market.universe(), FeatureConfig()
    split = {name: bars[name].to_numpy().reshape(market.symbols, -1) for name in ("high", "low", "close", "volume")}
    calendar = calendar_rows(bars["open_time"], universe).astype(np.int64).reshape(market.symbols, -1)
    column = {name: i for i, name in enumerate(STATE_FEATURES)}
    health, regime, window = config.health, config.regime, config.health.window

    def share(flags: NDArray[np.bool_], present: NDArray[np.int64]) -> NDArray[np.float64]:
        total = np.cumsum(flags)
        total[window:] -= total[:-window].copy()
        return total / present

    def one(a: int, out: NDArray[np.float32]) -> None:
        high, low, close, volume = (split[name][a] for name in ("high", "low", "close", "volume"))
        returns = np.diff(np.log(close))
        for lag in range(RETURN_LAGS):
            out[lag + 1 :, lag] = returns[: len(returns) - lag]
        out[:, column["rsi"]] = talib.RSI(close, 14) / 100
        out[:, column["macd_signal"]] = talib.MACD(close, 12, 26, 9)[1] / close
        upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
        out[:, column["bollinger_width"]] = (upper - lower) / middle
        out[:, column["volume_ratio"]] = np.clip(volume / talib.SMA(volume, 20), 0, 10)
        level = np.log(np.maximum(talib.STDDEV(returns, regime.window), 1e-6))
        unusual = level - talib.SMA(level, regime.history)
        margin = np.maximum(regime.threshold * talib.STDDEV(level, regime.history), np.log1p(regime.minimum_change))
        out[1:, column["regime_low"]] = unusual < -margin
        out[1:, column["regime_high"]] = unusual > margin
        out[1:, column["regime_normal"]] = np.abs(unusual) <= margin
        size = np.abs(returns)
        present = np.minimum(np.arange(1, len(close) + 1), window)
        expected = calendar[a] - calendar[a][np.maximum(0, np.arange(len(close)) - window + 1)] + 1
        jump, stale = np.zeros((2, len(close)), dtype=bool)
        jump[2:] = size[1:] > health.jump_multiple * talib.SMA(size, window)[:-1]
        stale[1:] = (size == 0) & (high[1:] == low[1:])
        shares = (1 - present / expected, share(volume <= 0, present), share(stale, present), share(jump, present), 1.0)
        lost = sum(
            fault.weight * np.minimum(1, part / fault.intolerable) for fault, part in zip(health.faults, shares, strict=True)
        )
        out[:, column["data_health"]] = 1 - lost / sum(fault.weight for fault in health.faults)

    def run() -> NDArray[np.float32]:
        out = np.zeros((market.symbols, market.length, len(STATE_FEATURES)), dtype=np.float32)
        for a in range(market.symbols):
            one(a, out[a])
        return out

    return run


def stockstats_contender(market: Market) -> Callable[[], object]:
    """Returns and the four indicators alone (no regimes, health or states) with stockstats, one symbol after the other."""
    import pandas as pd
    from stockstats import StockDataFrame

    columns = ["open", "high", "low", "close", "volume"]
    frames = [table.select(columns).to_pandas() for table in market.bars().partition_by("symbol", maintain_order=True)]

    def one(frame: pd.DataFrame) -> pd.DataFrame:
        stock = StockDataFrame.retype(frame.copy())
        log_return = np.log(stock["close"]).diff()
        lagged = {f"return_{lag}": log_return.shift(lag - 1) for lag in range(1, RETURN_LAGS + 1)}
        return pd.DataFrame(
            lagged
            | {
                "rsi": stock["rsi_14"] / 100,
                "macd_signal": stock["macds"] / stock["close"],
                "bollinger_width": (stock["boll_ub"] - stock["boll_lb"]) / stock["boll"],
                "volume_ratio": (stock["volume"] / stock["volume_20_sma"]).clip(0, 10),
            }
        ).astype(np.float32)

    def run() -> object:
        return [one(frame) for frame in frames]

    return run


CONTENDERS = {"toto-ops": toto_ops_contender, "TA-Lib": ta_lib_contender, "stockstats": stockstats_contender}


def measure(contender: str, market: Market, repeats: int) -> Measured:
    """Run one contender in this process; the first run, which warms calendars and allocators, is not counted."""
    run = CONTENDERS[contender](market)
    before = _peak_gb()
    run()
    wall, cpu = [], []
    for _ in range(repeats):
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
    ours = toto_ops_contender(market)().swapaxes(0, 1)[:, -1000:]
    theirs = ta_lib_contender(market)()[:, -1000:]
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
        figures = {
            "seconds": (ours.best_s, SECONDS, ours.best_s < SECONDS),
            "process_gb": (ours.process_gb, GIGABYTES, ours.process_gb < GIGABYTES),
            "times_ta_lib": (ours.best_s / bare.best_s, TIMES_TA_LIB, ours.best_s < TIMES_TA_LIB * bare.best_s),
            "faster_than_stockstats": (pandas.best_s / ours.best_s, TIMES_PANDAS, pandas.best_s > TIMES_PANDAS * ours.best_s),
        }
        results.append(
            {
                "market": market.name,
                "largest_difference_from_ta_lib": difference,
                "runs": [asdict(run) for run in runs.values()],
                "figures": {
                    key: dict(zip(("measured", "required", "met"), value, strict=True)) for key, value in figures.items()
                },
            }
        )
    return {
        "bars": BARS,
        "features": len(MARKET_FEATURES),
        "account_columns": ACCOUNT_SLICE.stop - ACCOUNT_SLICE.start,
        "markets": results,
    }


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
        for name, figure in market["figures"].items():
            verdict = "met" if figure["met"] else "MISSED"
            console.print(f"  {name}: {figure['measured']:.2f} (required {figure['required']:g}): {verdict}")


def _in_own_process(contender: str, market: Market, repeats: int) -> Measured:
    command = [sys.executable, __file__, "--contender", contender, "--market", market.name, "--repeats", str(repeats)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Measured(**json.loads(finished.stdout))


def _peak_gb() -> float:
    # Linux counts in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    """Compare all contenders, or measure the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contender", choices=CONTENDERS)
    parser.add_argument("--market", choices=[market.name for market in MARKETS], default=MARKETS[0].name)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    if chosen.contender:
        market = next(market for market in MARKETS if market.name == chosen.market)
        print(json.dumps(asdict(measure(chosen.contender, market, chosen.repeats))))
        return
    report = compare(chosen.repeats)
    show(report)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=1))
    print(f"written to {RESULT}")


if __name__ == "__main__":
    main()
