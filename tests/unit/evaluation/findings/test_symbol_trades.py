"""Round trips per symbol: they count, average and add up as the trades themselves do."""

from __future__ import annotations

import pytest

from toto_ops.evaluation.findings.symbol_trades import symbol_trades
from toto_ops.simulation.backtest import backtest
from toto_ops.simulation.rules import TradingRules


@pytest.fixture(scope="module")
def result(panel, universe, candidate):
    return backtest(panel, candidate("bc").policy.act, TradingRules.of(universe), initial_capital=5_000.0)


def test_every_symbol_has_its_own_trades(result):
    rows = symbol_trades(result)
    assert [row.symbol for row in rows] == ["AAA", "BBB"]
    assert sum(row.trades for row in rows) == len(result.trades_made)
    assert sum(row.open for row in rows) == len(result.open_profits)


def test_money_is_a_share_of_the_initial_capital(result):
    rows = symbol_trades(result)
    assert sum(row.fees for row in rows) == pytest.approx(result.fees.sum() / 5_000.0)
    assert sum(row.net_profit for row in rows) == pytest.approx(result.trades_made.net_profit.sum() / 5_000.0)


def test_averages_are_those_of_the_trades(result):
    trades = result.trades_made.take(result.trades_made.symbol == "BBB")
    row = symbol_trades(result)[1]
    assert row.win_rate == pytest.approx((trades.net_profit > 0).mean())
    assert row.holding_days == pytest.approx(trades.holding_days.mean())
    assert (row.best, row.worst) == (trades.returns.max(), trades.returns.min())


def test_a_symbol_that_was_never_traded_has_no_row(panel, universe, candidate):
    idle = backtest(panel, candidate("bc", idle=True).policy.act, TradingRules.of(universe))
    assert symbol_trades(idle) == ()
