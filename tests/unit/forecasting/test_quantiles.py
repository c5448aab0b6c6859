"""Quantile loss and probabilities, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from toto_ops.forecasting.quantiles import LEVELS, MEDIAN, NORMAL_QUANTILES, probability_above, quantile_loss

finite = st.floats(-100, 100)


def test_levels_are_the_nine_deciles_about_the_median() -> None:
    assert tuple(round(0.1 * place, 1) for place in range(1, 10)) == LEVELS
    assert LEVELS[MEDIAN] == 0.5
    np.testing.assert_allclose(norm.cdf(NORMAL_QUANTILES), LEVELS)


@given(quantiles=st.lists(finite, min_size=9, max_size=9), realised=finite)
def test_the_loss_weighs_a_shortfall_by_the_level_and_an_excess_by_the_rest(quantiles: list[float], realised: float) -> None:
    found = quantile_loss(torch.tensor(quantiles, dtype=torch.float64), torch.tensor(realised, dtype=torch.float64))
    expected = [
        level * (realised - quantile) if realised >= quantile else (1 - level) * (quantile - realised)
        for level, quantile in zip(LEVELS, quantiles, strict=True)
    ]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_the_loss_is_least_at_the_quantiles_of_what_comes() -> None:
    outcomes = torch.tensor(norm.ppf((np.arange(2000) + 0.5) / 2000))
    best = torch.tensor(NORMAL_QUANTILES, dtype=torch.float64)
    least = quantile_loss(best.expand(2000, -1), outcomes).mean(0)
    for step in (-0.1, 0.1):
        assert (quantile_loss((best + step).expand(2000, -1), outcomes).mean(0) > least).all()


def test_what_is_not_known_yet_has_no_loss() -> None:
    loss = quantile_loss(torch.zeros(2, 9), torch.tensor([0.5, torch.nan]))
    assert torch.isfinite(loss[0]).all()
    assert torch.isnan(loss[1]).all()


def by_interpolation(quantiles: list[float], threshold: float) -> float:
    """The distribution function through the levels, its outermost pieces as wide as the next; where it jumps, its middle."""
    knots = [2 * quantiles[0] - quantiles[1], *quantiles, 2 * quantiles[-1] - quantiles[-2]]
    heights = [0.0, *LEVELS, 1.0]
    below = 0.0
    for left, right, low, high in zip(knots, knots[1:], heights, heights[1:], strict=False):
        if right <= threshold and left < threshold:
            share = 1.0
        elif left < threshold < right:
            share = (threshold - left) / (right - left)
        elif left == right == threshold:
            share = 0.5
        else:
            share = 0.0
        below += share * (high - low)
    return 1.0 - below


@given(
    start=st.integers(-40, 40),
    steps=st.lists(st.integers(0, 5), min_size=8, max_size=8),
    threshold=st.integers(-60, 100),
)
def test_probability_is_linear_between_quantiles(start: int, steps: list[int], threshold: int) -> None:
    quantiles = [float(start + sum(steps[:place])) for place in range(9)]
    found = float(probability_above(torch.tensor(quantiles, dtype=torch.float64), float(threshold)))
    assert found == pytest.approx(by_interpolation(quantiles, threshold), abs=1e-9)
    assert -1e-9 <= found <= 1 + 1e-9


def test_probability_of_a_normal_distribution_is_near_it() -> None:
    quantiles = torch.tensor(NORMAL_QUANTILES, dtype=torch.float64)
    for threshold in (-1.0, -0.3, 0.0, 0.5, 1.0):
        assert float(probability_above(quantiles, threshold)) == pytest.approx(norm.sf(threshold), abs=0.01)
    assert float(probability_above(quantiles)) == pytest.approx(0.5)


def test_probability_at_each_quantile_is_its_level() -> None:
    quantiles = torch.linspace(-1, 3, 9, dtype=torch.float64) ** 3
    for level, quantile in zip(LEVELS, quantiles, strict=True):
        assert float(probability_above(quantiles, quantile)) == pytest.approx(1 - level)


def test_far_thresholds_and_points_without_width_have_a_probability() -> None:
    point = torch.full((9,), 2.0)
    assert probability_above(torch.stack([point] * 3), torch.tensor([1.0, 2.0, 3.0])).tolist() == pytest.approx([1.0, 0.5, 0.0])
    assert float(probability_above(torch.tensor(NORMAL_QUANTILES), 50.0)) == pytest.approx(0.0, abs=1e-6)
    assert math.isclose(float(probability_above(torch.tensor(NORMAL_QUANTILES), -50.0)), 1.0, abs_tol=1e-6)
