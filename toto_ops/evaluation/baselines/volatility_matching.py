"""The benchmark a model must beat: equal weight, exactly as volatile as the model was.

A ladder of rungs holds equal weight at growing gross exposure, rebalanced at every bar, each in an account of its own. The
benchmark splits its capital between the two neighbouring rungs whose volatilities enclose the target, once, at the start:
anyone could have held it, and every cost and every interest of it is paid. Which rungs, and in which shares, is found ex
post: the benchmark knows how volatile the span was going to be. That is deliberate. It answers what the same risk would
have earned without any skill, and the hindsight is the benchmark's, not the model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from toto_ops.evaluation.baselines.plans import REBALANCED, baseline_plan
from toto_ops.evaluation.statistics.metrics import volatility
from toto_ops.features.panel import Panel
from toto_ops.simulation.backtest import BacktestResult
from toto_ops.simulation.entrants import Entrant, Plan
from toto_ops.simulation.rules import TradingRules
from toto_ops.simulation.trades import Trades

RUNGS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
"""Gross exposures of the ladder; above 1 the rest is borrowed and financed."""


@dataclass(frozen=True)
class VolatilityMatch:
    """Equal weight as volatile as what it is compared with.

    Attributes
    ----------
    scale
        Gross exposure at the start: that of the two rungs in the shares held.
    target, realised
        Annualised volatility asked for and reached.
    matched
        Whether they agree. They do not where no two rungs enclose the target, for want of movement or because the rungs
        that would went bankrupt; `result` is then the rung that came nearest.
    result
        What became of it.
    """

    scale: float
    target: float
    realised: float
    matched: bool
    result: BacktestResult


def equal_weight_ladder(
    panel: Panel, rules: TradingRules, after: datetime | None = None, until: datetime | None = None
) -> tuple[Entrant, ...]:
    """One entrant for each of `RUNGS`, in their order, over `panel.between(after, until)`.

    Parameters
    ----------
    rules
        Of the universe; its limits are lifted here.
    """
    whole, free = baseline_plan(REBALANCED, panel, after, until).weights, rules.for_baselines()
    return tuple(Entrant(f"equal weight rebalanced x {scale:g}", Plan(scale * whole), free) for scale in RUNGS)


def volatility_matched(rungs: Sequence[BacktestResult], target: float, periods_per_year: float) -> VolatilityMatch:
    """Split capital between two rungs so that the realised volatility is the target.

    Parameters
    ----------
    rungs
        Backtests of `equal_weight_ladder`, in its order.
    target
        Annualised volatility to reach, per `periods_per_year` bars.
    """
    solvent = [(scale, rung) for scale, rung in zip(RUNGS, rungs, strict=True) if not rung.bankrupt.any()]
    realised = [float(volatility(rung.returns, periods_per_year)) for _, rung in solvent]
    for (low, high), ((scale, lower), (next_scale, upper)) in zip(pairwise(realised), pairwise(solvent), strict=True):
        if min(low, high) <= target <= max(low, high):
            share = _share(lower, upper, target, periods_per_year)
            mixed = mix(lower, upper, share)
            reached = float(volatility(mixed.returns, periods_per_year))
            return VolatilityMatch(share * scale + (1 - share) * next_scale, target, reached, matched=True, result=mixed)
    nearest = int(np.argmin(np.abs(np.array(realised) - target)))
    scale, rung = solvent[nearest]
    return VolatilityMatch(scale, target, realised[nearest], matched=False, result=rung)


def _share(lower: BacktestResult, upper: BacktestResult, target: float, periods_per_year: float) -> float:
    """Share of the capital in `lower` at which both together are as volatile as the target, which lies between the two."""
    from scipy.optimize import brentq

    def excess(share: float) -> float:
        equity = share * lower.equity + (1 - share) * upper.equity
        return float(volatility(equity[1:] / equity[:-1] - 1.0, periods_per_year)) - target

    return float(brentq(excess, 0.0, 1.0, xtol=1e-15))


def mix(one: BacktestResult, other: BacktestResult, share: float) -> BacktestResult:
    """Two accounts held side by side, `share` of the capital in the first, as one.

    Nothing moves between them after the start. What they decided differs, so the mix has no decisions: every target is
    NaN. Where both trade a symbol, it counts as one trade.

    Raises
    ------
    ValueError
        If the two did not trade the same bars with the same capital, or one of them went bankrupt.
    """
    same_bars = one.symbols == other.symbols and np.array_equal(one.open_time, other.open_time)
    if not same_bars or one.equity[0] != other.equity[0] or one.bankrupt.any() or other.bankrupt.any():
        raise ValueError("only solvent accounts that traded the same bars with the same capital can be held side by side")

    def both(of_one: NDArray[np.float64], of_other: NDArray[np.float64]) -> NDArray[np.float64]:
        return share * of_one + (1 - share) * of_other

    equity, fees, costs = both(one.equity, other.equity), both(one.fees, other.fees), both(one.costs, other.costs)
    left, left_one, left_other = equity - fees, one.equity - one.fees, other.equity - other.fees
    trades = _held_side_by_side(one.trades_made, other.trades_made, share)
    weights = both(one.weights * left_one[:, None], other.weights * left_other[:, None]) / left[:, None]
    return replace(
        one,
        equity=equity,
        returns=equity[1:] / equity[:-1] - 1.0,
        weights=weights,
        exposure=np.abs(weights).sum(axis=1),
        fees=fees,
        costs=costs,
        interest=both(one.interest, other.interest),
        turnover=both(one.turnover * one.equity, other.turnover * other.equity) / equity,
        trades=np.maximum(one.trades, other.trades),
        trades_made=trades,
        profits=trades.closed.net_profit,
        open_profits=trades.open.net_profit,
        target=np.full_like(one.target, np.nan),
        fill_row=np.full_like(one.fill_row, -1),
        breaker=one.breaker | other.breaker,
    )


def _held_side_by_side(one: Trades, other: Trades, share: float) -> Trades:
    """The round trips of both accounts, in their shares, in the order of `Trades`."""
    parts = [_scaled(one, share), _scaled(other, 1 - share)]
    both = Trades(**{column.name: np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(Trades)})
    return both.take(np.lexsort((both.symbol, both.exit_time)))


def _scaled(trades: Trades, share: float) -> Trades:
    return replace(
        trades,
        largest_units=share * trades.largest_units,
        largest_value=share * trades.largest_value,
        fees=share * trades.fees,
        net_profit=share * trades.net_profit,
    )
