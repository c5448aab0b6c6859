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
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from contenders import BARS, CONTENDERS, MARKETS, Market, ta_lib_contender, toto_ops_contender

from toto_ops.features.state import STATE_FEATURES

SECONDS, GIGABYTES, TIMES_TA_LIB, TIMES_PANDAS = 2.0, 2.0, 4.0, 10.0
"""What is required: at most, at most, at most, at least."""

PATIENCE = 20.0
"""Seconds after which a slow contender is not repeated any more."""

RESULT = Path("build/benchmarks/features.json")


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
