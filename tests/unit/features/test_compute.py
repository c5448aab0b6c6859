"""Features are causal, keep symbols apart, and say when they know nothing yet."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.features.bar_histories import DAILY, STOCKS, bars_of, random_bars, random_sentiment, real_bars
from toto_ops.features.compute import FEATURE_SCHEMA, FeatureConfig, compute_features
from toto_ops.storage.hashing import value_hash

CONFIG = FeatureConfig()
SYMBOLS = ("AA", "BB", "CC")
FEATURES = tuple(name for name in FEATURE_SCHEMA if name not in ("symbol", "open_time", "close_time", "open", "close"))
"""Everything that is computed: a feature added to the schema is tested here without further ado."""


def market(seed: int = 1) -> pl.DataFrame:
    return pl.concat(random_bars(seed + i, 170 - 20 * i, symbol) for i, symbol in enumerate(SYMBOLS))


def words(seed: int = 1) -> pl.DataFrame:
    return pl.concat(random_sentiment(seed + i, symbol) for i, symbol in enumerate(SYMBOLS))


def features(bars: pl.DataFrame, sentiment: pl.DataFrame | None = None) -> pl.DataFrame:
    return compute_features(bars, DAILY, sentiment, CONFIG)


def rewritten_after(bars: pl.DataFrame, cut) -> pl.DataFrame:
    """The same past with another future: prices ten times as high, volume gone."""
    future = pl.col("close_time") > cut
    prices = [pl.when(future).then(pl.col(name) * 10).otherwise(name).alias(name) for name in ("open", "high", "low", "close")]
    return bars.with_columns(*prices, volume=pl.when(future).then(0.0).otherwise("volume"))


def wild(length: int) -> np.ndarray:
    return 100 * np.exp(np.cumsum(np.random.default_rng(2).normal(0, 0.1, length)))


@pytest.fixture(scope="module")
def whole() -> pl.DataFrame:
    return features(market(), words())


@pytest.fixture(scope="module")
def cuts() -> list:
    closes = market()["close_time"].unique().sort()
    return [closes[i] for i in (30, 85, 100, 131, len(closes) - 2)]


@pytest.fixture(scope="module")
def prefixes(cuts: list) -> list[pl.DataFrame]:
    """Features computed when nothing after each cut existed, bars or publications."""
    public = pl.col("published_at")
    return [features(market().filter(pl.col("close_time") <= cut), words().filter(public <= cut)) for cut in cuts]


@pytest.mark.parametrize("feature", FEATURES)
def test_no_feature_reads_the_future(feature: str, whole: pl.DataFrame, cuts: list, prefixes: list[pl.DataFrame]) -> None:
    """Prefix invariance, bit for bit: what was computed then is what is computed now for then."""
    for cut, then in zip(cuts, prefixes, strict=True):
        assert then[feature].equals(whole.filter(pl.col("close_time") <= cut)[feature], null_equal=True)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 10), share=st.floats(0.2, 0.9))
def test_another_future_changes_no_past_feature(seed: int, share: float) -> None:
    bars = market(seed)
    closes = bars["close_time"].unique().sort()
    cut = closes[int(share * len(closes))]
    past = pl.col("close_time") <= cut
    assert features(rewritten_after(bars, cut)).filter(past).equals(features(bars).filter(past), null_equal=True)


def test_the_future_does_change_future_features(whole: pl.DataFrame, cuts: list) -> None:
    """Otherwise the test above could not fail."""
    changed = features(rewritten_after(market(), cuts[2]), words())
    later = pl.col("close_time") > cuts[2]
    for feature in set(FEATURES) - {"regime_low", "news_sentiment", "macro_sentiment"}:
        assert not changed.filter(later)[feature].equals(whole.filter(later)[feature], null_equal=True)


def test_symbols_do_not_touch_each_other(whole: pl.DataFrame) -> None:
    for symbol in SYMBOLS:
        mine = pl.col("symbol") == symbol
        assert features(market().filter(mine), words().filter(mine)).equals(whole.filter(mine), null_equal=True)


def test_order_of_the_symbols_is_kept() -> None:
    backwards = pl.concat(market().filter(pl.col("symbol") == symbol) for symbol in reversed(SYMBOLS))
    assert features(backwards)["symbol"].unique(maintain_order=True).to_list() == list(reversed(SYMBOLS))


@pytest.mark.parametrize("unit", [1e-9, 1e-3, 1e7])
def test_the_unit_of_the_price_does_not_matter(unit: float) -> None:
    bars = random_bars(5)
    rescaled = bars.with_columns(pl.col("open", "high", "low", "close") * unit)
    free = [name for name in FEATURES if name != "traded_value"]
    one, other = (features(table).select(free).to_numpy() for table in (bars, rescaled))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_features_are_unknown_until_their_look_back_is_complete() -> None:
    table = features(bars_of("AA", 100 + np.sin(np.arange(120))))
    known_from = {name: int(table[name].is_not_null().arg_max()) for name in FEATURES}
    assert known_from["return_1"] == 1
    assert known_from["return_20"] == 20
    assert known_from["rsi"] == 14
    assert known_from["macd_signal"] == 33
    assert known_from["bollinger_width"] == known_from["volume_ratio"] == 19
    assert known_from["volatility"] == CONFIG.regime.window
    assert known_from["traded_value"] == 19
    assert known_from["trend_bull"] == known_from["regime_low"] == CONFIG.regime.window + CONFIG.regime.minimum_history - 1
    assert known_from["data_health"] == known_from["news_sentiment"] == 0
    for name, first in known_from.items():
        assert table[name].tail(-first).null_count() == 0


def test_values_stay_in_their_ranges(whole: pl.DataFrame) -> None:
    ranges = {
        "rsi": (0, 1),
        "volume_ratio": (0, 10),
        "data_health": (0, 1),
        "news_sentiment": (-1, 1),
        "macro_sentiment": (-1, 1),
    }
    for name, (low, high) in ranges.items():
        assert whole[name].is_between(low, high).all()
    assert not whole.select(pl.any_horizontal(pl.col(FEATURES).is_infinite().any())).item()


def test_traded_value_is_money_whatever_volume_counts() -> None:
    bars = bars_of("AA", np.full(30, 4.0), volume=np.full(30, 500.0))
    in_units = DAILY.model_copy(update={"volume_unit": "base"})
    in_money = DAILY.model_copy(update={"volume_unit": "quote"})
    assert compute_features(bars, in_units, None, CONFIG)["traded_value"][-1] == 2000.0
    assert compute_features(bars, in_money, None, CONFIG)["traded_value"][-1] == 500.0


def test_what_is_no_longer_traded_has_no_value_below_zero() -> None:
    volume = np.concatenate([np.geomspace(1e15, 1e-3, 60), np.zeros(40)])
    traded = features(bars_of("AA", wild(100), volume))["traded_value"]
    assert traded.min() >= 0
    assert traded[-1] == pytest.approx(0.0, abs=1.0)


def test_schema_is_the_announced_one(whole: pl.DataFrame) -> None:
    assert whole.schema == FEATURE_SCHEMA
    assert whole.select("symbol", "open_time", "close_time", "close").equals(
        market().select("symbol", "open_time", "close_time", "close")
    )


@pytest.mark.parametrize("universe", [DAILY, STOCKS], ids=["always open", "exchange"])
def test_an_empty_table_has_no_features(universe) -> None:
    table = compute_features(market().clear(), universe, None, CONFIG)
    assert table.schema == FEATURE_SCHEMA
    assert table.is_empty()


@pytest.mark.parametrize("length", [1, 2, 14, 33])
def test_a_history_too_short_for_any_indicator_is_no_error(length: int) -> None:
    table = features(bars_of("AA", np.full(length, 2.0)))
    assert table.height == length
    assert table["macd_signal"].null_count() == length


def test_weekends_are_no_holes_for_stocks_but_are_for_coins() -> None:
    bars = real_bars(STOCKS, "AAPL", "MSFT", last=150)
    on_exchange = compute_features(bars, STOCKS, None, CONFIG)["data_health"]
    around_the_clock = compute_features(bars, DAILY, None, CONFIG)["data_health"]
    assert on_exchange.min() > 0.85
    assert around_the_clock.tail(1).item() < 0.7


@pytest.mark.parametrize(
    "spoil",
    [
        lambda bars: bars.reverse(),
        lambda bars: pl.concat([bars, bars.head(3)]),
        lambda bars: bars.sort("open_time", "symbol"),
        lambda bars: pl.concat([bars.head(5), bars.slice(4)]),
    ],
    ids=["reversed", "scattered", "by time", "repeated bar"],
)
def test_disorder_is_refused(spoil) -> None:
    with pytest.raises(ValueError, match="one block per symbol"):
        features(spoil(market()))


def test_the_configuration_can_be_hashed_and_counts() -> None:
    other = CONFIG.model_copy(update={"regime": CONFIG.regime.model_copy(update={"threshold": 1.0})})
    assert value_hash(CONFIG) != value_hash(other)
