"""Prefix invariance of everything that is decided, and of what becomes of it: decisions, orders, fills, equity.

Policies are fitted once and held fixed; then bars after a moment are removed or rewritten, features and panel are made
anew, and everyone decides again. Up to that moment nobody may decide otherwise, or own a cent more or less.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime

import numpy as np
import polars as pl
import pytest
import torch

from tests.unit.no_look_ahead.contestants import RULES, entrants, kinds_of_policies, teacher, train, training_inputs
from tests.unit.no_look_ahead.markets import MARKETS, REWRITES, Market, rows_of, same, utc
from toto_ops.analysts.decisions import record_decisions
from toto_ops.evaluation.baselines.perfect_foresight import perfect_foresight
from toto_ops.evaluation.baselines.plans import BASELINES
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.policies.contract import Policy
from toto_ops.simulation.backtest import BacktestResult, run_backtests
from toto_ops.simulation.entrants import Entrant
from toto_ops.simulation.market_tensors import MarketTensors
from toto_ops.simulation.observation_schema import MARKET
from toto_ops.simulation.simulator import MarketSimulator
from toto_ops.simulation.trades import Trades
from toto_ops.training.lines import LINES

BEFORE_TRADES = {"equity", "interest", "decided"}
"""What is settled at an open before anything is traded there: a backtest does not trade at its last one."""


@pytest.fixture(scope="module", params=MARKETS)
def market(request: pytest.FixtureRequest) -> Market:
    return MARKETS[request.param]()


@pytest.fixture(scope="module")
def policies(market: Market, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Policy]:
    home = tmp_path_factory.mktemp("lines")
    inputs = training_inputs(market.panel, home)
    return {"teacher": teacher()} | {line.name: train(line, inputs, home / line.name).policy for line in LINES}


@pytest.fixture(scope="module")
def whole(market: Market, policies: dict[str, Policy]) -> dict[str, BacktestResult]:
    return outcomes(market, policies, market.traded_after)


def outcomes(market: Market, policies: dict[str, Policy], after: datetime) -> dict[str, BacktestResult]:
    """What becomes of everyone who decides, from a flat account on."""
    contestants = entrants(market.panel, policies, after)
    results = run_backtests(market.panel.between(after, None), contestants)
    return {entrant.name: result for entrant, result in zip(contestants, results, strict=True)}


def changed(one: BacktestResult, other: BacktestResult, until: np.datetime64) -> set[str]:
    """What differs of two backtests up to a moment, by introspection of all that has rows, and of the closed trades."""
    rows = int(np.searchsorted(one.close_time, until, side="right"))
    traded = min(rows, len(one.close_time) - 1, len(other.close_time) - 1)
    found = set()
    for name, pair in rows_of(one, other).items():
        # An order that is waiting at the cut has not been filled there, whatever open will fill it.
        mine, theirs = (np.where(side < traded, side, -1) if name == "fill_row" else side for side in pair)
        upto = rows if name in BEFORE_TRADES else traded
        found |= set() if same(mine[:upto], theirs[:upto]) else {name}
    ended = [result.trades_made.closed for result in (one, other)]
    ended = [trades.take(trades.exit_time <= one.open_time[traded - 1]) for trades in ended]
    differing = (field.name for field in fields(Trades) if not same(*(getattr(trades, field.name) for trades in ended)))
    return found | {f"trades: {name}" for name in differing}


@pytest.mark.parametrize("rewrite", ["no future", "another future"])
def test_nobody_decides_or_earns_otherwise_because_of_what_follows(
    market: Market, policies: dict[str, Policy], whole: dict[str, BacktestResult], rewrite: str
) -> None:
    for cut in market.cuts():
        others = outcomes(REWRITES[rewrite](market, cut), policies, market.traded_after)
        assert {name: differing for name in whole if (differing := changed(whole[name], others[name], cut))} == {}


def test_no_recorded_decision_of_the_teacher_changes_with_what_follows(market: Market) -> None:
    """What pupils learn from: states, actions, strengths, votes."""

    def recorded(panel: Panel, cut: np.datetime64) -> dict[str, pl.DataFrame]:
        histories = record_decisions(panel.between(market.traded_after, None), teacher(), RULES)
        past = pl.col("close_time") <= utc(cut)
        # An order that is waiting at the cut has not been filled there, whatever open will fill it.
        filled = pl.when(pl.col("fill_time") < utc(cut)).then("fill_time").alias("fill_time")
        return {symbol: history.filter(past).with_columns(filled) for symbol, history in histories.items()}

    for cut in market.cuts():
        then, now = (recorded(one.panel, cut) for one in (REWRITES["another future"](market, cut), market))
        assert then.keys() == now.keys()
        assert all(then[symbol].equals(now[symbol], null_equal=True) and now[symbol].height > 10 for symbol in now)


@pytest.mark.parametrize("rewrite", ["no future", "another future"])
def test_no_environment_shows_or_rewards_otherwise_because_of_what_follows(market: Market, rewrite: str) -> None:
    cut = market.cuts()[0]
    now, then = (lived(one.panel, cut, market.traded_after) for one in (market, REWRITES[rewrite](market, cut)))
    assert len(now) == len(then) > 30
    for step, (mine, theirs) in enumerate(zip(now, then, strict=True)):
        assert mine.keys() == theirs.keys() >= set(MARKET.fields)
        differing = {name for name in mine if not torch.equal(mine[name], theirs[name])}
        assert differing == set(), f"step {step}"


def lived(panel: Panel, cut: np.datetime64, after: datetime) -> list[dict[str, torch.Tensor]]:
    """All that eight accounts are shown and given up to a moment, whose decisions are drawn from a fixed sequence."""
    known = panel.between(after, to_aware(np.array([cut]))[0])
    simulator = MarketSimulator(MarketTensors.of(panel.between(after, None), torch.float64), RULES, accounts=8, schema=MARKET)
    generator = torch.Generator().manual_seed(0)
    shown = [simulator.observe().tensors()]
    for _ in range(known.rows - 1):
        weight = RULES.w_max * torch.rand((8, len(panel.symbols)), generator=generator, dtype=torch.float64)
        seen, transition = simulator.step(weight)
        given = transition._asdict() | transition.result._asdict()
        tensors = {name: value for name, value in given.items() if isinstance(value, torch.Tensor) and name != "truncated"}
        shown.append(seen.tensors() | tensors)
    return shown


def test_everyone_who_decides_is_among_them(policies: dict[str, Policy], whole: dict[str, BacktestResult]) -> None:
    assert {type(policy) for policy in policies.values()} == kinds_of_policies()
    assert {line.name for line in LINES} | {baseline.name for baseline in BASELINES} <= whole.keys()


def test_they_do_decide_and_trade_before_the_cuts(market: Market, whole: dict[str, BacktestResult]) -> None:
    """Otherwise the test above could not fail."""
    past = whole["cash"].close_time <= market.cuts()[0]
    trades = {name: int(result.trades[past].sum()) for name, result in whole.items()}
    assert trades.pop("cash") == 0
    assert min(trades.values()) > 0, trades


def test_a_decision_that_reads_ahead_is_caught(market: Market) -> None:
    """Perfect foresight is what a leak looks like."""

    def foreseen(panel: Panel) -> BacktestResult:
        panel = panel.between(market.traded_after, None)
        return run_backtests(panel, (Entrant("oracle", perfect_foresight(panel, RULES), RULES),))[0]

    then = foreseen(market.panel)
    otherwise = ((cut, foreseen(REWRITES["another future"](market, cut).panel)) for cut in market.cuts())
    assert "target" in set().union(*(changed(then, result, cut) for cut, result in otherwise))
