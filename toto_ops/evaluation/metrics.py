"""What a backtest earned and risked, as figures with intervals.

Every function reduces the last axis of an array of simple returns per bar, open to open, so it serves one series and
all its bootstrap resamples alike. A figure that is not defined (the Sharpe ratio of a flat line) is NaN here and None
in a report, never a number that looks like a result. The risk-free rate is taken as zero: idle cash earns what the
universe's `rates.cash` says, inside the simulation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toto_ops.configuration import StrictModel
from toto_ops.evaluation.bootstrap import BootstrapConfig, Estimate, Statistic, block_estimate

if TYPE_CHECKING:  # evidence is read by the command line, which must not wait for torch
    from toto_ops.simulation.backtest import BacktestResult

Array = NDArray[np.float64]

FLAT = 1e-12
"""A standard deviation per bar below this is rounding error of a flat line."""


def total_return(returns: Array) -> Array:
    """Compounded return over all bars."""
    return np.asarray(np.prod(1.0 + returns, axis=-1) - 1.0)


def volatility(returns: Array, periods_per_year: float) -> Array:
    """Annualised standard deviation of the returns per bar; NaN for fewer than two bars."""
    if returns.shape[-1] < 2:
        return np.full(returns.shape[:-1], np.nan)
    return np.asarray(np.std(returns, axis=-1, ddof=1) * np.sqrt(periods_per_year))


def sharpe_ratio(returns: Array, periods_per_year: float) -> Array:
    """Annualised mean over standard deviation (Sharpe, 1994); NaN for a flat line."""
    spread = volatility(returns, periods_per_year)
    return _ratio(np.mean(returns, axis=-1) * periods_per_year, spread, FLAT * np.sqrt(periods_per_year))


def sortino_ratio(returns: Array, periods_per_year: float) -> Array:
    """Annualised mean over the root mean square of the losses (Sortino and Price, 1994); NaN without a loss."""
    downside = np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2, axis=-1))
    return _ratio(np.mean(returns, axis=-1) * np.sqrt(periods_per_year), downside, FLAT)


def max_drawdown(returns: Array) -> Array:
    """Largest fall from a peak of equity, the starting capital included, as a positive fraction of that peak."""
    equity = np.cumprod(1.0 + returns, axis=-1)
    peak = np.maximum(np.maximum.accumulate(equity, axis=-1), 1.0)
    return np.asarray(np.max(1.0 - equity / peak, axis=-1))


def win_rate(profits: Array) -> Array:
    """Share of closed trades with a net profit; NaN without a trade."""
    return np.mean(profits > 0, axis=-1) if profits.shape[-1] else np.full(profits.shape[:-1], np.nan)


def profit_factor(profits: Array) -> Array:
    """Net profits of the winning trades over net losses of the losing ones; NaN without a losing trade."""
    gains = np.sum(np.maximum(profits, 0.0), axis=-1)
    losses = np.sum(np.maximum(-profits, 0.0), axis=-1)
    return _ratio(gains, losses, 0.0)


class Performance(StrictModel):
    """All figures of one backtest, each with its block-bootstrap interval.

    Attributes
    ----------
    total_return, sharpe, sortino, volatility, max_drawdown
        Of the returns per bar; ratios and volatility annualised.
    win_rate, profit_factor
        Of round trips, net of costs; those still open count at their marked value, so that keeping losers helps nobody.
    trades
        Orders filled.
    fees, interest
        Sum over the bars of what was paid, each as a share of equity at the time; negative interest was earned.
    turnover
        Traded value over equity, per year.
    exposure
        Mean gross exposure.
    """

    total_return: Estimate
    sharpe: Estimate
    sortino: Estimate
    volatility: Estimate
    max_drawdown: Estimate
    win_rate: Estimate
    profit_factor: Estimate
    trades: Estimate
    fees: Estimate
    interest: Estimate
    turnover: Estimate
    exposure: Estimate


def measure(result: BacktestResult, periods_per_year: float, config: BootstrapConfig) -> Performance:
    """Every figure of a backtest.

    Parameters
    ----------
    result
        Of `T` opens, hence `T - 1` returns. Fees of an open fall into the return that follows it, interest into the one
        before.
    periods_per_year
        Bars per year of the universe.
    """
    returns = result.returns
    equity = np.where(result.equity[:-1] > 0, result.equity[:-1], np.inf)
    profits = np.concatenate((result.profits, result.open_profits))
    # A block of round trips stands for as much time as a block of bars, however rarely the policy trades.
    of_trips = config.model_copy(update={"block_length": max(1.0, config.block_length * len(profits) / len(returns))})

    def of_bars(statistic: Statistic, values: Array) -> Estimate:
        return block_estimate(statistic, (values,), config)

    return Performance(
        total_return=of_bars(total_return, returns),
        sharpe=of_bars(lambda series: sharpe_ratio(series, periods_per_year), returns),
        sortino=of_bars(lambda series: sortino_ratio(series, periods_per_year), returns),
        volatility=of_bars(lambda series: volatility(series, periods_per_year), returns),
        max_drawdown=of_bars(max_drawdown, returns),
        win_rate=block_estimate(win_rate, (profits,), of_trips),
        profit_factor=block_estimate(profit_factor, (profits,), of_trips),
        trades=of_bars(_sum, result.trades[:-1].astype(np.float64)),
        fees=of_bars(_sum, result.fees[:-1] / equity),
        interest=of_bars(_sum, result.interest[1:] / equity),
        turnover=of_bars(lambda series: _mean(series) * periods_per_year, result.turnover[:-1]),
        exposure=of_bars(_mean, result.exposure[:-1]),
    )


def minimum_detectable_sharpe(bars: int, periods_per_year: float, *, significance: float = 0.05, power: float = 0.80) -> float:
    """Smallest true annualised Sharpe ratio that a span of this length would tell from zero.

    From the standard error of a Sharpe ratio of zero, `sqrt(periods_per_year / bars)` (Lo, 2002), for a one-sided test.
    """
    from scipy.stats import norm

    return float((norm.ppf(1 - significance) + norm.ppf(power)) * np.sqrt(periods_per_year / bars))


def _sum(values: Array) -> Array:
    return np.asarray(np.sum(values, axis=-1))


def _mean(values: Array) -> Array:
    return np.asarray(np.mean(values, axis=-1))


def _ratio(numerator: Array, denominator: Array, floor: float) -> Array:
    """Quotient; NaN where the denominator is not above `floor`."""
    defined = denominator > floor
    return np.where(defined, numerator / np.where(defined, denominator, 1.0), np.nan)
