"""How well forecasts rank what comes to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

FEWEST_PAIRS = 3
"""Forecasts with an outcome below which a symbol is not measured."""


def information_coefficient(forecast: NDArray[np.floating], realised: NDArray[np.floating]) -> float:
    """Mean over symbols of Spearman's rank correlation over time between forecasts and outcomes.

    Parameters
    ----------
    forecast, realised
        `[S, T]` or `[T]`; bars where either is NaN are left out.

    Returns
    -------
    float
        In [-1, 1]. Forecasts that are all the same rank nothing and count as 0. NaN if no symbol has `FEWEST_PAIRS`.

    Notes
    -----
    Grinold and Kahn, Active Portfolio Management, 2nd edition, 2000, chapter 6; with ranks against outliers. Outcomes over
    `h` bars overlap, so neighbouring pairs are not independent.
    """
    symbols = zip(np.atleast_2d(forecast), np.atleast_2d(realised), strict=True)
    known = [value for pair in symbols if not np.isnan(value := _rank_correlation(*pair))]
    return float(np.mean(known)) if known else float("nan")


def _rank_correlation(forecast: NDArray[np.floating], realised: NDArray[np.floating]) -> float:
    both = np.isfinite(forecast) & np.isfinite(realised)
    if both.sum() < FEWEST_PAIRS:
        return float("nan")
    pair = forecast[both], realised[both]
    if any(np.ptp(values) == 0 for values in pair):  # the coefficient is not defined
        return 0.0
    return float(spearmanr(*pair).statistic)
