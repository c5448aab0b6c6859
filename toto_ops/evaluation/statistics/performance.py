"""Every figure of many backtests of the same bars, each with its block-bootstrap interval, computed together.

All contestants are resampled by the same draws. What is a function of sums over bars comes from one product of draw counts
with the columns of all contestants (`Resamples.sums`); drawdowns walk all resamples of all contestants bar by bar at once.
`metrics` has the same figures one series at a time, and tests hold the two against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from toto_ops.configuration import StrictModel
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig, Estimate, Resamples, estimate_of, resamples_of
from toto_ops.evaluation.statistics.metrics import FLAT, Array, ratio, tail_bars, with_still_draws
from toto_ops.evaluation.statistics.performance_columns import Columns

if TYPE_CHECKING:  # evidence is read by the command line, which must not wait for torch
    from toto_ops.simulation.backtest import BacktestResult

UNDEFINED = Estimate(value=None)

ROUNDING = 1e-9
"""Relative width below which an interval is a point: sums of the same trades in another order."""


class Performance(StrictModel):
    """All figures of one backtest; undefined ones, and those that older evidence does not have, are None.

    Attributes
    ----------
    total_return, cagr
        Compounded over the span, and per year.
    sharpe, sortino, calmar, omega
        Ratios; the first two annualised, `omega` at a threshold of 0.
    volatility
        Annualised standard deviation of the returns per bar.
    skew, kurtosis
        Of the returns per bar; 0 and 3 for a normal distribution.
    value_at_risk, expected_shortfall
        Least and mean of the 5 % worst losses per bar, as positive fractions of equity.
    max_drawdown, average_drawdown
        Fall from the running peak of equity: the largest, and the mean over all bars.
    longest_drawdown_days
        Longest time below a former peak, in calendar days: bars times their mean length.
    hit_rate
        Share of the bars with a profit among those with a profit or a loss.
    win_rate, profit_factor, average_holding_days
        Of round trips, net of costs; those still open count at their marked value, so that keeping losers helps nobody.
    trades
        Orders filled.
    fees, interest
        Sum over the bars of what was paid, each as a share of equity at the time; negative interest was earned.
    turnover
        Traded value over equity, per year.
    exposure, net_exposure
        Mean gross and mean net exposure, in units of equity.
    concentration
        Mean over the bars with a position of the Herfindahl index of its gross weights: 1 for a single symbol, `1 / n` for
        `n` equal ones.
    correlation_exposure
        Correlation of its returns with those of the equal-weight market on the same bars.
    """

    total_return: Estimate
    cagr: Estimate = UNDEFINED
    sharpe: Estimate
    sortino: Estimate
    calmar: Estimate = UNDEFINED
    omega: Estimate = UNDEFINED
    volatility: Estimate
    skew: Estimate = UNDEFINED
    kurtosis: Estimate = UNDEFINED
    value_at_risk: Estimate = UNDEFINED
    expected_shortfall: Estimate = UNDEFINED
    max_drawdown: Estimate
    average_drawdown: Estimate = UNDEFINED
    longest_drawdown_days: Estimate = UNDEFINED
    hit_rate: Estimate = UNDEFINED
    win_rate: Estimate
    profit_factor: Estimate
    average_holding_days: Estimate = UNDEFINED
    trades: Estimate
    fees: Estimate
    interest: Estimate
    turnover: Estimate
    exposure: Estimate
    net_exposure: Estimate = UNDEFINED
    concentration: Estimate = UNDEFINED
    correlation_exposure: Estimate = Field(default=UNDEFINED, description="None without a market to compare with")


def measure_all(
    results: Sequence[BacktestResult], *, periods_per_year: float, config: BootstrapConfig, market: Array | None = None
) -> tuple[Performance, ...]:
    """Every figure of several backtests of the same bars.

    Parameters
    ----------
    results
        Of `T` opens, hence `T - 1` returns each. Fees of an open fall into the return that follows it, interest into the
        one before; a round trip counts where it was closed.
    periods_per_year
        Rows per year of the span.
    market
        `[T - 1]` returns of the equal-weight market (`market_returns`); None where there is none to compare with.

    Raises
    ------
    ValueError
        If the results are of different bars.
    """
    if not results:
        return ()
    if any(not np.array_equal(result.open_time, results[0].open_time) for result in results):
        raise ValueError("backtests of different bars cannot be measured together")
    resamples = resamples_of(len(results[0].returns), config)
    columns = Columns.of(results, market)
    figures = {
        **_of_sums(columns, resamples, periods_per_year),
        **_of_tails(columns.returns, resamples),
        **_of_paths(columns, resamples),
    }
    figures["calmar"] = ratio(figures["cagr"], figures["max_drawdown"], FLAT)
    return tuple(
        Performance(**{name: _estimate(values[:, column], config.level) for name, values in figures.items()})
        for column in range(len(results))
    )


def _estimate(values: Array, level: float) -> Estimate:
    """Without an interval where every resample says the same, as of trades that all end on one bar: none is no certainty."""
    found = estimate_of(values, level)
    moved = found.low is not None and found.high is not None and not isclose(found.low, found.high, rel_tol=ROUNDING)
    return found if moved else Estimate(value=found.value)


def measure(result: BacktestResult, periods_per_year: float, config: BootstrapConfig, market: Array | None = None) -> Performance:
    """Every figure of one backtest (`measure_all`)."""
    (performance,) = measure_all([result], periods_per_year=periods_per_year, config=config, market=market)
    return performance


def _of_sums(columns: Columns, resamples: Resamples, periods_per_year: float) -> dict[str, Array]:
    """Figures `[1 + samples, k]` that are functions of sums over bars."""
    bars = len(columns.returns)
    total = columns.sums(resamples)
    # Moments about the mean of the sample itself: the mean of a resample lies close to it, so that nothing cancels.
    drift, second, third, fourth = (total[name] / bars for name in ("deviation", "deviation_2", "deviation_3", "deviation_4"))
    variance = np.maximum(second - drift**2, 0.0)
    spread = np.sqrt(variance * bars / max(bars - 1, 1)) if bars > 1 else np.full_like(variance, np.nan)
    mean = columns.mean + drift
    year = np.sqrt(periods_per_year)
    third_central = third - 3 * drift * second + 2 * drift**3
    fourth_central = fourth - 4 * drift * third + 6 * drift**2 * second - 3 * drift**4
    figures = {
        "total_return": np.exp(total["log_return"]) - 1.0,
        "cagr": np.exp(total["log_return"] / bars * periods_per_year) - 1.0,
        "sharpe": with_still_draws(ratio(mean, spread, FLAT)) * year,
        "sortino": ratio(mean, np.sqrt(total["squared_loss"] / bars), FLAT) * year,
        "omega": ratio(total["gain"], total["loss"], FLAT),
        "volatility": spread * year,
        "skew": ratio(third_central, np.sqrt(variance) ** 3, FLAT**3),
        "kurtosis": ratio(fourth_central, variance**2, FLAT**4),
        "hit_rate": ratio(total["gained"], total["moved"], 0.0),
        "win_rate": ratio(total["trips_won"], total["trips"], 0.0),
        "profit_factor": ratio(total["trip_profit"], total["trip_loss"], 0.0),
        "average_holding_days": ratio(total["trip_days"], total["trips"], 0.0),
        "trades": total["trades"],
        "fees": total["fees"],
        "interest": total["interest"],
        "turnover": total["turnover"] / bars * periods_per_year,
        "exposure": total["gross"] / bars,
        "net_exposure": total["net"] / bars,
        "concentration": ratio(total["herfindahl"], total["invested"], 0.0),
    }
    if columns.has_market:
        market_drift, market_second, together = (total[name] / bars for name in ("market", "market_2", "with_market"))
        market_variance = np.maximum(market_second - market_drift**2, 0.0)
        scale = np.sqrt(variance * market_variance)
        figures["correlation_exposure"] = ratio(together - drift * market_drift, scale, FLAT**2)
    return figures


def _of_tails(returns: Array, resamples: Resamples) -> dict[str, Array]:
    """Value at risk and expected shortfall `[1 + samples, k]`, from the counts of the worst bars alone."""
    bars, contestants = returns.shape
    wanted = tail_bars(bars)
    figures = np.empty((2, len(resamples.counts), contestants))
    for column in range(contestants):
        worst = np.argsort(returns[:, column], kind="stable")
        depth = min(bars, 2 * wanted)
        drawn = np.cumsum(resamples.counts[:, worst[:depth]], axis=1)
        while drawn[:, -1].min() < wanted:
            depth = min(bars, 2 * depth)
            drawn = np.cumsum(resamples.counts[:, worst[:depth]], axis=1)
        losses = -returns[worst[:depth], column]
        in_tail = np.minimum(drawn, wanted)
        figures[0, :, column] = losses[np.argmax(drawn >= wanted, axis=1)]
        figures[1, :, column] = np.diff(in_tail, axis=1, prepend=0.0) @ losses / wanted
    return {"value_at_risk": figures[0], "expected_shortfall": figures[1]}


def _of_paths(columns: Columns, resamples: Resamples) -> dict[str, Array]:
    """Drawdown figures `[1 + samples, k]`: every path walks on by one bar at a time."""
    factors = 1.0 + columns.returns
    shape = (resamples.order.shape[1], factors.shape[1])
    equity, peak, deepest = np.ones(shape), np.ones(shape), np.ones(shape)
    share_of_peak, factor = np.empty(shape), np.empty(shape)
    total, below, longest = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for drawn in resamples.order:
        np.take(factors, drawn, axis=0, out=factor, mode="clip")
        equity *= factor
        np.maximum(peak, equity, out=peak)
        np.divide(equity, peak, out=share_of_peak)
        np.minimum(deepest, share_of_peak, out=deepest)
        total += share_of_peak
        below += 1.0
        below *= share_of_peak < 1.0
        np.maximum(longest, below, out=longest)
    return {
        "max_drawdown": 1.0 - deepest,
        "average_drawdown": 1.0 - total / len(resamples.order),
        "longest_drawdown_days": longest * columns.days_per_bar,
    }
