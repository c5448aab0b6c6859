"""The judge's whole work over a long span, all accounts in one pass, beside the same work one backtest after the other.

Five candidate networks, three stresses of the challenger, all baselines, the ladder of the volatility-matched benchmark and
perfect foresight, over 20 symbols and 2,700 bars; then every figure with its interval from 1,000 resamples, and the gates.
The way of before does exactly that, but runs each account by itself. Run it with `make bench`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from toto_ops.configuration import Settings
from toto_ops.evaluation.judgement.candidates import Candidate
from toto_ops.evaluation.judgement.contest import hold_contest
from toto_ops.evaluation.judgement.gates import load_gates
from toto_ops.evaluation.judgement.judge import Circumstances, judge
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.features.state import MARKET_FEATURES
from toto_ops.learning.splits import Span, Splits
from toto_ops.policies.cloned import ClonedPolicy
from toto_ops.policies.contract import PolicyManifest
from toto_ops.simulation.backtest import BacktestResult, run_backtests
from toto_ops.simulation.entrants import Entrant
from toto_ops.simulation.rules import TradingRules
from toto_ops.training.ledger import Trial
from toto_ops.universes import load_universes

SYMBOLS, BARS, CANDIDATES, DRAWS = 20, 2_700, 5, 1_000
HISTORY = 600
"""Bars before the span: what train and validation are in a judgement, and what baselines look back on."""

SECONDS = 5.0
"""What is required: at most."""

RESULT = Path("build/benchmarks/evaluation.json")


@dataclass(frozen=True)
class Measured:
    """One way of doing the work, over some runs."""

    way: str
    best_s: float
    median_s: float
    cpu_s: float


def make_panel() -> Panel:
    """Random walks with features of noise: how fast an evaluation is does not depend on how good the policies are."""
    rng = np.random.default_rng(0)
    shape = (HISTORY + BARS, SYMBOLS)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.03, shape), axis=0))
    open_time = np.datetime64("2012-01-01", "us") + np.arange(shape[0]) * np.timedelta64(1, "D")
    return Panel(
        symbols=tuple(f"S{number:02}" for number in range(SYMBOLS)),
        feature_names=MARKET_FEATURES,
        open_time=open_time,
        close_time=open_time + np.timedelta64(1, "D"),
        features=rng.normal(size=(*shape, len(MARKET_FEATURES))).astype(np.float32),
        mask=np.ones(shape, dtype=bool),
        open=close * np.exp(rng.normal(0.0, 0.005, shape)),
        close=close,
        ended=np.zeros(SYMBOLS, dtype=bool),
        tradable=np.ones(shape, dtype=bool),
        context_names=(),
        context=np.zeros((*shape, 0), dtype=np.float32),
        volatility=np.full(shape, 0.03),
        traded_value=np.full(shape, 1e9),
    )


def make_splits(panel: Panel) -> Splits:
    start, middle, boundary = (to_aware(panel.close_time[row : row + 1])[0] for row in (0, HISTORY // 2, HISTORY - 1))
    (end,) = to_aware(panel.close_time[-1:])
    return Splits(
        train=Span(after=start, until=middle),
        validation=Span(after=middle, until=boundary),
        test=Span(after=boundary, until=end),
    )


def make_candidates(panel: Panel, splits: Splits, rules: TradingRules) -> list[Candidate]:
    candidates = []
    for seed in range(CANDIDATES):
        torch.manual_seed(seed)
        policy = ClonedPolicy(hidden=128, layers=2, dropout=0.1, w_max=rules.w_max, may_short=False)
        policy.fit_scaler(torch.randn(1000, policy.mean.shape[0]))
        manifest = PolicyManifest(
            kind=ClonedPolicy.kind,
            line=f"line-{seed}",
            universe="crypto",
            symbols=panel.symbols,
            architecture=policy.architecture,
            config={},
            inputs_hash=f"inputs-{seed}",
            data_hash="data",
            code_version="1",
            seed=seed,
            knows_until=splits.validation.until,
        )
        candidates.append(Candidate(policy, manifest, accuracy="imitation"))
    return candidates


def make_trials(splits: Splits) -> tuple[Trial, ...]:
    bars = HISTORY // 2 - 1
    moments = tuple(splits.validation.after + timedelta(days=day + 1) for day in range(bars))
    return tuple(
        Trial(
            trial_id=f"trial-{seed}",
            universe="crypto",
            line=f"line-{seed}",
            config_hash=f"config-{seed}",
            inputs_hash=f"inputs-{seed}",
            split=splits,
            seed=seed,
            returns=tuple(np.random.default_rng(seed).normal(0.0, 0.01, bars).tolist()),
            timestamps=moments,
            created_at=splits.validation.until,
        )
        for seed in range(CANDIDATES)
    )


def one_after_the_other(panel: Panel, entrants: Sequence[Entrant], *, initial_capital: float = 1.0) -> tuple[BacktestResult, ...]:
    """`run_backtests` as it was before accounts could share a pass."""
    return tuple(run_backtests(panel, (entrant,), initial_capital=initial_capital)[0] for entrant in entrants)


def measure(way: str, work: Callable[[], object], repeats: int) -> Measured:
    """Time some runs and say how they went; the first of two or more, which warms allocators and imports, is not counted."""
    wall, cpu = [], []
    for _ in range(repeats + (repeats > 1)):
        began, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    counted = slice(1, None) if repeats > 1 else slice(None)
    measured = Measured(way, min(wall[counted]), statistics.median(wall[counted]), min(cpu[counted]))
    print(
        f"{way:<42} best {measured.best_s:7.2f} s   median {measured.median_s:7.2f} s   cpu {measured.cpu_s:7.2f} s", flush=True
    )
    return measured


def compare(repeats: int) -> list[Measured]:
    """The whole judgement in one pass, the backtests of it alone, and the whole judgement as it was done before."""
    settings = Settings()
    torch.set_num_threads(settings.torch_threads)
    universe = load_universes(settings).universes["crypto"]
    gates = load_gates(settings, universe).model_copy(update={"bootstrap": BootstrapConfig(samples=DRAWS)})
    panel, rules = make_panel(), TradingRules.of(universe)
    splits = make_splits(panel)
    challenger, fallback, *others = make_candidates(panel, splits, rules)
    circumstances = Circumstances(
        retrain_id="bench", as_of=splits.test.until, data_hash="data", openings=1, trials=make_trials(splits)
    )
    policies = {candidate.name: candidate.policy for candidate in (challenger, fallback, *others)}

    def judgement() -> object:
        return judge(panel, universe, splits, gates, circumstances, challenger=challenger, fallback=fallback, ineligible=others)

    def contest() -> object:
        return hold_contest(panel, splits.test, policies, rules, periods_per_year=365.0)

    def judgement_apart() -> object:
        with patch("toto_ops.evaluation.judgement.contest.run_backtests", one_after_the_other):
            return judgement()

    return [
        measure("judgement, one pass", judgement, repeats),
        measure("its backtests alone, one pass", contest, repeats),
        measure("judgement, one backtest after the other", judgement_apart, 1),
    ]


def main() -> None:
    """Compare both ways and set the figure against what is required."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    results = compare(parser.parse_args().repeats)
    met = "met" if results[0].best_s < SECONDS else "MISSED"
    print(f"judgement in seconds: {results[0].best_s:.2f} (required {SECONDS:g}): {met}")
    print(f"times as fast as one after the other: {results[2].best_s / results[0].best_s:.1f}")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    report = {"symbols": SYMBOLS, "bars": BARS, "candidates": CANDIDATES, "draws": DRAWS, "required_s": SECONDS}
    RESULT.write_text(json.dumps({**report, "ways": [asdict(result) for result in results]}, indent=1))
    print(f"written to {RESULT}")


if __name__ == "__main__":
    main()
