"""The fast features agree with their slow definition on random markets."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.features.bar_histories import DAILY, STOCKS, as_lists, as_words, random_bars, random_sentiment, real_bars
from toto_ops.features import reference
from toto_ops.features.compute import FEATURE_SCHEMA, FeatureConfig, compute_features
from toto_ops.features.regimes import VOLATILITY_FLOOR
from toto_ops.features.state import REGIME_FEATURES, RETURN_LAGS
from toto_ops.features.trends import TREND_FEATURES
from toto_ops.universes import Universe

CONFIG = FeatureConfig()
FEATURES = tuple(name for name in FEATURE_SCHEMA if name not in ("symbol", "open_time", "close_time", "open", "close"))
seeds = st.integers(0, 2**32 - 1)


def reference_features(bars: pl.DataFrame, sentiment: pl.DataFrame | None, universe: Universe) -> dict[str, list[float | None]]:
    """Every feature of one symbol by its definition."""
    lists = as_lists(bars, universe)
    words = reference.sentiment(lists.close_time, as_words(sentiment) if sentiment is not None else [], CONFIG.sentiment)
    regimes = reference.regime(lists.close, CONFIG.regime)
    trends = reference.trend(lists.close, CONFIG.trend, CONFIG.regime)
    volatility = reference.volatility(lists.close, CONFIG.regime.window)
    known = [news is not None or macro is not None for news, macro in words]
    return {
        **{f"return_{lag}": reference.lagged_return(lists.close, lag) for lag in range(1, RETURN_LAGS + 1)},
        "rsi": reference.rsi(lists.close),
        "macd_signal": reference.macd_signal(lists.close),
        "bollinger_width": reference.bollinger_width(lists.close),
        "volume_ratio": reference.volume_ratio(lists.volume),
        **{name: [hot[i] if hot else None for hot in regimes] for i, name in enumerate(REGIME_FEATURES)},
        "data_health": list(reference.data_health(lists, known, CONFIG.health)),
        "news_sentiment": [news or 0.0 for news, _ in words],
        "macro_sentiment": [macro or 0.0 for _, macro in words],
        **{name: [hot[i] if hot else None for hot in trends] for i, name in enumerate(TREND_FEATURES)},
        "volatility": volatility,
        "log_volatility": [None if level is None else math.log(max(level, VOLATILITY_FLOOR)) for level in volatility],
        "traded_value": reference.traded_value(lists.volume, lists.close, universe.volume_unit),
    }


def assert_same(fast: pl.DataFrame, slow: dict[str, list[float | None]]) -> None:
    assert tuple(slow) == FEATURES
    for name, values in slow.items():
        np.testing.assert_allclose(
            fast[name].to_numpy(), np.array(values, dtype=np.float64), rtol=2e-5, atol=2e-6, err_msg=name, equal_nan=True
        )


@settings(deadline=None, max_examples=25)
@given(seed=seeds, length=st.integers(40, 200), with_words=st.booleans())
def test_every_feature_agrees_with_its_definition(seed: int, length: int, with_words: bool) -> None:
    bars = random_bars(seed, length)
    sentiment = random_sentiment(seed) if with_words else None
    assert_same(compute_features(bars, DAILY, sentiment, CONFIG), reference_features(bars, sentiment, DAILY))


@settings(deadline=None, max_examples=10)
@given(seed=seeds, length=st.integers(31, 36))
def test_the_shortest_histories_agree_too(seed: int, length: int) -> None:
    bars = random_bars(seed, length)
    assert_same(compute_features(bars, DAILY, None, CONFIG), reference_features(bars, None, DAILY))


@pytest.mark.parametrize(("universe", "symbol"), [(STOCKS, "NVDA"), (DAILY, "DOGEUSD")])
def test_real_bars_agree(universe: Universe, symbol: str) -> None:
    bars = real_bars(universe, symbol, last=300)
    assert_same(compute_features(bars, universe, None, CONFIG), reference_features(bars, None, universe))


def test_random_markets_hold_what_can_go_wrong() -> None:
    """The comparison is only worth something on histories with holes, standing prices, jumps and all regimes."""
    tables = [compute_features(random_bars(seed), DAILY, None, CONFIG) for seed in range(30)]
    together = pl.concat(tables)
    assert together["data_health"].min() < 0.7
    assert (together["volume_ratio"] == 0).any()
    assert all(together[name].sum() > 50 for name in (*REGIME_FEATURES, *TREND_FEATURES))
    assert together["bollinger_width"].max() > 0.5
