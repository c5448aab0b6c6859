from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toto_ops.evaluation import metrics
from toto_ops.evaluation.baselines import cash, equal_weight
from toto_ops.evaluation.bootstrap import BootstrapConfig
from toto_ops.simulation.backtest import backtest
from toto_ops.simulation.rules import TradingRules

RETURNS = np.array([0.10, -0.05, 0.02, -0.03])


def test_total_return_compounds():
    assert metrics.total_return(np.array([0.10, -0.10])) == pytest.approx(-0.01)


def test_sharpe_ratio_of_a_hand_computed_example():
    # mean 0.01; deviations 0.09, -0.06, 0.01, -0.04; sum of squares 0.0134; variance 0.0134 / 3
    assert metrics.sharpe_ratio(RETURNS, 252) == pytest.approx(0.01 / np.sqrt(0.0134 / 3) * np.sqrt(252))


def test_volatility_of_a_hand_computed_example():
    assert metrics.volatility(RETURNS, 365) == pytest.approx(np.sqrt(0.0134 / 3 * 365))


def test_sortino_ratio_of_a_hand_computed_example():
    # mean 0.01; squared losses 0.0025 and 0.0009 over four bars
    assert metrics.sortino_ratio(RETURNS, 252) == pytest.approx(0.01 / np.sqrt(0.0034 / 4) * np.sqrt(252))


def test_drawdown_of_a_hand_computed_example():
    # equity 1.2, 0.9, 1.08, 0.972: from 1.2 down to 0.9
    assert metrics.max_drawdown(np.array([0.2, -0.25, 0.2, -0.1])) == pytest.approx(0.25)


def test_a_loss_on_the_first_bar_is_a_drawdown_from_the_starting_capital():
    assert metrics.max_drawdown(np.array([-0.3, 0.1])) == pytest.approx(0.3)


def test_win_rate_and_profit_factor_of_a_hand_computed_example():
    profits = np.array([3.0, -1.0, 2.0, -1.5, 0.0])
    assert metrics.win_rate(profits) == pytest.approx(2 / 5)
    assert metrics.profit_factor(profits) == pytest.approx(5.0 / 2.5)


@pytest.mark.parametrize(
    ("figure", "series"),
    [
        (lambda series: metrics.sharpe_ratio(series, 252), np.full(50, 0.001)),
        (lambda series: metrics.sharpe_ratio(series, 252), np.array([0.1])),
        (lambda series: metrics.sortino_ratio(series, 252), np.array([0.1, 0.2])),
        (metrics.win_rate, np.zeros(0)),
        (metrics.profit_factor, np.array([1.0, 2.0])),
    ],
    ids=[
        "Sharpe of a straight line",
        "Sharpe of one bar",
        "Sortino without a loss",
        "win rate without trades",
        "no losing trade",
    ],
)
def test_what_is_not_defined_is_not_a_number(figure, series):
    assert np.isnan(figure(series))


@settings(deadline=None, max_examples=30)
@given(arrays(np.float64, (3, 12), elements=st.floats(-0.2, 0.2)))
def test_resamples_are_measured_as_single_series_are(series):
    for figure in (metrics.total_return, metrics.max_drawdown, lambda values: metrics.sharpe_ratio(values, 252)):
        np.testing.assert_allclose(figure(series), [figure(row) for row in series], equal_nan=True)


@settings(deadline=None, max_examples=30)
@given(arrays(np.float64, 30, elements=st.floats(-0.2, 0.2)))
def test_drawdown_agrees_with_a_plain_loop(series):
    equity = peak = 1.0
    worst = 0.0
    for value in series:
        equity *= 1 + value
        peak = max(peak, equity)
        worst = max(worst, 1 - equity / peak)
    assert metrics.max_drawdown(series) == pytest.approx(worst)


def test_minimum_detectable_sharpe_of_four_years_is_that_of_one_halved():
    # (1.6449 + 0.8416) for 5 % one-sided and 80 % power, over one year
    assert metrics.minimum_detectable_sharpe(252, 252) == pytest.approx(2.4865, abs=1e-3)
    assert metrics.minimum_detectable_sharpe(1008, 252) == pytest.approx(2.4865 / 2, abs=1e-3)


def test_figures_of_a_backtest_are_those_of_its_series(panel_of, universe):
    panel = panel_of(rows=80)
    result = backtest(panel, equal_weight(), TradingRules.of(universe).for_baselines())
    figures = metrics.measure(result, 365, BootstrapConfig(samples=100, block_length=5))
    assert figures.total_return.value == pytest.approx(result.equity[-1] / result.equity[0] - 1)
    assert figures.turnover.value == pytest.approx(result.turnover[:-1].mean() * 365)
    assert figures.fees.value == pytest.approx(result.turnover.sum() * 0.0005, rel=1e-3)
    assert figures.trades.value == result.trades.sum()
    assert 0.9 < figures.exposure.value <= 1.001
    for name in type(figures).model_fields:
        figure = getattr(figures, name)
        assert figure.low is None or figure.low <= figure.high, name


def test_open_positions_count_towards_the_win_rate(panel_of, universe):
    result = backtest(panel_of(rows=40), cash(), TradingRules.of(universe))
    hoarder = replace(result, profits=np.array([1.0, 1.0]), open_profits=np.array([-5.0, -3.0]))
    figures = metrics.measure(hoarder, 365, BootstrapConfig(samples=100))
    assert figures.win_rate.value == 0.5
    assert figures.profit_factor.value == pytest.approx(2 / 8)


def test_the_interval_of_a_win_rate_does_not_collapse_for_a_policy_that_trades_rarely(panel_of, universe):
    result = backtest(panel_of(rows=201), cash(), TradingRules.of(universe))
    rare = replace(result, profits=np.array([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0]), open_profits=np.zeros(0))
    figures = metrics.measure(rare, 365, BootstrapConfig(samples=400, block_length=25))
    assert figures.win_rate.high - figures.win_rate.low > 0.4


def test_cash_has_a_return_of_zero_and_no_sharpe_ratio(panel_of, universe):
    figures = metrics.measure(backtest(panel_of(rows=40), cash(), TradingRules.of(universe)), 365, BootstrapConfig(samples=100))
    assert figures.total_return.value == 0.0
    assert figures.sharpe.value is None
    assert figures.win_rate.value is None
    assert figures.exposure.value == 0.0
