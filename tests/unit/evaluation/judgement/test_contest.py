"""The contest: everyone over the same bars in one pass, each as if it were alone."""

from __future__ import annotations

import numpy as np
import pytest

from toto_ops.evaluation.judgement.contest import VOLATILITY_MATCHED, Contest, hold_contest
from toto_ops.evaluation.statistics.metrics import volatility
from toto_ops.simulation.backtest import backtest
from toto_ops.simulation.rules import TradingRules


@pytest.fixture(scope="module")
def rules(universe) -> TradingRules:
    return TradingRules.of(universe)


@pytest.fixture(scope="module")
def contest(panel, splits, rules, candidate) -> Contest:
    policies = {"bc": candidate("bc").policy, "ppo": candidate("ppo", contrary=True).policy}
    return hold_contest(panel, splits.test, policies, rules, periods_per_year=365)


@pytest.fixture(scope="module")
def bars(panel, splits):
    return panel.between(splits.test.after, splits.test.until)


def test_each_subject_fares_as_it_would_alone(contest, bars, rules, candidate):
    alone = backtest(bars, candidate("ppo", contrary=True).policy.act, rules)
    assert contest.subjects["ppo"].equity == pytest.approx(alone.equity, abs=1e-12)
    assert contest.main is contest.subjects["bc"]


def test_stresses_are_the_first_subject_with_one_rule_changed(contest, bars, rules, candidate):
    act = candidate("bc").policy.act
    alone = {
        "breaker off": backtest(bars, act, rules.without_breaker()),
        "costs x2": backtest(bars, act, rules.with_costs(2.0)),
        "decision lag 2": backtest(bars, act, rules.with_lag(2)),
    }
    assert list(contest.stresses) == list(alone)
    for name, result in alone.items():
        assert contest.stresses[name].equity == pytest.approx(result.equity, abs=1e-12)


def test_the_last_benchmark_is_as_volatile_as_the_first_subject(contest):
    assert list(contest.benchmarks)[-1] == VOLATILITY_MATCHED
    assert contest.match.matched
    target = float(volatility(contest.main.returns, 365))
    assert float(volatility(contest.benchmarks[VOLATILITY_MATCHED].returns, 365)) == pytest.approx(target, rel=1e-9)


def test_perfect_foresight_trades_under_the_rules_of_the_subjects(contest, rules):
    assert contest.oracle.exposure.max() <= rules.max_positions * rules.w_max + 0.1
    assert contest.oracle.total_return > max(result.total_return for result in contest.subjects.values())


def test_all_accounts_begin_with_the_capital_given(panel, splits, rules, candidate):
    held = hold_contest(panel, splits.test, {"bc": candidate("bc").policy}, rules, periods_per_year=365, initial_capital=7.0)
    everyone = (*held.subjects.values(), *held.stresses.values(), *held.benchmarks.values(), held.oracle)
    assert np.unique([result.equity[0] for result in everyone]).tolist() == [7.0]
