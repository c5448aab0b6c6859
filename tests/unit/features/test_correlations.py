"""Dynamic correlations agree with their definition, forget what is old, and read nothing that is to come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_ops.features import reference
from toto_ops.features.correlations import CorrelationConfig, Correlations, correlations

CONFIG = CorrelationConfig()
seeds = st.integers(0, 2**32 - 1)


def random_returns(seed: int, rows: int = 60, assets: int = 4) -> np.ndarray:
    """Returns with a common part, gaps, rows in which nothing closes, and a symbol that never moves."""
    rng = np.random.default_rng(seed)
    returns = 0.02 * (rng.normal(0, 1, (rows, 1)) * rng.uniform(-1, 1, assets) + rng.normal(0, 1, (rows, assets)))
    returns[:, -1] = 0.0
    returns[rng.random((rows, assets)) < 0.15] = np.nan
    returns[rng.random(rows) < 0.1] = np.nan
    returns[: int(rng.integers(0, rows)), 0] = np.nan
    return returns


def assert_same(fast: Correlations, slow: list[list[tuple[float, float] | None]]) -> None:
    plain = np.array([[(0.0, 0.0) if both is None else both for both in row] for row in slow])
    np.testing.assert_allclose(fast.market, plain[..., 0], atol=1e-6)
    np.testing.assert_allclose(fast.mean, plain[..., 1], atol=1e-6)


def as_rows(returns: np.ndarray) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in row] for row in returns]


@settings(deadline=None, max_examples=25)
@given(seed=seeds, decay=st.floats(0.5, 0.99))
def test_the_recursion_agrees_with_the_weighted_sums(seed: int, decay: float) -> None:
    config, returns = CorrelationConfig(decay=decay), random_returns(seed)
    assert_same(correlations(returns, config), reference.correlations(as_rows(returns), config))


@settings(deadline=None, max_examples=25)
@given(seed=seeds, cut=st.integers(1, 59))
def test_what_follows_a_row_does_not_change_it(seed: int, cut: int) -> None:
    returns = random_returns(seed)
    whole, then = correlations(returns, CONFIG), correlations(returns[:cut], CONFIG)
    np.testing.assert_array_equal(whole.market[:cut], then.market)
    np.testing.assert_array_equal(whole.mean[:cut], then.mean)


@settings(deadline=None, max_examples=25)
@given(seed=seeds)
def test_no_correlation_leaves_its_range_and_where_there_is_no_return_there_is_none(seed: int) -> None:
    returns = random_returns(seed)
    found = correlations(returns, CONFIG)
    for values in (found.market, found.mean):
        assert values.dtype == np.float32
        assert (np.abs(values) <= 1).all()
        assert not values[np.isnan(returns)].any()
        assert not values[:, -1].any(), "a symbol that never moves is correlated with nothing"


def test_symbols_that_move_together_or_against_each_other() -> None:
    moves = np.random.default_rng(0).normal(0, 0.01, 200)
    together = correlations(np.stack([moves, 3 * moves], axis=1), CONFIG)
    assert together.mean[-1] == pytest.approx([1.0, 1.0])
    assert together.market[-1] == pytest.approx([1.0, 1.0])
    against = correlations(np.stack([moves, -moves / 2], axis=1), CONFIG)
    assert against.mean[-1] == pytest.approx([-1.0, -1.0])
    assert against.market[-1] == pytest.approx([1.0, -1.0])


def test_independent_symbols_are_hardly_correlated() -> None:
    found = correlations(np.random.default_rng(0).normal(0, 0.01, (3000, 10)), CorrelationConfig(decay=0.995))
    assert np.abs(found.mean[1000:]).mean() < 0.05
    assert found.market[1000:].mean() == pytest.approx(1 / np.sqrt(10), abs=0.05)


def test_a_new_correlation_replaces_the_old_within_weeks() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 0.01, (2, 400))
    second[200:] = first[200:]
    mean = correlations(np.stack([first, second], axis=1), CONFIG).mean[:, 0]
    assert abs(mean[150:200].mean()) < 0.3
    assert (mean[240:] > 0.9).all()


def test_a_symbol_alone_has_no_others() -> None:
    found = correlations(np.random.default_rng(0).normal(0, 0.01, (50, 1)), CONFIG)
    assert not found.mean.any()
    assert found.market[1:, 0] == pytest.approx(1.0)


def test_those_that_are_gone_are_no_longer_among_the_others() -> None:
    moves = np.random.default_rng(0).normal(0, 0.01, 100)
    gone = np.where(np.arange(100) < 50, -moves, np.nan)
    found = correlations(np.stack([moves, moves, gone], axis=1), CONFIG)
    assert found.mean[49, 0] == pytest.approx(0.0, abs=1e-6)
    assert found.mean[60:, 0] == pytest.approx(1.0)
