"""Volatility regimes are relative to the symbol's own past."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.unit.features.bar_histories import DAILY, bars_of
from toto_ops.features.compute import FeatureConfig, compute_features
from toto_ops.features.regimes import RegimeConfig
from toto_ops.features.state import REGIME_FEATURES


def regime(volatility: np.ndarray, seed: int = 0) -> pl.DataFrame:
    """Regimes of a market with a given volatility at each bar."""
    moves = np.random.default_rng(seed).normal(0, 1, len(volatility)) * volatility
    bars = bars_of("AA", 100 * np.exp(np.cumsum(moves)))
    return compute_features(bars, DAILY, None, FeatureConfig()).select(REGIME_FEATURES)


def test_rougher_than_usual_is_high_and_calmer_is_low() -> None:
    usual = np.full(250, 0.01)
    assert regime(np.concatenate([usual, np.full(20, 0.05)])).row(-1) == (0, 0, 1)
    assert regime(np.concatenate([usual, np.full(20, 0.002)])).row(-1) == (1, 0, 0)


def test_a_wild_symbol_is_normal_by_its_own_standard() -> None:
    calm, wild = (regime(np.full(400, level)).mean().row(0) for level in (0.005, 0.08))
    assert calm == pytest.approx(wild, abs=1e-3)


def test_each_regime_gets_its_share_of_an_ordinary_market() -> None:
    slow = np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.05, 2000)) * 0.3)
    shares = regime(0.01 * slow).drop_nulls().mean().row(0)
    assert min(shares) > 0.1


def test_a_price_that_never_moves_is_normal() -> None:
    table = compute_features(bars_of("AA", np.full(150, 3.0)), DAILY, None, FeatureConfig())
    assert table.select(REGIME_FEATURES).row(-1) == (0, 1, 0)


def test_small_changes_of_a_steady_market_are_no_regime() -> None:
    close = 100 * np.exp(np.cumsum(np.tile([0.01, -0.01], 100)))
    close[-20:] = close[-21] * np.exp(np.cumsum(np.tile([0.0105, -0.0105], 10)))
    table = compute_features(bars_of("AA", close), DAILY, None, FeatureConfig())
    assert table.select(REGIME_FEATURES).row(-1) == (0, 1, 0)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_exactly_one_regime_at_a_time_or_none_yet(seed: int) -> None:
    table = regime(np.full(130, 0.02), seed)
    assert table.select(pl.sum_horizontal(pl.all())).tail(-79).to_series().unique().to_list() == [1.0]
    assert table.head(79).null_count().row(0) == (79, 79, 79)


def test_a_history_that_can_never_suffice_is_refused() -> None:
    with pytest.raises(ValidationError, match="exceeds history"):
        RegimeConfig(history=50, minimum_history=60)
