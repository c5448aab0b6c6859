from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toto_ops.evaluation.statistics import metrics

RETURNS = np.array([0.10, -0.05, 0.02, -0.03])


def test_total_return_compounds():
    assert metrics.total_return(np.array([0.10, -0.10])) == pytest.approx(-0.01)


def test_sharpe_ratio_of_a_hand_computed_example():
    # mean 0.01; deviations 0.09, -0.06, 0.01, -0.04; sum of squares 0.0134; variance 0.0134 / 3
    assert metrics.sharpe_ratio(RETURNS, 252) == pytest.approx(0.01 / np.sqrt(0.0134 / 3) * np.sqrt(252))


def test_resamples_that_stand_still_count_as_cash_and_a_sample_that_does_has_no_ratio():
    drawn = np.array([1.5, np.nan, 2.0])
    assert metrics.with_still_draws(drawn).tolist() == [1.5, 0.0, 2.0]
    assert np.isnan(metrics.with_still_draws(np.array([np.nan, np.nan, 2.0]))[0])
    assert np.isnan(drawn[1]), "what was given stays as it was"


def test_volatility_of_a_hand_computed_example():
    assert metrics.volatility(RETURNS, 365) == pytest.approx(np.sqrt(0.0134 / 3 * 365))


def test_sortino_ratio_of_a_hand_computed_example():
    # mean 0.01; squared losses 0.0025 and 0.0009 over four bars
    assert metrics.sortino_ratio(RETURNS, 252) == pytest.approx(0.01 / np.sqrt(0.0034 / 4) * np.sqrt(252))


def test_growth_of_a_hand_computed_example():
    # two years of one bar each: 1.1 * 1.21 = 1.331, a root of 1.1537
    assert metrics.cagr(np.array([0.10, 0.21]), 1) == pytest.approx(1.331**0.5 - 1)


def test_omega_of_a_hand_computed_example():
    assert metrics.omega_ratio(RETURNS) == pytest.approx(0.12 / 0.08)


def test_shape_of_a_hand_computed_example():
    # mean 1, deviations -1, -1, 2: variance 2, third moment 2, fourth 6
    series = np.array([0.0, 0.0, 3.0])
    assert metrics.skew(series) == pytest.approx(2 / 2**1.5)
    assert metrics.kurtosis(series) == pytest.approx(6 / 4)


def test_tail_of_a_hand_computed_example():
    # 5 % of 40 bars are two: the worst lost 10 %, the second 4 %
    series = np.concatenate([[-0.10, -0.04, -0.03], np.full(37, 0.01)])
    assert metrics.value_at_risk(series) == pytest.approx(0.04)
    assert metrics.expected_shortfall(series) == pytest.approx(0.07)


def test_hit_rate_leaves_bars_without_a_move_out():
    assert metrics.hit_rate(np.array([0.1, 0.0, -0.1, 0.2, 0.0])) == pytest.approx(2 / 3)


def test_the_loss_of_everything_is_not_recovered_from():
    ruin = np.array([0.5, -1.2, 3.0])
    assert metrics.total_return(ruin) == metrics.cagr(ruin, 1) == pytest.approx(-1.0)
    assert np.isfinite(metrics.log_returns(ruin)).all()


def test_drawdowns_of_a_hand_computed_example():
    # equity 1.2, 0.9, 1.08, 1.2, 1.26: from 1.2 down to 0.9, back at 1.2 after two bars below it
    returns = np.array([0.2, -0.25, 0.2, 1.2 / 1.08 - 1, 0.05])
    assert metrics.average_drawdown(returns) == pytest.approx((0.25 + 0.10) / 5)
    assert metrics.longest_drawdown(np.array([0.2, -0.25, 0.2, 0.2, -0.1])) == 2
    assert metrics.calmar_ratio(returns, 5) == pytest.approx(0.26 / 0.25)


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
        (metrics.omega_ratio, np.array([0.1, 0.2])),
        (metrics.kurtosis, np.full(9, 0.1)),
        (metrics.hit_rate, np.zeros(9)),
        (lambda series: metrics.calmar_ratio(series, 252), np.array([0.1, 0.2])),
        (metrics.win_rate, np.zeros(0)),
        (metrics.profit_factor, np.array([1.0, 2.0])),
    ],
    ids=[
        "Sharpe of a straight line",
        "Sharpe of one bar",
        "Sortino without a loss",
        "Omega without a loss",
        "kurtosis of a straight line",
        "hit rate without a move",
        "Calmar without a drawdown",
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
