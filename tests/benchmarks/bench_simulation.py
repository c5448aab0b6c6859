"""Steps per second of the market simulator, beside its memory bound and beside the environments people use instead.

All contenders run in one process on one thread, in turn, round after round; figures are medians over the rounds, and ratios
are medians of the ratios within a round, so that a slow minute of the machine meets everybody alike. Seconds are those of
the processor. Peers are measured alone and in Gymnasium's vector of environments, the memory bound with the gather torch has
for rows and with the faster one that the simulator uses. Memory is measured in a process of its own. Run it with `make bench`.
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

import torch
from simulation_contenders import (
    Contender,
    anytrading,
    by_index,
    crypto_rules,
    of_gather,
    of_gymnasium,
    of_peer,
    of_peers,
    of_simulator,
    of_torchrl,
    random_panel,
    random_weights,
    trading_env,
)

from toto_ops.simulation.market_tensors import MarketTensors, gathered_rows
from toto_ops.simulation.simulator import MarketSimulator

BARS, ACCOUNTS, MANY = 1_000_000, 4_096, 16_384
"""Bars of the market of one symbol: ten years of five minutes. Accounts at once, in two sizes."""

SYMBOLS, BARS_OF_MANY = 20, 50_000
"""The market of several symbols has as many bars of symbols in all."""

ANYTRADING, TRADING_ENV, GATHER, SEVERAL, STEPS, GIGABYTES = 25.0, 100.0, 0.4, 2.0, 4e6, 2.0
"""What is required: times the peers' steps, share of the gather's, times the asset-steps of one symbol, steps per second
on the 2-core test machine, and gigabytes at most."""

FEW, MORE, WIDE = f"toto-ops, {ACCOUNTS:,} accounts", f"toto-ops, {MANY:,} accounts", f"toto-ops, {SYMBOLS} symbols"
"""The simulator in the shapes that are compared."""

MEMORY_SYMBOLS, MEMORY_BARS, MEMORY_STEPS = 500, 5_000, 5

RESULT = Path("build/benchmarks/simulation.json")


@dataclass(frozen=True)
class Measured:
    """One contender: steps of one account per second of the processor, in each round."""

    contender: str
    accounts: int
    assets: int
    steps_per_s: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.steps_per_s)


@dataclass(frozen=True)
class Figure:
    """What was measured against what is required."""

    name: str
    measured: float
    required: float
    met: bool


def contenders() -> list[Contender]:
    """Everybody, ready to step."""
    one = MarketTensors.of(random_panel(BARS, 1), torch.float32)
    gaps = MarketTensors.of(random_panel(BARS, 1, gaps=0.02), torch.float32)
    several = MarketTensors.of(random_panel(BARS_OF_MANY, SYMBOLS), torch.float32)
    shapes = ((FEW, BARS, ACCOUNTS, 1), (MORE, BARS, MANY, 1), (WIDE, BARS_OF_MANY, ACCOUNTS, SYMBOLS))
    return [
        of_simulator(FEW, one, ACCOUNTS),
        of_simulator(MORE, one, MANY),
        of_simulator("toto-ops, 2 % of the bars missing", gaps, ACCOUNTS),
        of_simulator(WIDE, several, ACCOUNTS),
        of_torchrl(one, ACCOUNTS),
        of_gymnasium(one, ACCOUNTS),
        *(of_gather(f"index_select for {name}", *shape, by_index) for name, *shape in shapes),
        *(of_gather(f"gather of {name}", *shape, gathered_rows) for name, *shape in shapes),
        of_peer("gym-anytrading", anytrading(BARS_OF_MANY)),
        of_peers("gym-anytrading, vector", lambda: anytrading(BARS_OF_MANY)),
        of_peer("gym-trading-env", trading_env(BARS_OF_MANY)),
        of_peers("gym-trading-env, vector", lambda: trading_env(BARS_OF_MANY)),
    ]


def measure(rounds: int) -> dict[str, Measured]:
    """All contenders in turn; the first round, which warms allocators and caches, is not counted."""
    everybody = contenders()
    speeds: dict[str, list[float]] = {contender.name: [] for contender in everybody}
    for number in range(rounds + 1):
        for contender in everybody:
            start = time.process_time()
            steps = contender.round()
            speed = contender.accounts * steps / (time.process_time() - start)
            if number > 0:
                speeds[contender.name].append(speed)
    return {
        contender.name: Measured(contender.name, contender.accounts, contender.assets, speeds[contender.name])
        for contender in everybody
    }


def figures(runs: dict[str, Measured], gigabytes: float) -> list[Figure]:
    """What is required, and whether it is met."""

    def at_least(name: str, measured: float, required: float) -> Figure:
        return Figure(name, measured, required, measured >= required)

    def times(ours: str, theirs: str, required: float) -> Figure:
        return at_least(f"{ours}, times {theirs}", _ratio(runs[ours], runs[theirs]), required)

    memory = f"GB, {MEMORY_SYMBOLS} symbols, {MEMORY_BARS:,} bars, {ACCOUNTS:,} accounts"
    return [
        at_least(f"{FEW}, steps/s", runs[FEW].median, STEPS),
        *(times(ours, "gym-anytrading", ANYTRADING) for ours in (FEW, MORE)),
        times(FEW, "gym-anytrading, vector", ANYTRADING),
        *(times(ours, "gym-trading-env", TRADING_ENV) for ours in (FEW, MORE)),
        times(FEW, "gym-trading-env, vector", TRADING_ENV),
        *(times(ours, f"index_select for {ours}", GATHER) for ours in (FEW, MORE, WIDE)),
        *(times(ours, f"gather of {ours}", GATHER) for ours in (FEW, MORE, WIDE)),
        at_least(f"asset-steps of {WIDE}, times {FEW}", SYMBOLS * _ratio(runs[WIDE], runs[FEW]), SEVERAL),
        Figure(memory, gigabytes, GIGABYTES, gigabytes < GIGABYTES),
    ]


def _ratio(ours: Measured, theirs: Measured) -> float:
    return statistics.median(mine / their for mine, their in zip(ours.steps_per_s, theirs.steps_per_s, strict=True))


def peak_memory() -> float:
    """Gigabytes of this process at its peak, once a large market has been stepped through."""
    rules = crypto_rules()
    market = MarketTensors.of(random_panel(MEMORY_BARS, MEMORY_SYMBOLS), torch.float32)
    simulator = MarketSimulator(market, rules, ACCOUNTS)
    weights = random_weights(rules, ACCOUNTS, MEMORY_SYMBOLS)
    with torch.inference_mode():
        for step in range(MEMORY_STEPS):
            simulator.step_and_restart(weights[step % len(weights)])
    # Not getrusage: its peak is inherited from the process that started this one. Linux counts in KiB.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024 / 1e9


def _memory_in_own_process() -> float:
    command = [sys.executable, __file__, "--memory"]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(finished.stdout)


def show(report: dict[str, object]) -> None:
    """Print one table for people."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=118)
    table = Table(title="steps through a market, 34 features observed, one thread")
    for heading in ("contender", "accounts", "symbols", "steps/s", "asset-steps/s"):
        table.add_column(heading, justify="left" if heading == "contender" else "right")
    for run in report["runs"]:  # type: ignore[attr-defined]
        steps = statistics.median(run["steps_per_s"])
        table.add_row(
            run["contender"], f"{run['accounts']:,}", str(run["assets"]), f"{steps:,.0f}", f"{steps * run['assets']:,.0f}"
        )
    console.print(table)
    for figure in report["figures"]:  # type: ignore[attr-defined]
        verdict = "met" if figure["met"] else "NOT MET"
        console.print(f"{figure['name']}: {figure['measured']:,.2f} (required {figure['required']:,g}): {verdict}")


def main() -> None:
    """Compare everybody, or measure the memory of this process alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.memory:
        sys.stdout.write(str(peak_memory()))
        return
    runs = measure(chosen.rounds)
    report: dict[str, object] = {
        "runs": [asdict(run) for run in runs.values()],
        "figures": [asdict(figure) for figure in figures(runs, _memory_in_own_process())],
    }
    show(report)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=1))
    sys.stdout.write(f"written to {RESULT}\n")


if __name__ == "__main__":
    main()
