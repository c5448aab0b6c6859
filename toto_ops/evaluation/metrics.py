"""What a backtest earned and risked, as figures with intervals.

Every function reduces the last axis of an array of simple returns per bar, open to open, so it serves one series and
all its bootstrap resamples alike. A figure that is not defined (the Sharpe ratio of a flat line) is NaN here and None
in a report, never a number that looks like a result. The risk-free rate is taken as zero: idle cash earns what the
universe's `rates.cash` says, inside the simulation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toto_ops.configuration import StrictModel
from toto_ops.evaluation.bootstrap import BootstrapConfig, Estimate, Statistic, block_estimate
from toto_ops.simulation.backtest import BacktestResult

Array = NDArray[np.float64]

FLAT = 1e-12
"""A standard deviation per bar below this is rounding error of a flat line."""


def total_return(returns: Array) -> Array:
    """Compounded return over all bars."""
    return np.prod(1.0 + returns, axis=-1) - 1.0


def volatility(returns: Array, periods_per_year: float) -> Array:
    """Annualised standard deviation of the returns per bar; NaN for fewer than two bars."""
    if returns.shape[-1] < 2:
        return np.full(returns.shape[:-1], np.nan)
    return np.std(returns, axis=-1, ddof=1) * np.sqrt(periods_per_year)


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
    return np.max(1.0 - equity / peak, axis=-1)


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
    win_rate, profit_factor, trades
        Of positions opened and closed again; partial sales count with their position.
    fees, interest
        Sum over the bars of what was paid, each as a share of equity at the time.
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
        Of `T` opens, hence `T - 1` returns; what happens at the last open is not part of any return.
    periods_per_year
        Bars per year of the universe.
    """
    returns = result.returns
    bars = len(returns)
    equity = np.maximum(result.equity[:bars], np.finfo(np.float64).tiny)

    def of_returns(statistic: Statistic) -> Estimate:
        return block_estimate(statistic, (returns,), config)

    def total(values: Array) -> Estimate:
        return block_estimate(lambda series: np.sum(series, axis=-1), (np.asarray(values[:bars], dtype=np.float64),), config)

    def mean(values: Array, scale: float = 1.0) -> Estimate:
        return block_estimate(lambda series: scale * np.mean(series, axis=-1), (np.asarray(values[:bars], dtype=np.float64),), config)

    return Performance(
        total_return=of_returns(total_return),
        sharpe=of_returns(lambda series: sharpe_ratio(series, periods_per_year)),
        sortino=of_returns(lambda series: sortino_ratio(series, periods_per_year)),
        volatility=of_returns(lambda series: volatility(series, periods_per_year)),
        max_drawdown=of_returns(max_drawdown),
        win_rate=block_estimate(win_rate, (result.trade_profits,), config),
        profit_factor=block_estimate(profit_factor, (result.trade_profits,), config),
        trades=total(result.trades),
        fees=total(result.fees[:bars] / equity),
        interest=total(result.interest[:bars] / equity),
        turnover=mean(result.turnover, periods_per_year),
        exposure=mean(result.exposure),
    )


def minimum_detectable_sharpe(bars: int, periods_per_year: float, *, significance: float = 0.05, power: float = 0.80) -> float:
    """Smallest true annualised Sharpe ratio that a span of this length would tell from zero.

    From the standard error of a Sharpe ratio of zero, `sqrt(periods_per_year / bars)` (Lo, 2002), for a one-sided test.
    """
    from scipy.stats import norm

    return float((norm.ppf(1 - significance) + norm.ppf(power)) * np.sqrt(periods_per_year / bars))


def _ratio(numerator: Array, denominator: Array, floor: float) -> Array:
    """Quotient; NaN where the denominator is not above `floor`."""
    defined = denominator > floor
    return np.where(defined, numerator / np.where(defined, denominator, 1.0), np.nan)
