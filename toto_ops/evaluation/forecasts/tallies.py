"""Counts and sums of one symbol's outcomes at one horizon: what every figure is made of, and what can be added up.

A figure pooled over symbols is the same quotient of added sums; a resample of moments is another way to add them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from toto_ops.evaluation.forecasts.span_forecasts import SymbolForecasts
from toto_ops.forecasting.quantiles import MEDIAN, quantile_loss
from toto_ops.forecasting.skill import FEWEST_PAIRS

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """What can be compared of one symbol at one horizon: bars where every contestant foretold and the outcome is known.

    Attributes
    ----------
    close_time
        `[n]` of the bars the forecasts were made at.
    quantiles
        `[C, n, Q]` float64.
    realised
        `[n]` log returns.
    independent
        `[n]` whether it is one of every `horizon`-th bar, whose outcomes do not overlap.
    """

    close_time: NDArray[np.datetime64]
    quantiles: Array
    realised: Array
    independent: NDArray[np.bool_]


def comparable(forecasts: SymbolForecasts, column: int, horizon: int) -> Outcomes:
    """The outcomes of one horizon, the `column`-th."""
    quantiles, realised = forecasts.quantiles[:, :, column], forecasts.realised[:, column]
    known = np.isfinite(realised) & np.isfinite(quantiles).all(axis=(0, 2))
    return Outcomes(
        close_time=forecasts.close_time[known],
        quantiles=quantiles[:, known].astype(np.float64),
        realised=realised[known],
        independent=(np.arange(len(realised)) % horizon == 0)[known],
    )


def called_direction(median: Array, realised: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether a direction was called and put to the test, and whether it was right; each as `median`, `[..., n]`."""
    called = (median != 0.0) & (realised != 0.0)
    return called, called & (np.sign(median) == np.sign(realised))


def rank_products(median: Array, realised: Array) -> Array:
    """Products of the standardised ranks of each outcome and its median, `[..., n]`: their mean is Spearman's coefficient.

    0 where all medians, or all outcomes, are the same: they rank nothing (`toto_ops.forecasting.skill`).
    """
    return np.asarray(_standardised(rankdata(median, axis=-1)) * _standardised(rankdata(realised)))


def _standardised(ranks: Array) -> Array:
    centred = ranks - ranks.mean(axis=-1, keepdims=True)
    spread = ranks.std(axis=-1, keepdims=True)
    return np.asarray(centred / np.where(spread > 0, spread, 1.0))


@dataclass(frozen=True)
class Tally:
    """Sums over outcomes of each contestant; tallies of several symbols are added to pool them.

    Attributes
    ----------
    outcomes
        How many.
    magnitude
        Sum of the absolute outcomes.
    scaled
        How many of them belong to a symbol whose seasonal scale is known.
    loss
        `[C]` sum of the quantile losses.
    scaled_error
        `[C]` sum of the absolute errors of the median over the scale.
    below
        `[C, Q]` outcomes at or below each quantile.
    calls, rises, hits
        `[C]` called outcomes, those that rose, those called right.
    independent_calls, independent_hits
        `[C]` likewise of outcomes that do not overlap.
    correlation
        `[C]` sum of the rank correlations of the symbols added up.
    correlated
        Symbols with enough outcomes for one.
    """

    outcomes: int
    magnitude: float
    scaled: int
    loss: Array
    scaled_error: Array
    below: Array
    calls: Array
    rises: Array
    hits: Array
    independent_calls: Array
    independent_hits: Array
    correlation: Array
    correlated: int

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)})


COLUMNS = 5
"""Columns of `per_moment` after the losses: calls, rises, hits, rank products, weight of the rank products."""


@dataclass(frozen=True)
class SymbolTally:
    """The sums of one symbol, and the same by moment for those that have intervals.

    Attributes
    ----------
    per_moment
        `[n, C + COLUMNS]` per outcome: the loss of every contestant, then of the forecaster whether it called a direction,
        whether a called outcome rose, whether it was called right, its rank product, and the weight of that. Products and
        weights are divided by the outcomes, so that symbols count alike in a mean of correlations.
    """

    close_time: NDArray[np.datetime64]
    total: Tally
    per_moment: Array


def tally(outcomes: Outcomes, scale: float) -> SymbolTally:
    """Add up one symbol.

    Parameters
    ----------
    scale
        Seasonal scale of the symbol, NaN if unknown.
    """
    realised, median = outcomes.realised, outcomes.quantiles[..., MEDIAN]
    count = len(realised)
    loss = quantile_loss(torch.from_numpy(outcomes.quantiles), torch.from_numpy(realised)).mean(dim=-1).numpy()
    called, right = called_direction(median, realised)
    rose = called & (realised > 0.0)
    ranked = count >= FEWEST_PAIRS
    per_bar = rank_products(median, realised) / count if ranked else np.zeros(median.shape)
    known_scale = bool(np.isfinite(scale))
    total = Tally(
        outcomes=count,
        magnitude=float(np.abs(realised).sum()),
        scaled=count if known_scale else 0,
        loss=loss.sum(axis=-1),
        scaled_error=np.abs(realised - median).sum(axis=-1) / scale if known_scale else np.zeros(len(median)),
        below=(realised[:, None] <= outcomes.quantiles).sum(axis=1).astype(np.float64),
        calls=called.sum(axis=-1).astype(np.float64),
        rises=rose.sum(axis=-1).astype(np.float64),
        hits=right.sum(axis=-1).astype(np.float64),
        independent_calls=(called & outcomes.independent).sum(axis=-1).astype(np.float64),
        independent_hits=(right & outcomes.independent).sum(axis=-1).astype(np.float64),
        correlation=per_bar.sum(axis=-1),
        correlated=int(ranked),
    )
    weight = np.full(count, 1.0 / count if ranked else 0.0)
    own = np.stack([called[0], rose[0], right[0], per_bar[0], weight], axis=-1).astype(np.float64)
    return SymbolTally(outcomes.close_time, total, np.concatenate([loss.T, own], axis=1))
