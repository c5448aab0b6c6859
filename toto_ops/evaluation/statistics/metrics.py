"""What a series of returns earned and risked: the definitions, each a function of the last axis.

Every function reduces the last axis of an array of simple returns per bar, open to open, so it serves one series and
any stack of them. A figure that is not defined (the Sharpe ratio of a flat line) is NaN here and None in a report, never a
number that looks like a result. The risk-free rate is taken as zero: idle cash earns what the universe's `rates.cash`
says, inside the simulation. `performance` computes the same figures for many backtests and all their resamples at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLAT = 1e-12
"""A standard deviation per bar below this is rounding error of a flat line."""

TAIL = 0.05
"""Share of the worst bars that value at risk and expected shortfall are about."""

RUIN = float(np.finfo(np.float64).tiny)
"""What is left of one unit of money after a return of -100 % or worse, so that its logarithm is a number."""


def log_returns(returns: Array) -> Array:
    """Logarithmic returns of simple ones; the loss of everything is `log(RUIN)`, about -708."""
    return np.asarray(np.log(np.maximum(1.0 + returns, RUIN)))


def total_return(returns: Array) -> Array:
    """Compounded return over all bars; -1 once everything is lost: nothing is won on what is owed."""
    return np.asarray(np.prod(np.maximum(1.0 + returns, 0.0), axis=-1) - 1.0)


def cagr(returns: Array, periods_per_year: float) -> Array:
    """Compound annual growth rate."""
    return np.asarray(np.exp(np.mean(log_returns(returns), axis=-1) * periods_per_year) - 1.0)


def volatility(returns: Array, periods_per_year: float) -> Array:
    """Annualised standard deviation of the returns per bar; NaN for fewer than two bars."""
    if returns.shape[-1] < 2:
        return np.full(returns.shape[:-1], np.nan)
    return np.asarray(np.std(returns, axis=-1, ddof=1) * np.sqrt(periods_per_year))


def sharpe_ratio(returns: Array, periods_per_year: float) -> Array:
    """Annualised mean over standard deviation (Sharpe, 1994); NaN for a flat line."""
    spread = volatility(returns, periods_per_year)
    return ratio(np.mean(returns, axis=-1) * periods_per_year, spread, FLAT * np.sqrt(periods_per_year))


def with_still_draws(sharpe: Array) -> Array:
    """`[1 + samples, ...]` Sharpe ratios of a sample, first, and of its resamples, where those that stand still count as 0.

    A resample without a position is as good as cash: to leave it out would flatter who trades rarely. A sample that stands
    still has no ratio, whatever is drawn from it.
    """
    counted = np.nan_to_num(sharpe, nan=0.0)
    counted[0] = sharpe[0]
    return counted


def sortino_ratio(returns: Array, periods_per_year: float) -> Array:
    """Annualised mean over the root mean square of the losses (Sortino and Price, 1994); NaN without a loss."""
    downside = np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2, axis=-1))
    return ratio(np.mean(returns, axis=-1) * np.sqrt(periods_per_year), downside, FLAT)


def omega_ratio(returns: Array) -> Array:
    """Sum of the gains over sum of the losses, at a threshold of 0 (Keating and Shadwick, 2002); NaN without a loss."""
    gains, losses = np.maximum(returns, 0.0).sum(axis=-1), np.maximum(-returns, 0.0).sum(axis=-1)
    return ratio(gains, losses, FLAT)


def skew(returns: Array) -> Array:
    """Third standardised moment of the sample; NaN for a flat line."""
    return _standardised_moment(returns, 3)


def kurtosis(returns: Array) -> Array:
    """Fourth standardised moment of the sample, 3 for a normal distribution; NaN for a flat line."""
    return _standardised_moment(returns, 4)


def value_at_risk(returns: Array) -> Array:
    """Historical value at risk: the smallest of the `TAIL` worst losses per bar, positive where it is one."""
    return -np.sort(returns, axis=-1)[..., tail_bars(returns.shape[-1]) - 1]


def expected_shortfall(returns: Array) -> Array:
    """Mean of the `TAIL` worst losses per bar (CVaR), positive where it is a loss."""
    return np.asarray(-np.sort(returns, axis=-1)[..., : tail_bars(returns.shape[-1])].mean(axis=-1))


def hit_rate(returns: Array) -> Array:
    """Share of the bars with a profit among those with a profit or a loss; NaN where nothing moved."""
    return ratio((returns > 0).sum(axis=-1), (returns != 0).sum(axis=-1), 0.0)


def drawdowns(returns: Array) -> Array:
    """Fall from the running peak of equity at each bar, the starting capital included, as a positive fraction of the peak."""
    equity = np.cumprod(1.0 + returns, axis=-1)
    peak = np.maximum(np.maximum.accumulate(equity, axis=-1), 1.0)
    return np.asarray(1.0 - equity / peak)


def max_drawdown(returns: Array) -> Array:
    """Largest fall from a peak of equity."""
    return np.asarray(np.max(drawdowns(returns), axis=-1))


def average_drawdown(returns: Array) -> Array:
    """Mean over the bars of the fall from the running peak: the pain index (Becker, 2006)."""
    return np.asarray(np.mean(drawdowns(returns), axis=-1))


def longest_drawdown(returns: Array) -> Array:
    """Longest run of bars below a former peak, in bars."""
    below = drawdowns(returns) > 0
    row = np.arange(1, returns.shape[-1] + 1)
    last_peak = np.maximum.accumulate(np.where(below, 0, row), axis=-1)
    return np.asarray((row - last_peak).max(axis=-1), dtype=np.float64)


def calmar_ratio(returns: Array, periods_per_year: float) -> Array:
    """Compound annual growth over maximum drawdown (Young, 1991); NaN without a drawdown."""
    return ratio(cagr(returns, periods_per_year), max_drawdown(returns), FLAT)


def win_rate(profits: Array) -> Array:
    """Share of closed trades with a net profit; NaN without a trade."""
    return np.mean(profits > 0, axis=-1) if profits.shape[-1] else np.full(profits.shape[:-1], np.nan)


def profit_factor(profits: Array) -> Array:
    """Net profits of the winning trades over net losses of the losing ones; NaN without a losing trade."""
    gains = np.sum(np.maximum(profits, 0.0), axis=-1)
    losses = np.sum(np.maximum(-profits, 0.0), axis=-1)
    return ratio(gains, losses, 0.0)


def ratio(numerator: Array, denominator: Array, floor: float) -> Array:
    """Quotient; NaN where the denominator is not above `floor`."""
    defined = denominator > floor
    return np.where(defined, numerator / np.where(defined, denominator, 1.0), np.nan)


def tail_bars(bars: int) -> int:
    """Bars in the tail of so many: at least one."""
    return max(1, int(np.ceil(TAIL * bars - 1e-9)))


def _standardised_moment(returns: Array, order: int) -> Array:
    deviation = returns - returns.mean(axis=-1, keepdims=True)
    return ratio(np.mean(deviation**order, axis=-1), np.maximum(np.std(returns, axis=-1), 0.0) ** order, FLAT**order)
