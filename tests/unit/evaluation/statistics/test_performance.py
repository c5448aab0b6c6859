"""Figures of many backtests at once are those of each one's own series, on the sample and on every resample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.evaluation.return_samples import book, open_times, panel_of_returns
from tests.unit.training.lessons import RULES
from toto_ops.evaluation.baselines.market_index import market_returns
from toto_ops.evaluation.statistics import metrics
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig, Estimate, estimate, resample_indices
from toto_ops.evaluation.statistics.performance import Performance, measure, measure_all
from toto_ops.simulation.backtest import run_backtests
from toto_ops.simulation.entrants import Entrant, Plan

YEAR = 365.0
CONFIG = BootstrapConfig(samples=120, block_length=6)
GENERATOR = np.random.default_rng(9)
MARKET = GENERATOR.normal(0.0005, 0.01, 90)
BOOKS = [book(GENERATOR.normal(0.001, 0.012, 90) + share * MARKET, seed=number) for number, share in enumerate((0.0, 0.8, -0.5))]


def gathered(result, market=MARKET, config=CONFIG) -> dict[str, Estimate]:
    """Every figure by its definition, on the sample and on resamples gathered bar by bar."""
    bars = len(result.returns)
    drawn = np.concatenate([np.arange(bars)[None], resample_indices(bars, config)])
    returns, growth = result.returns[drawn], np.asarray(result.equity[:-1])
    size = np.abs(result.weights[:-1])
    gross = size.sum(axis=1)
    herfindahl = ((size / np.where(gross > 0, gross, 1.0)[:, None]) ** 2).sum(axis=1)
    trips = [[] for _ in range(bars)]
    trades = result.trades_made
    for moment, profit, days in zip(trades.exit_time, trades.net_profit, trades.holding_days, strict=True):
        bar = bars - 1 if np.isnat(moment) else int(np.flatnonzero(result.open_time == moment)[0]) - 1
        trips[bar].append((profit, days))
    chosen = [[trip for bar in row for trip in trips[bar]] for row in drawn]
    profits = [np.array([profit for profit, _ in row]) for row in chosen]

    def mean(values):
        return values[drawn].mean(axis=1)

    def total(values):
        return values[drawn].sum(axis=1)

    figures = {
        "total_return": metrics.total_return(returns),
        "cagr": metrics.cagr(returns, YEAR),
        "sharpe": metrics.sharpe_ratio(returns, YEAR),
        "sortino": metrics.sortino_ratio(returns, YEAR),
        "calmar": metrics.calmar_ratio(returns, YEAR),
        "omega": metrics.omega_ratio(returns),
        "volatility": metrics.volatility(returns, YEAR),
        "skew": metrics.skew(returns),
        "kurtosis": metrics.kurtosis(returns),
        "value_at_risk": metrics.value_at_risk(returns),
        "expected_shortfall": metrics.expected_shortfall(returns),
        "max_drawdown": metrics.max_drawdown(returns),
        "average_drawdown": metrics.average_drawdown(returns),
        "longest_drawdown_days": metrics.longest_drawdown(returns),
        "hit_rate": metrics.hit_rate(returns),
        "win_rate": np.array([metrics.win_rate(row) for row in profits]),
        "profit_factor": np.array([metrics.profit_factor(row) for row in profits]),
        "average_holding_days": np.array([np.mean([days for _, days in row]) if row else np.nan for row in chosen]),
        "trades": total(result.trades[:-1].astype(float)),
        "fees": total(result.fees[:-1] / growth),
        "interest": total(result.interest[1:] / growth),
        "turnover": mean(result.turnover[:-1]) * YEAR,
        "exposure": mean(gross),
        "net_exposure": mean(result.weights[:-1].sum(axis=1)),
        "concentration": total(np.where(gross > 0, herfindahl, 0.0)) / total((gross > 0).astype(float)),
        "correlation_exposure": np.array([correlation(*pair) for pair in zip(returns, market[drawn], strict=True)]),
    }
    found = {name: estimate(float(values[0]), values[1:], config.level) for name, values in figures.items()}
    return {name: Estimate(value=one.value) if is_point(one) else one for name, one in found.items()}


def is_point(one: Estimate) -> bool:
    return one.low is not None and one.high == pytest.approx(one.low, rel=1e-9, abs=0.0)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return np.corrcoef(one, other)[0, 1] if one.std() > 1e-12 and other.std() > 1e-12 else np.nan


def same(found: float | None, expected: float | None, *, within: float) -> bool:
    """Whether two figures agree, undefined ones included."""
    return (found is None) == (expected is None) and (found is None or found == pytest.approx(expected, rel=within, abs=within))


@pytest.mark.parametrize("number", range(3))
def test_every_figure_is_its_definition_gathered_bar_by_bar(number):
    together = measure_all(BOOKS, periods_per_year=YEAR, config=CONFIG, market=MARKET)[number]
    expected = gathered(BOOKS[number])
    assert set(expected) == set(Performance.model_fields)
    for name, figure in expected.items():
        found = getattr(together, name)
        for side in ("value", "low", "high"):
            assert same(getattr(found, side), getattr(figure, side), within=1e-9), (name, side)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000), st.integers(2, 60))
def test_figures_agree_with_their_definitions_for_any_returns(seed, bars):
    generator = np.random.default_rng(seed)
    returns = np.where(generator.random(bars) < 0.3, 0.0, generator.normal(0, 0.05, bars))
    market = generator.normal(0, 0.02, bars)
    result, config = book(returns, seed, trips=4), BootstrapConfig(samples=100, seed=seed)
    found, expected = measure(result, YEAR, config, market), gathered(result, market, config)
    for name in Performance.model_fields:
        assert same(getattr(found, name).value, expected[name].value, within=1e-7), name


def test_one_backtest_is_measured_as_it_is_among_others():
    (alone,) = measure_all(BOOKS[:1], periods_per_year=YEAR, config=CONFIG, market=MARKET)
    among = measure_all(BOOKS, periods_per_year=YEAR, config=CONFIG, market=MARKET)[0]
    for name in Performance.model_fields:
        assert getattr(alone, name).value == pytest.approx(getattr(among, name).value, rel=1e-12), name


def test_backtests_of_different_bars_are_not_measured_together():
    with pytest.raises(ValueError, match="different bars"):
        measure_all([BOOKS[0], book(np.zeros(50))], periods_per_year=YEAR, config=CONFIG)


def test_nothing_to_measure_is_no_figures():
    assert measure_all([], periods_per_year=YEAR, config=CONFIG) == ()


def test_without_a_market_there_is_no_correlation_with_it():
    assert measure(BOOKS[0], YEAR, CONFIG).correlation_exposure.value is None


def test_who_is_the_market_moves_with_it_and_who_is_short_against_it():
    long, short = book(MARKET), book(-MARKET)
    exposures = [
        figures.correlation_exposure.value
        for figures in measure_all([long, short], periods_per_year=YEAR, config=CONFIG, market=MARKET)
    ]
    assert exposures == pytest.approx([1.0, -1.0])


def test_ruin_is_a_loss_of_everything_and_has_figures():
    ruined = measure(book(np.concatenate([np.full(20, 0.01), [-1.0], np.zeros(20)])), YEAR, CONFIG)
    assert (ruined.total_return.value, ruined.cagr.value, ruined.max_drawdown.value) == pytest.approx((-1.0, -1.0, 1.0))


def test_debt_is_no_more_than_a_loss_of_everything():
    """An account that a gap leaves in debt has lost what it had; the report shows the equity below zero beside it."""
    owing = measure(book(np.concatenate([np.full(20, 0.01), [-1.2], np.zeros(20)])), YEAR, CONFIG)
    assert owing.total_return.value == metrics.total_return(np.array([0.01, -1.2])) == -1.0


def test_figures_of_a_backtest_are_those_of_its_series():
    panel = panel_of_returns(np.random.default_rng(1).normal(0.001, 0.01, (80, 2)))
    rules = replace(RULES.for_baselines(), cost_rate=0.0005)
    half_each, nothing = Entrant("half", Plan(np.full((81, 2), 0.5)), rules), Entrant("cash", Plan(np.zeros((81, 2))), rules)
    results = run_backtests(panel, (half_each, nothing))
    held, cash = measure_all(results, periods_per_year=YEAR, config=CONFIG, market=market_returns(panel))
    assert held.total_return.value == pytest.approx(results[0].total_return)
    assert held.fees.value == pytest.approx(results[0].turnover.sum() * 0.0005, rel=1e-3)
    assert held.trades.value == results[0].trades.sum()
    assert held.concentration.value == pytest.approx(0.5, abs=1e-3)
    assert 0.9 < held.exposure.value == held.net_exposure.value <= 1.001
    assert held.correlation_exposure.value > 0.99
    assert held.average_holding_days.value == 79
    assert (cash.total_return.value, cash.exposure.value) == (0.0, 0.0)
    undefined = ("sharpe", "sortino", "calmar", "omega", "hit_rate", "win_rate", "concentration", "correlation_exposure")
    assert [getattr(cash, name).value for name in undefined] == [None] * len(undefined)


def test_the_interval_of_a_win_rate_does_not_collapse_for_a_policy_that_trades_rarely():
    rare = book(GENERATOR.normal(0, 0.01, 200), trips=8)
    rare.trades_made.exit_time = open_times(201)[25::25]
    rare.trades_made.net_profit = np.array([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0, 1.0])
    figures = measure(rare, YEAR, BootstrapConfig(samples=400, block_length=25))
    assert figures.win_rate.high - figures.win_rate.low > 0.4


def test_the_interval_of_a_sharpe_ratio_counts_the_resamples_that_a_rare_trade_is_missing_from():
    """One bar that won is in two of three resamples: the others stand still, and are as good as cash."""
    rare = measure(book(np.where(np.arange(300) == 100, 0.05, 0.0)), YEAR, CONFIG)
    assert rare.sharpe.low == pytest.approx(0.0, abs=1e-5)
    assert 0.5 < rare.sharpe.value <= rare.sharpe.high


def test_figures_that_no_resample_moves_have_no_interval():
    """All trips end on one bar: drawn or not, they are always the same."""
    hoarder = book(np.random.default_rng(3).normal(0, 0.01, 40), trips=4)
    hoarder.trades_made.exit_time = np.array(["NaT"] * 4, dtype="datetime64[us]")
    rate = measure(hoarder, YEAR, CONFIG).win_rate
    assert rate.value is not None
    assert (rate.low, rate.high) == (None, None)


def test_open_positions_count_towards_the_win_rate():
    hoarder = book(np.zeros(40), trips=4)
    hoarder.trades_made.exit_time = np.array([*open_times(41)[[5, 9]], "NaT", "NaT"], dtype="datetime64[us]")
    hoarder.trades_made.net_profit = np.array([1.0, 1.0, -5.0, -3.0])
    figures = measure(hoarder, YEAR, CONFIG)
    assert figures.win_rate.value == 0.5
    assert figures.profit_factor.value == pytest.approx(2 / 8)
