"""What any model must be better than: six portfolios that anyone can hold, as plans over a span.

Each is computed from closes up to the one it decides at, the bars before the span included, and is decided and filled at
the lag and the costs of every policy, through the same simulator; only the limits of the universe (caps, band, stop,
breaker, participation) do not bind it (`TradingRules.for_baselines`).

Where a symbol has no bar at a row at which the others are decided
on, its own decision is taken at its next bar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from toto_ops.evaluation.baselines.price_history import PriceHistory
from toto_ops.evaluation.baselines.risk_parity import equal_risk_contribution
from toto_ops.features.moments import to_utc64
from toto_ops.features.panel import Panel, no_bar_between
from toto_ops.simulation.entrants import Entrant, Plan
from toto_ops.simulation.rules import TradingRules

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

REBALANCE_ROWS = 21
"""Rows from one decision to the next of the baselines that estimate something: a month of a stock exchange's days."""

_NUMBERS_AT_ONCE = 2**24
"""Entries of the covariance matrices that are held at one time."""


Weigh = Callable[[PriceHistory, Rows], Array]
"""Target weights `[K, A]` at `K` rows of a history."""


def hold_nothing(history: PriceHistory, rows: Rows) -> Array:
    """Cash."""
    return np.zeros((len(rows), history.mask.shape[1]))


def weigh_equally(history: PriceHistory, rows: Rows) -> Array:
    """The same share of equity in every symbol that is present."""
    present = history.present[rows].astype(np.float64)
    return np.asarray(present / np.maximum(present.sum(axis=1, keepdims=True), 1.0))


def follow_momentum(history: PriceHistory, rows: Rows) -> Array:
    """An equal share in every symbol whose price has risen over `MOMENTUM_BARS`, cash in place of the others.

    Time-series momentum of Moskowitz, Ooi and Pedersen (2012), without shorts and without scaling by volatility.
    """
    return np.where(history.momentum[rows] > 0, weigh_equally(history, rows), 0.0)


def weigh_by_inverse_volatility(history: PriceHistory, rows: Rows) -> Array:
    """Shares in inverse proportion to the volatility over `RISK_ROWS`."""
    return _weigh_by_risk(history, rows, lambda covariance: 1.0 / np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1)))


def weigh_by_risk_parity(history: PriceHistory, rows: Rows) -> Array:
    """Shares that contribute equally to the variance of the portfolio, correlations included, over `RISK_ROWS`."""
    return _weigh_by_risk(history, rows, equal_risk_contribution)


def _weigh_by_risk(history: PriceHistory, rows: Rows, weigh: Callable[[Array], Array]) -> Array:
    """Weights of the symbols whose risk is known; they add up to 1, or to 0 where none is known."""
    assets = history.mask.shape[1]
    weights = np.zeros((len(rows), assets))
    for chunk in np.array_split(np.arange(len(rows)), 1 + len(rows) * assets**2 // _NUMBERS_AT_ONCE):
        estimates = [history.covariance(int(row)) for row in rows[chunk]]
        if estimates:
            covariance, known = (np.stack(parts) for parts in zip(*estimates, strict=True))
            weights[chunk] = np.where(known, weigh(covariance), 0.0)
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(weights / np.where(total > 0, total, 1.0))


@dataclass(frozen=True)
class Baseline:
    """One portfolio that anyone can hold.

    Attributes
    ----------
    name
        What reports call it.
    weigh
        Its weights.
    every
        Rows from one decision to the next; None decides once.
    """

    name: str
    weigh: Weigh
    every: int | None


REBALANCED = Baseline("equal weight rebalanced", weigh_equally, 1)

BASELINES = (
    Baseline("cash", hold_nothing, None),
    Baseline("equal weight", weigh_equally, None),
    REBALANCED,
    Baseline("momentum", follow_momentum, REBALANCE_ROWS),
    Baseline("inverse volatility", weigh_by_inverse_volatility, REBALANCE_ROWS),
    Baseline("risk parity", weigh_by_risk_parity, REBALANCE_ROWS),
)


def baseline_plans(panel: Panel, after: datetime | None = None, until: datetime | None = None) -> Mapping[str, Plan]:
    """`baseline_plan` of every baseline, by its name."""
    return {baseline.name: baseline_plan(baseline, panel, after, until) for baseline in BASELINES}


def baseline_plan(baseline: Baseline, panel: Panel, after: datetime | None = None, until: datetime | None = None) -> Plan:
    """What a baseline decides over a span.

    Parameters
    ----------
    panel
        Bars of the span and, for what looks back, those before it. Later ones are not read.
    after, until
        The span: rows whose close lies in `(after, until]`, as `Panel.between` has them; open ends where None.

    Returns
    -------
    Plan
        Over the rows of `panel.between(after, until)`.

    Raises
    ------
    InsufficientDataError
        If the span holds no row.
    """
    history, first = _history(panel, after, until)
    anyone = np.flatnonzero(history.present[first:].any(axis=1))
    if not anyone.size:
        return Plan(np.full(history.mask[first:].shape, np.nan))
    begins = first + int(anyone[0])
    rows = np.arange(begins, len(history.mask), baseline.every if baseline.every is not None else len(history.mask))
    return Plan(_at_own_bars(history.mask[first:], rows - first, baseline.weigh(history, rows)))


def baseline_entrants(
    panel: Panel, rules: TradingRules, after: datetime | None = None, until: datetime | None = None
) -> tuple[Entrant, ...]:
    """Every baseline, ready for `run_backtests` over `panel.between(after, until)`.

    Parameters
    ----------
    rules
        Of the universe; its limits are lifted here.
    """
    free = rules.for_baselines()
    return tuple(Entrant(name, plan, free) for name, plan in baseline_plans(panel, after, until).items())


def _history(panel: Panel, after: datetime | None, until: datetime | None) -> tuple[PriceHistory, int]:
    """What is known up to the end of a span, and the row the span begins at."""
    first = 0 if after is None else int(np.searchsorted(panel.close_time, to_utc64(after), side="right"))
    end = panel.rows if until is None else int(np.searchsorted(panel.close_time, to_utc64(until), side="right"))
    if first >= end:
        raise no_bar_between(panel, after, until)
    return PriceHistory(panel.mask[:end], panel.close[:end], panel.close_time[:end]), first


def _at_own_bars(mask: NDArray[np.bool_], rows: Rows, weights: Array) -> Array:
    """Carry each decision to the first bar that its symbol has from there on, and before the next decision.

    Parameters
    ----------
    mask
        `[T, A]` bool.
    rows, weights
        `[K]` increasing, and `[K, A]` decided there.

    Returns
    -------
    Array
        `[T, A]`; NaN where nothing is decided.
    """
    decision = np.searchsorted(rows, np.arange(len(mask)), side="right") - 1
    bars = np.cumsum(mask, axis=0)
    before: Rows = (bars - mask)[rows]
    first = mask & (decision >= 0)[:, None] & (bars - before[decision] == 1)
    return np.where(first, weights[decision], np.nan)
