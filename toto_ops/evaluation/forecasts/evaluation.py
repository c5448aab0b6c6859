"""Forecasts of a span judged: every figure of every contestant, and the forecaster's lead with intervals.

Intervals resample moments in blocks (`toto_ops.evaluation.statistics.bootstrap`): all symbols of a moment stay together,
since they move together, and blocks are at least as long as the horizon, since outcomes that overlap share bars. All
figures with an interval are quotients of sums over moments, so that one product with the counts of the draws gives them on
every resample. The rank correlation is one as far as the ranks stay those of the sample itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from toto_ops.evaluation.forecasts.documents import (
    Calibration,
    Comparison,
    Direction,
    ForecastEvaluation,
    HorizonEvaluation,
    Scores,
    SymbolEvaluation,
)
from toto_ops.evaluation.forecasts.span_forecasts import SpanForecasts
from toto_ops.evaluation.forecasts.tallies import COLUMNS, SymbolTally, Tally, comparable, tally
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig, Estimate, estimate_of, resamples_of
from toto_ops.forecasting.quantiles import LEVELS

Array = NDArray[np.float64]

MOST_MOMENTS = 2_000
"""Moments that are resampled one by one; of longer spans neighbours are drawn together, in groups as small as this allows.
Draws of a span of hundreds of thousands of bars would not fit into memory, and its blocks hold many of them anyway."""

RESOLUTION = 1e-6
"""Share of a loss below which a lead is none: quantiles are float32, and who says the same as a baseline must not beat it."""


def evaluate_forecasts(forecasts: SpanForecasts, bootstrap: BootstrapConfig) -> ForecastEvaluation:
    """Measure the forecaster and every baseline against what came to be.

    A horizon longer than the span has no outcome, and so no figures.

    Parameters
    ----------
    bootstrap
        Resamples, level of the intervals, and the mean length of a block where the horizon is shorter.
    """
    by_horizon = [_evaluate_horizon(forecasts, column, horizon, bootstrap) for column, horizon in enumerate(forecasts.horizons)]
    return ForecastEvaluation(
        universe=forecasts.universe,
        part=forecasts.part,
        span=forecasts.span,
        forecaster=forecasts.forecaster,
        backbone=forecasts.backbone,
        knows_until=forecasts.knows_until,
        possibly_knows_until=forecasts.possibly_knows_until,
        season=forecasts.season,
        levels=LEVELS,
        bootstrap=bootstrap,
        pooled=tuple(pooled for pooled, _ in by_horizon),
        symbols=tuple(
            SymbolEvaluation(symbol=one.symbol, horizons=tuple(symbols[row] for _, symbols in by_horizon))
            for row, one in enumerate(forecasts.symbols)
        ),
    )


def _evaluate_horizon(
    forecasts: SpanForecasts, column: int, horizon: int, bootstrap: BootstrapConfig
) -> tuple[HorizonEvaluation, Sequence[HorizonEvaluation]]:
    """Pooled, then of each symbol."""
    tallies = [tally(comparable(one, column, horizon), one.scale) for one in forecasts.symbols]
    totals = [one.total for one in tallies]
    sums = _resampled_sums(tallies, bootstrap.model_copy(update={"block_length": max(bootstrap.block_length, float(horizon))}))
    pooled, *each = (
        _horizon_evaluation(horizon, total, sums[:, group], forecasts.contestants, bootstrap.level)
        for group, total in enumerate((reduce(add, totals), *totals))
    )
    return pooled, each


def _resampled_sums(tallies: Sequence[SymbolTally], config: BootstrapConfig) -> Array:
    """Sums of `per_moment` on the sample and its resamples, `[1 + samples, 1 + A, C + COLUMNS]`: pooled, then each symbol."""
    moments = np.unique(np.concatenate([one.close_time for one in tallies]))
    if not len(moments):
        return np.zeros((1, 1 + len(tallies), tallies[0].per_moment.shape[1]))
    together = -(-len(moments) // MOST_MOMENTS)
    rows = -(-len(moments) // together)
    columns = np.zeros((rows, 1 + len(tallies), tallies[0].per_moment.shape[1]))
    for symbol, one in enumerate(tallies, start=1):
        np.add.at(columns[:, symbol], np.searchsorted(moments, one.close_time) // together, one.per_moment)
    columns[:, 0] = columns[:, 1:].sum(axis=1)
    in_rows = config.model_copy(update={"block_length": max(1.0, config.block_length / together)})
    return resamples_of(rows, in_rows).sums(columns.reshape(rows, -1)).reshape(-1, *columns.shape[1:])


def _horizon_evaluation(horizon: int, total: Tally, sums: Array, contestants: tuple[str, ...], level: float) -> HorizonEvaluation:
    """Of one group of symbols.

    Parameters
    ----------
    sums
        `[1 + samples, C + COLUMNS]`, the sample first.
    """
    loss, (calls, rises, hits, products, weight) = sums[:, :-COLUMNS], sums[:, -COLUMNS:].T
    own_edge = estimate_of(_edge(calls, rises, hits), level)
    own_correlation = estimate_of(np.clip(_quotient(products, weight), -1.0, 1.0), level)
    skill = 1.0 - _quotient(loss[:, :1], loss[:, 1:])
    skill = np.where(np.abs(skill) < RESOLUTION, 0.0, skill)
    return HorizonEvaluation(
        horizon=horizon,
        outcomes=total.outcomes,
        scores=tuple(
            _scores(name, row, total, *((own_edge, own_correlation) if row == 0 else _without_interval(row, total)))
            for row, name in enumerate(contestants)
        ),
        comparisons=tuple(
            Comparison(against=name, skill=estimate_of(skill[:, column], level)) for column, name in enumerate(contestants[1:])
        ),
    )


def _scores(name: str, row: int, total: Tally, edge: Estimate, correlation: Estimate) -> Scores:
    """Of the `row`-th contestant."""
    loss = float(total.loss[row])
    return Scores(
        contestant=name,
        mase=_share(float(total.scaled_error[row]), total.scaled),
        crps=_share(2.0 * loss, total.outcomes),
        weighted_quantile_loss=_share(2.0 * loss, total.magnitude),
        information_coefficient=correlation,
        direction=_direction(row, total, edge),
        calibration=_calibration(total.below[row], total.outcomes),
    )


def _direction(row: int, total: Tally, edge: Estimate) -> Direction:
    calls, rises = int(total.calls[row]), int(total.rises[row])
    independent, right = int(total.independent_calls[row]), int(total.independent_hits[row])
    base_rate = _share(max(rises, calls - rises), calls)
    return Direction(
        calls=calls,
        accuracy=_share(float(total.hits[row]), calls),
        base_rate=base_rate,
        edge=edge,
        independent_calls=independent,
        independent_hits=right,
        p_value=None if base_rate is None or not independent else float(binom.sf(right - 1, independent, base_rate)),
    )


def _calibration(below: Array, outcomes: int) -> Calibration | None:
    if not outcomes:
        return None
    shares = below / outcomes
    return Calibration(below=tuple(shares.tolist()), error=float(np.abs(shares - np.array(LEVELS)).mean()))


def _without_interval(row: int, total: Tally) -> tuple[Estimate, Estimate]:
    """Edge and rank correlation of a baseline."""
    edge = _edge(total.calls[row], total.rises[row], total.hits[row])
    correlation = _share(float(total.correlation[row]), total.correlated)
    return Estimate(value=float(edge) if np.isfinite(edge) else None), Estimate(value=correlation)


def _edge(calls: Array, rises: Array, hits: Array) -> Array:
    """Accuracy less the share of the more frequent direction."""
    return _quotient(hits - np.maximum(rises, calls - rises), calls)


def _quotient(part: Array, whole: Array) -> Array:
    """NaN where there is nothing to take a share of."""
    return np.asarray(np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan))


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
