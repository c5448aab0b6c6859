"""Perfect foresight: what a trader would earn who knows every next open, at the same costs, lag and limits.

Nobody comes near it without reading the future, so a challenger that does is looked at for a leak. It trades each symbol
like a single-symbol policy does, with `w_max` up, flat, or down where shorts are allowed, and changes its side only where
that pays: of all courses of sides, the one with the largest sum of returns less costs, found backwards from the end
(dynamic programming, one symbol at a time). Two things make it greedy: it seeks profit rather than the Sharpe ratio, and
where more symbols than `max_positions` are wanted at once it takes those that move most next. Financing, impact and how
slippage scales do not enter its plan, and are charged to it as to everybody.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toto_ops.evaluation.baselines.market_index import own_open_returns
from toto_ops.features.panel import Panel
from toto_ops.simulation.entrants import Plan
from toto_ops.simulation.fills import fill_rows
from toto_ops.simulation.rules import TradingRules

Array = NDArray[np.float64]


def perfect_foresight(panel: Panel, rules: TradingRules) -> Plan:
    """Target weights `[T, A]` decided at each close in full knowledge of the opens they meet; NaN holds.

    Parameters
    ----------
    panel
        The span, and nothing after it: at its end nothing is known, so nothing changes.
    rules
        Of one account: costs, lag and limits.
    """
    filled = fill_rows(panel.mask, panel.tradable, rules.decision_lag)
    ahead = np.nan_to_num(own_open_returns(panel), nan=0.0)
    cost = np.broadcast_to(np.asarray(rules.cost_rate + rules.slippage, dtype=np.float64), (len(panel.symbols),))
    side = _best_sides(ahead, _fills(filled), cost=cost, may_short=rules.may_short)
    side = _largest_moves(side, _under_way(ahead, panel.tradable), rules.max_positions)
    return Plan(_announced(side, filled) * rules.w_max)


def _fills(filled: NDArray[np.int64]) -> NDArray[np.bool_]:
    """`[T, A]`: some decision takes effect at this open."""
    fills = np.zeros(filled.shape, dtype=bool)
    decided, column = np.nonzero(filled >= 0)
    fills[filled[decided, column], column] = True
    return fills


def _announced(side: Array, filled: NDArray[np.int64]) -> Array:
    """The changes of side alone, each at the close whose decision takes effect at the open it is wanted from; NaN holds."""
    columns = np.arange(side.shape[1])
    announced = np.zeros(side.shape[1])
    changes = np.full(side.shape, np.nan)
    for row, at in enumerate(filled):
        wanted = np.where(at >= 0, side[at, columns], announced)
        changed = wanted != announced
        changes[row, changed] = wanted[changed]
        announced = wanted
    return changes


def _under_way(ahead: Array, tradable: NDArray[np.bool_]) -> Array:
    """The move each symbol is in `[T, A]`: over rows in which it does not open, the one since its latest open."""
    rows = np.arange(len(ahead))[:, None]
    latest = np.maximum.accumulate(np.where(tradable, rows, -1), axis=0)
    return np.where(latest >= 0, np.take_along_axis(ahead, np.maximum(latest, 0), axis=0), 0.0)


def _best_sides(ahead: Array, fills: NDArray[np.bool_], *, cost: Array, may_short: bool) -> Array:
    """The course of sides -1, 0, +1 `[T, A]` with the largest sum of returns less costs; it starts from 0.

    A side changes where `fills` alone.
    """
    sides = np.array([-1.0, 0.0, 1.0] if may_short else [0.0, 1.0])
    switching = np.abs(sides[:, None] - sides[None, :])[:, :, None] * cost
    rows, assets = ahead.shape
    best = np.zeros((rows, len(sides), assets), dtype=np.int64)
    worth = np.zeros((len(sides), assets))
    unchanged = np.arange(len(sides))[:, None]
    for row in range(rows - 1, -1, -1):
        # From each side held before (first axis) to each side held after (second axis).
        kept = sides[:, None] * ahead[row] + worth
        outcome = kept[None] - switching
        best[row] = np.where(fills[row], outcome.argmax(axis=1), unchanged)
        worth = np.where(fills[row], outcome.max(axis=1), kept)
    course = np.empty((rows, assets))
    held = np.full(assets, int(np.flatnonzero(sides == 0.0)[0]))
    for row in range(rows):
        held = best[row, held, np.arange(assets)]
        course[row] = sides[held]
    return course


def _largest_moves(side: Array, ahead: Array, count: int) -> Array:
    """At most `count` sides of each row, those with the largest moves ahead."""
    if side.shape[1] <= count:
        return side
    move = np.where(side != 0, np.abs(ahead), -1.0)
    rank = np.argsort(np.argsort(-move, axis=1, kind="stable"), axis=1)
    return np.where(rank < count, side, 0.0)
