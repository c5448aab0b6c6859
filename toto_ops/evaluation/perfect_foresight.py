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

from toto_ops.features.panel import Panel
from toto_ops.simulation.entrants import Plan
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
    ahead = _next_returns(panel)
    cost = np.broadcast_to(np.asarray(rules.cost_rate + rules.slippage, dtype=np.float64), (len(panel.symbols),))
    side = _best_sides(ahead, panel.tradable, cost=cost, may_short=rules.may_short)
    side = _largest_moves(side, ahead, rules.max_positions)
    return Plan(_announced(_due(side, rules.decision_lag), panel.mask) * rules.w_max)


def _due(side: Array, lag: int) -> Array:
    """What to decide at each close: the side of the open it meets, `lag` rows later; at the end the last one stays."""
    last = np.repeat(side[-1:], min(lag, len(side)), axis=0)
    return np.concatenate((side[lag:], last))


def _announced(due: Array, decides: NDArray[np.bool_]) -> Array:
    """The changes of side alone, at the closes where something can be decided; NaN holds."""
    announced = np.zeros(due.shape[1])
    changes = np.full(due.shape, np.nan)
    for row, wanted in enumerate(due):
        changed = decides[row] & (wanted != announced)
        changes[row, changed] = wanted[changed]
        announced = np.where(changed, wanted, announced)
    return changes


def _next_returns(panel: Panel) -> Array:
    """Return `[T, A]` from the open of each row to the symbol's next open; 0 where either is missing."""
    rows, assets = panel.tradable.shape
    following = np.full(assets, np.nan)
    ahead = np.zeros((rows, assets))
    for row in range(rows - 1, -1, -1):
        opens = panel.tradable[row]
        known = opens & ~np.isnan(following)
        ahead[row, known] = following[known] / panel.open[row, known] - 1.0
        following = np.where(opens, panel.open[row], following)
    return ahead


def _best_sides(ahead: Array, tradable: NDArray[np.bool_], *, cost: Array, may_short: bool) -> Array:
    """The course of sides -1, 0, +1 `[T, A]` with the largest sum of returns less costs; it starts from 0."""
    sides = np.array([-1.0, 0.0, 1.0] if may_short else [0.0, 1.0])
    switching = np.abs(sides[:, None] - sides[None, :])[:, :, None] * cost
    rows, assets = ahead.shape
    best = np.zeros((rows, len(sides), assets), dtype=np.int64)
    worth = np.zeros((len(sides), assets))
    unchanged = np.arange(len(sides))[:, None]
    for row in range(rows - 1, -1, -1):
        # From each side held before (first axis) to each side held after (second axis).
        outcome = (sides[:, None] * ahead[row] + worth)[None] - switching
        best[row] = np.where(tradable[row], outcome.argmax(axis=1), unchanged)
        worth = np.where(tradable[row], outcome.max(axis=1), worth)
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
