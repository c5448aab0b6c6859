"""Indicators on markets whose answer is known without computing."""

from __future__ import annotations

import numpy as np
import pytest
import talib

from tests.unit.features.bar_histories import DAILY, bars_of
from toto_ops.features.compute import FeatureConfig, compute_features


def last(close: np.ndarray, volume: np.ndarray | None = None) -> dict[str, float]:
    return compute_features(bars_of("AA", close, volume), DAILY, None, FeatureConfig()).tail(1).row(0, named=True)


RISING = 100 * 1.01 ** np.arange(100)
FLAT = np.full(100, 42.0)


def test_returns_are_logs_and_the_first_is_the_newest() -> None:
    close = FLAT.copy()
    close[-1] *= 1.1
    close[-3] *= 0.5
    row = last(close)
    assert row["return_1"] == pytest.approx(np.log(1.1))
    assert row["return_2"] == pytest.approx(np.log(2))
    assert row["return_3"] == pytest.approx(np.log(0.5))
    assert row["return_4"] == 0


def test_rsi_of_a_market_that_only_rises_or_only_falls() -> None:
    assert last(RISING)["rsi"] == 1
    assert last(RISING[::-1])["rsi"] == 0


def test_a_market_that_stands_still_is_neither_overbought_nor_oversold() -> None:
    row = last(FLAT)
    assert row["rsi"] == 0.5
    assert row["bollinger_width"] == 0
    assert row["macd_signal"] == 0


def test_a_market_that_stops_moving_is_no_longer_oversold() -> None:
    assert last(np.concatenate([RISING[::-1], np.full(13, RISING[0])]))["rsi"] < 0.01
    assert last(np.concatenate([RISING[::-1], np.full(14, RISING[0])]))["rsi"] == 0.5


def test_macd_follows_the_trend() -> None:
    assert last(RISING)["macd_signal"] > 0.01
    assert last(RISING[::-1])["macd_signal"] < -0.01


def test_volume_ratio_is_relative_and_capped() -> None:
    volume = np.full(100, 500.0)
    assert last(RISING, volume)["volume_ratio"] == 1
    volume[-1] = 1e9
    assert last(RISING, volume)["volume_ratio"] == 10


def test_no_volume_is_zero_even_if_there_never_was_any() -> None:
    assert last(RISING, np.zeros(100))["volume_ratio"] == 0
    assert last(RISING, np.array([7e12] * 79 + [0.0] * 21))["volume_ratio"] == 0


def test_indicators_are_those_of_ta_lib() -> None:
    close = 50 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.02, 300)))
    table = compute_features(bars_of("AA", close), DAILY, None, FeatureConfig())
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    expected = {
        "rsi": talib.RSI(close, 14) / 100,
        "macd_signal": talib.MACD(close, 12, 26, 9)[1] / close,
        "bollinger_width": (upper - lower) / middle,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(table[name].to_numpy(), values, rtol=1e-5, atol=1e-7, equal_nan=True)
