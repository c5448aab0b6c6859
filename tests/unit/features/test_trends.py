"""Bull, bear, volatile or sideways: what the trailing return says against the noise it is made of."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.features.bar_histories import DAILY, bars_of, random_bars
from toto_ops.features.compute import FeatureConfig, compute_features
from toto_ops.features.trends import TREND_FEATURES, TrendConfig

BULL, BEAR, VOLATILE, SIDEWAYS = (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)
SWING = np.tile([1.0, -1.0], 125)
"""Returns that come to nothing."""


def trends(close: np.ndarray, config: TrendConfig | None = None) -> pl.DataFrame:
    features = FeatureConfig(trend=config or TrendConfig())
    return compute_features(bars_of("AA", close), DAILY, None, features).select(TREND_FEATURES)


def path(returns: np.ndarray) -> np.ndarray:
    return 100 * np.exp(np.cumsum(returns))


def test_a_drift_that_stands_out_from_the_noise_is_bull_or_bear() -> None:
    assert trends(path(0.002 + 0.01 * SWING)).row(-1) == BULL
    assert trends(path(-0.002 + 0.01 * SWING)).row(-1) == BEAR


def test_the_same_drift_in_more_noise_is_no_trend() -> None:
    assert trends(path(0.002 + 0.05 * SWING)).row(-1) == SIDEWAYS


def test_without_a_trend_unusual_volatility_is_volatile() -> None:
    quiet, rough = 0.01 * SWING[:-20], 0.05 * SWING[-20:]
    assert trends(path(np.concatenate([quiet, rough]))).row(-1) == VOLATILE


def test_a_trend_comes_before_volatility() -> None:
    quiet, crash = 0.01 * SWING[:-20], np.full(20, -0.05) + 0.03 * SWING[-20:]
    assert trends(path(np.concatenate([quiet, crash]))).row(-1) == BEAR


def test_a_price_that_stands_still_goes_sideways() -> None:
    assert trends(np.full(200, 7.0)).row(-1) == SIDEWAYS


def test_a_steady_rise_has_no_noise_and_is_bull() -> None:
    assert trends(path(np.full(200, 0.001))).row(-1) == BULL


def test_the_trend_turns_within_its_window() -> None:
    turning = trends(path(np.concatenate([np.full(150, 0.005), np.full(60, -0.005)]) + 0.001 * SWING[:210]))
    assert turning.row(149) == BULL
    assert turning.row(-1) == BEAR


def test_a_market_without_drift_has_a_trend_a_third_of_the_time() -> None:
    walk = trends(path(np.random.default_rng(0).normal(0, 0.02, 20_000))).drop_nulls().mean().row(0)
    assert walk[0] + walk[1] == pytest.approx(0.32, abs=0.06)


def test_a_higher_threshold_leaves_fewer_trends() -> None:
    close = path(np.random.default_rng(1).normal(0, 0.02, 2000))
    shares = [trends(close, TrendConfig(threshold=level)).select(TREND_FEATURES[:2]).sum().row(0) for level in (0.5, 1.5)]
    assert sum(shares[0]) > sum(shares[1]) > 0


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_exactly_one_at_a_time_or_none_yet(seed: int) -> None:
    table = compute_features(random_bars(seed, 150), DAILY, None, FeatureConfig()).select(TREND_FEATURES)
    assert set(table.drop_nulls().sum_horizontal().to_list()) <= {1.0}
    assert table.head(79).null_count().row(0) == (79, 79, 79, 79)
    assert table.tail(-79).null_count().row(0) == (0, 0, 0, 0)
