"""Equal risk contributions: by definition, in closed form, and beside skfolio's convex solver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_ops.evaluation.baselines.risk_parity import RiskParityError, equal_risk_contribution


def random_returns(seed: int, assets: int, rows: int = 400):
    rng = np.random.default_rng(seed)
    market = rng.normal(size=(rows, 1)) * rng.uniform(-0.3, 1.5, assets)
    return (market + rng.normal(size=(rows, assets))) * np.exp(rng.normal(-4, 1, assets))


def contributions(weights, covariance):
    return weights * np.einsum("...ij,...j->...i", covariance, weights)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), assets=st.integers(1, 25))
def test_every_symbol_contributes_the_same_risk(seed, assets):
    covariance = np.atleast_2d(np.cov(random_returns(seed, assets), rowvar=False))
    weights = equal_risk_contribution(covariance)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights > 0).all()
    shares = contributions(weights, covariance)
    np.testing.assert_allclose(shares / shares.sum(), 1 / assets, rtol=1e-8)


def test_without_correlation_it_is_inverse_volatility():
    weights = equal_risk_contribution(np.diag([1.0, 4.0, 16.0]))
    np.testing.assert_allclose(weights, np.array([4, 2, 1]) / 7)


def test_two_symbols_get_inverse_volatility_whatever_their_correlation():
    for correlation in (-0.9, 0.0, 0.9):
        covariance = np.array([[1.0, 2.0 * correlation], [2.0 * correlation, 4.0]])
        np.testing.assert_allclose(equal_risk_contribution(covariance), [2 / 3, 1 / 3])


def test_many_matrices_at_once_are_solved_as_each_alone():
    covariances = np.stack([np.cov(random_returns(seed, 8), rowvar=False) for seed in range(6)])
    alone = np.stack([equal_risk_contribution(covariance) for covariance in covariances])
    np.testing.assert_allclose(equal_risk_contribution(covariances), alone, rtol=1e-10)


def test_it_agrees_with_skfolio():
    from skfolio.optimization import RiskBudgeting

    returns = random_returns(5, 10)
    theirs = RiskBudgeting().fit(returns).weights_
    np.testing.assert_allclose(equal_risk_contribution(np.cov(returns, rowvar=False)), theirs, atol=1e-4)


def test_a_matrix_that_is_no_covariance_is_refused():
    with pytest.raises(RiskParityError, match="positive definite"):
        equal_risk_contribution(np.array([[1.0, -2.0], [-2.0, 1.0]]))
