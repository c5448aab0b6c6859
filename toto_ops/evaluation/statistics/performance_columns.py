"""What several backtests did, bar by bar, as columns whose sums all their figures are functions of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from toto_ops.evaluation.statistics.bootstrap import Resamples
from toto_ops.evaluation.statistics.metrics import Array, log_returns

if TYPE_CHECKING:
    from toto_ops.simulation.backtest import BacktestResult

_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Columns:
    """`k` backtests over `n` returns.

    Attributes
    ----------
    returns
        `[n, k]` simple returns.
    mean
        `[k]` of them.
    by_bar
        Name to `[n, k]`, or `[n, 1]` where all share it.
    days_per_bar
        Mean length of a bar in calendar days.
    has_market
        Whether there is a market to compare with.
    """

    returns: Array
    mean: Array
    by_bar: dict[str, Array]
    days_per_bar: float
    has_market: bool

    @classmethod
    def of(cls, results: Sequence[BacktestResult], market: Array | None) -> Columns:
        """Lay out the columns of results of the same bars; `market` is `[n]` or None."""
        returns = np.stack([result.returns for result in results], axis=1)
        mean = returns.mean(axis=0)
        deviation = returns - mean
        by_bar = {
            "log_return": log_returns(returns),
            "deviation": deviation,
            "deviation_2": deviation**2,
            "deviation_3": deviation**3,
            "deviation_4": deviation**4,
            "gain": np.maximum(returns, 0.0),
            "loss": np.maximum(-returns, 0.0),
            "squared_loss": np.minimum(returns, 0.0) ** 2,
            "gained": (returns > 0).astype(np.float64),
            "moved": (returns != 0).astype(np.float64),
            **_stacked([_books(result) for result in results]),
            **_stacked([_round_trips(result) for result in results]),
        }
        if market is not None:
            excess = (market - market.mean())[:, None]
            by_bar |= {"market": excess, "market_2": excess**2, "with_market": deviation * excess}
        span = results[0].open_time[-1] - results[0].open_time[0]
        return cls(returns, mean, by_bar, float(span / _DAY) / len(returns), market is not None)

    def sums(self, resamples: Resamples) -> dict[str, Array]:
        """Sums of every column over the bars of each resample, `[1 + samples, k or 1]`, in one product."""
        widths = np.cumsum([column.shape[1] for column in self.by_bar.values()])
        total = resamples.sums(np.concatenate(list(self.by_bar.values()), axis=1))
        return dict(zip(self.by_bar, np.split(total, widths[:-1], axis=1), strict=True))


def _books(result: BacktestResult) -> dict[str, Array]:
    """Trades, costs and exposure of one backtest, `[n]` each."""
    equity = np.where(result.equity[:-1] > 0, result.equity[:-1], np.inf)
    size = np.abs(result.weights[:-1])
    gross = size.sum(axis=1)
    invested = gross > 0
    return {
        "trades": result.trades[:-1].astype(np.float64),
        "fees": result.fees[:-1] / equity,
        "interest": result.interest[1:] / equity,
        "turnover": result.turnover[:-1],
        "gross": gross,
        "net": result.weights[:-1].sum(axis=1),
        "invested": invested.astype(np.float64),
        "herfindahl": np.where(invested, (size**2).sum(axis=1) / np.where(invested, gross, 1.0) ** 2, 0.0),
    }


def _round_trips(result: BacktestResult) -> dict[str, Array]:
    """Round trips of one backtest, `[n]` each, at the return that ended with their exit; open ones at the last."""
    trades, bars = result.trades_made, len(result.returns)
    closed = ~np.isnat(trades.exit_time)
    bar = np.where(closed, np.searchsorted(result.open_time, trades.exit_time) - 1, bars - 1)
    profit = trades.net_profit

    def per_bar(values: Array) -> Array:
        return np.bincount(bar, weights=values, minlength=bars).astype(np.float64)

    return {
        "trips": per_bar(np.ones(len(profit))),
        "trips_won": per_bar((profit > 0).astype(np.float64)),
        "trip_profit": per_bar(np.maximum(profit, 0.0)),
        "trip_loss": per_bar(np.maximum(-profit, 0.0)),
        "trip_days": per_bar(trades.holding_days),
    }


def _stacked(parts: Sequence[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.stack([part[name] for part in parts], axis=1) for name in parts[0]}
