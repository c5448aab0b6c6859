"""Choosing which symbols to trade, on the validation span alone; every combination tried is a trial in the ledger.

All combinations are tried where there are few, else they are grown one symbol at a time (greedy forward selection): the best
single symbol, then the best partner for it, and so on, `n + (n - 1) + ... + (n - k + 1)` trials of `n` symbols. That finds
the best combination only if good symbols stay good together, and it is said in the report which of the two was done. What
has stopped trading by the end of the validation span is no candidate: whoever chooses then knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from toto_ops.errors import InsufficientDataError
from toto_ops.evaluation.baselines.price_history import PRESENT_FOR
from toto_ops.evaluation.statistics.metrics import sharpe_ratio
from toto_ops.features.moments import to_aware
from toto_ops.features.panel_columns import panel_of_symbols
from toto_ops.learning.splits import Splits
from toto_ops.simulation.backtest import BacktestResult, run_backtests
from toto_ops.simulation.entrants import Entrant
from toto_ops.simulation.observation import Decision, Observation
from toto_ops.simulation.rules import TradingRules
from toto_ops.storage.hashing import value_hash
from toto_ops.training.ledger import Trial, TrialLedger

if TYPE_CHECKING:
    from toto_ops.evaluation.backtests.subject import Subject
    from toto_ops.features.panel import Panel
    from toto_ops.policies.contract import Policy

EXHAUSTIVE_UP_TO = 300
"""Combinations that are all tried; with more of them the search is greedy."""

ACCOUNTS_AT_ONCE = 128
"""Combinations backtested in one pass: what they record is held in memory."""

ZERO_WITHOUT_A_BAR = ("market", "context", "volatility", "forecast", "embedding")
"""Fields of the observation that are 0 for a symbol of which there is nothing to tell."""

Combination = tuple[str, ...]


@dataclass(frozen=True)
class Tried:
    """One combination on the validation span.

    Attributes
    ----------
    sharpe
        Annualised Sharpe ratio; None where it never traded.
    """

    symbols: Combination
    sharpe: float | None
    total_return: float


@dataclass(frozen=True)
class SymbolSelection:
    """What was chosen, and what it was chosen from.

    Attributes
    ----------
    tried
        Every combination, best first; the first of the asked size is `symbols`.
    """

    symbols: Combination
    method: Literal["exhaustive", "greedy"]
    candidates: Combination
    tried: tuple[Tried, ...]


@dataclass(frozen=True)
class SelectionTask:
    """What is searched.

    Attributes
    ----------
    panel
        The whole market; only its validation rows are looked at.
    candidates
        Symbols to choose from, as far as they trade at the end of the validation span.
    size
        How many to choose.
    rules_on
        Rules for the symbols of a panel.
    """

    panel: Panel
    splits: Splits
    candidates: Combination
    size: int
    subject: Subject
    rules_on: Callable[[Panel], TradingRules]
    periods_per_year: float
    panel_hash: str


def select_symbols(task: SelectionTask, ledger: TrialLedger) -> SymbolSelection:
    """The combination with the highest Sharpe ratio on validation; by name where they tie.

    Raises
    ------
    InsufficientDataError
        If there are fewer candidates than are to be chosen.
    """
    task = replace(task, candidates=_still_trading(task))
    if task.size > len(task.candidates):
        raise InsufficientDataError(
            f"{task.size} symbols are to be chosen from {len(task.candidates)} that trade at the end of the validation span",
            remedy="choose fewer, or give more symbols",
        )
    exhaustive = comb(len(task.candidates), task.size) <= EXHAUSTIVE_UP_TO
    tried = _every_combination(task, ledger) if exhaustive else _grown_combinations(task, ledger)
    ranked = tuple(sorted(tried, key=_rank))
    chosen = next(one.symbols for one in ranked if len(one.symbols) == task.size)
    return SymbolSelection(chosen, "exhaustive" if exhaustive else "greedy", task.candidates, ranked)


def _still_trading(task: SelectionTask) -> Combination:
    """Candidates with a bar in the last days of the validation span."""
    span = task.splits.validation
    bars = panel_of_symbols(task.panel.between(span.after, span.until), task.candidates)
    lately = bars.close_time > bars.close_time[-1] - PRESENT_FOR
    return tuple(symbol for symbol, trades in zip(bars.symbols, bars.mask[lately].any(axis=0), strict=True) if trades)


class SymbolSubsets:
    """A policy that trades other symbols in each account: in account `b`, those where `keep[b]`.

    The symbols it may not trade are to the policy what symbols without a bar are: masked, and 0.

    Parameters
    ----------
    policy
        Of any observation schema.
    keep
        `[B, A]` bool, in the order of the accounts it will be asked for.
    """

    def __init__(self, policy: Policy, keep: torch.Tensor) -> None:
        self._policy = policy
        self._keep = keep

    def __call__(self, observation: Observation) -> Decision:
        """Decide in all accounts.

        Raises
        ------
        ValueError
            If it is asked for other accounts than it was made for.
        """
        if observation.mask.shape != self._keep.shape:
            raise ValueError(f"made for accounts and symbols {tuple(self._keep.shape)}, got {tuple(observation.mask.shape)}")
        there = observation.tensors()
        hidden = {name: self._hidden(there[name]) for name in ZERO_WITHOUT_A_BAR if name in there}
        decision = self._policy.act(observation._replace(mask=observation.mask & self._keep, **hidden))
        return decision._replace(hold=decision.hold | ~self._keep)

    def _hidden(self, told: torch.Tensor) -> torch.Tensor:
        """What is told of each symbol, `[B, A, ...]`, with 0 for those an account may not trade."""
        keep = self._keep.reshape(*self._keep.shape, *(1,) * (told.ndim - 2))
        return torch.where(keep, told, torch.zeros_like(told))


def _every_combination(task: SelectionTask, ledger: TrialLedger) -> list[Tried]:
    return _tried(task, ledger, list(combinations(task.candidates, task.size)))


def _grown_combinations(task: SelectionTask, ledger: TrialLedger) -> list[Tried]:
    chosen: Combination = ()
    tried: list[Tried] = []
    while len(chosen) < task.size:
        grown = [tuple(sorted((*chosen, symbol))) for symbol in task.candidates if symbol not in chosen]
        found = _tried(task, ledger, grown)
        chosen = min(found, key=_rank).symbols
        tried += found
    return tried


def _tried(task: SelectionTask, ledger: TrialLedger, combos: Sequence[Combination]) -> list[Tried]:
    """Backtest each combination on the validation span and write it down."""
    span = task.splits.validation
    bars = panel_of_symbols(task.panel.between(span.after, span.until), task.candidates)
    tried = []
    for start in range(0, len(combos), ACCOUNTS_AT_ONCE):
        together = combos[start : start + ACCOUNTS_AT_ONCE]
        for combination, result in zip(together, _backtests(bars, task, together), strict=True):
            sharpe = float(sharpe_ratio(result.returns, task.periods_per_year))
            one = Tried(combination, sharpe if np.isfinite(sharpe) else None, result.total_return)
            ledger.record(_trial(task, one, result))
            tried.append(one)
    return tried


def _backtests(bars: Panel, task: SelectionTask, combos: Sequence[Combination]) -> tuple[BacktestResult, ...]:
    keep = torch.tensor([[symbol in combination for symbol in bars.symbols] for combination in combos])
    policy = task.subject.policy
    some, rules = SymbolSubsets(policy, keep), task.rules_on(bars)
    return run_backtests(bars, [Entrant(", ".join(combination), some, rules, policy.inputs) for combination in combos])


def _trial(task: SelectionTask, tried: Tried, result: BacktestResult) -> Trial:
    manifest = task.subject.manifest
    config_hash = value_hash({"symbols": tried.symbols})
    inputs_hash = value_hash({"policy": manifest.inputs_hash, "panel": task.panel_hash, "splits": task.splits})
    return Trial(
        trial_id=Trial.identity(manifest.universe, manifest.line, config_hash, inputs_hash, 0),
        universe=manifest.universe,
        line=manifest.line,
        config_hash=config_hash,
        inputs_hash=inputs_hash,
        split=task.splits,
        seed=0,
        symbols=tried.symbols,
        returns=tuple(result.returns.tolist()),
        timestamps=to_aware(result.open_time[1:]),
        metrics={"total_return": tried.total_return} | ({} if tried.sharpe is None else {"sharpe": tried.sharpe}),
        created_at=datetime.now(UTC),
    )


def _rank(tried: Tried) -> tuple[float, Combination]:
    return (np.inf if tried.sharpe is None else -tried.sharpe, tried.symbols)
