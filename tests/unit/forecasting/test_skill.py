"""The information coefficient: Spearman's correlation over time, averaged over symbols."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from toto_ops.forecasting.skill import FEWEST_PAIRS, information_coefficient


def test_it_is_the_mean_over_symbols_of_spearmans_correlation() -> None:
    rng = np.random.default_rng(0)
    forecast = rng.normal(size=(3, 60)).round(1)
    realised = 0.3 * forecast + rng.normal(size=(3, 60))
    expected = np.mean([spearmanr(one, other).statistic for one, other in zip(forecast, realised, strict=True)])
    assert information_coefficient(forecast, realised) == pytest.approx(expected)


def test_only_the_ranks_matter() -> None:
    realised = np.random.default_rng(1).normal(size=50)
    assert information_coefficient(np.exp(realised), realised) == pytest.approx(1.0)
    assert information_coefficient(-(realised**3), realised) == pytest.approx(-1.0)


def test_bars_without_forecast_or_outcome_are_left_out() -> None:
    rng = np.random.default_rng(2)
    forecast, realised = rng.normal(size=(2, 40))
    gaps = forecast.copy(), realised.copy()
    gaps[0][3:9], gaps[1][30:] = np.nan, np.nan
    kept = np.r_[0:3, 9:30]
    assert information_coefficient(*gaps) == pytest.approx(information_coefficient(forecast[kept], realised[kept]))


def test_symbols_with_too_few_pairs_do_not_count() -> None:
    rng = np.random.default_rng(3)
    forecast, realised = rng.normal(size=(2, 2, 40))
    realised[1, FEWEST_PAIRS - 1 :] = np.nan
    assert information_coefficient(forecast, realised) == pytest.approx(information_coefficient(forecast[0], realised[0]))
    assert np.isnan(information_coefficient(forecast[1], realised[1]))


def test_a_forecast_that_never_changes_ranks_nothing() -> None:
    realised = np.random.default_rng(4).normal(size=(2, 40))
    assert information_coefficient(np.zeros((2, 40)), realised) == 0.0
