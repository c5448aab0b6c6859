from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from tests.unit.evaluation.forecasts.forecast_samples import made_up
from toto_ops.evaluation.forecasts.tallies import Outcomes, called_direction, comparable, rank_products, tally
from toto_ops.forecasting.quantiles import LEVELS


def test_the_loss_of_a_point_forecast_is_half_its_absolute_error():
    point = Outcomes(
        close_time=np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[us]"),
        quantiles=np.full((1, 2, len(LEVELS)), 0.01),
        realised=np.array([0.03, -0.02]),
        independent=np.ones(2, dtype=bool),
    )
    found = tally(point, scale=1.0)
    assert found.per_moment[:, 0] == pytest.approx([0.01, 0.015])
    assert found.total.loss == pytest.approx([0.025])


def test_neither_a_median_of_nothing_nor_a_price_that_stands_still_is_a_call():
    called, right = called_direction(np.array([0.1, -0.1, 0.0, 0.1, -0.1]), np.array([0.2, 0.2, 0.2, 0.0, -0.3]))
    assert called.tolist() == [True, True, False, False, True]
    assert right.tolist() == [True, False, False, False, True]


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=30))
def test_rank_products_average_to_the_rank_correlation_ties_included(pairs):
    median, realised = np.array(pairs, dtype=np.float64).T
    expected = 0.0 if np.ptp(median) == 0 or np.ptp(realised) == 0 else spearmanr(median, realised).statistic
    assert rank_products(median[None], realised).mean() == pytest.approx(expected, abs=1e-12)


def test_what_one_contestant_cannot_foretell_counts_for_none():
    forecasts = made_up("AAA", skill=0.5, bars=20)
    quantiles = forecasts.quantiles.copy()
    quantiles[0, 0, 0, 0], quantiles[3, 4, 0, 8] = np.nan, np.nan
    outcomes = comparable(replace(forecasts, quantiles=quantiles), 0, 1)
    assert outcomes.quantiles.shape[:2] == (4, 17)
    assert set(forecasts.close_time.tolist()) - set(outcomes.close_time.tolist()) == set(
        forecasts.close_time[[0, 4, 19]].tolist()
    )


def test_every_horizonth_bar_of_the_span_is_independent_of_the_others():
    outcomes = comparable(made_up("AAA", skill=0.5, bars=20), 1, 5)
    assert np.flatnonzero(outcomes.independent).tolist() == [0, 5, 10]
    assert len(outcomes.realised) == 15


def test_the_sums_by_moment_are_those_of_the_whole():
    counted = tally(comparable(made_up("AAA", skill=0.5), 0, 1), 0.05)
    total = counted.total
    own = (total.calls[0], total.rises[0], total.hits[0], total.correlation[0], 1.0)
    assert counted.per_moment.sum(axis=0) == pytest.approx([*total.loss, *own])


def test_tallies_are_added_figure_by_figure():
    one, other = (tally(comparable(made_up("AAA", skill=0.5, seed=seed), 0, 1), 0.05).total for seed in (1, 2))
    for field in fields(one):
        together, apart = getattr(one + other, field.name), (getattr(one, field.name), getattr(other, field.name))
        assert together == pytest.approx(apart[0] + apart[1]), field.name


@pytest.mark.parametrize("bars", [0, 1, 2])
def test_too_few_outcomes_have_sums_but_no_rank_correlation(bars):
    outcomes = comparable(made_up("AAA", skill=0.5, bars=bars + 1), 0, 1)
    counted = tally(outcomes, 0.05)
    assert (counted.total.outcomes, counted.total.correlated) == (bars, 0)
    assert np.isfinite(counted.per_moment).all()
