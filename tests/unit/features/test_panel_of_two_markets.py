"""Markets of different hours side by side: rows begin where any bar opens, and a bar is known where it closes."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from tests.unit.features.bar_histories import DAILY, STOCKS, bars_of, make_universe, real_bars
from toto_ops.errors import BarDataError
from toto_ops.features.compute import FeatureConfig, compute_features
from toto_ops.features.context import CONTEXT_FEATURES
from toto_ops.features.panel import Panel
from toto_ops.features.panel_builder import build_panel

SHARE, COIN = "AAPL", "BTCUSD"
BOTH = (SHARE, COIN)
CALENDARS = {SHARE: "XNYS", "NVDA": "XNYS", COIN: "24/7"}


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    """Real bars of the same 240 days, which end on a Sunday."""
    coin, share = real_bars(DAILY, COIN, last=5000), real_bars(STOCKS, SHARE, last=5000)
    sundays = coin.filter((pl.col("open_time").dt.weekday() == 7) & (pl.col("close_time") < share["close_time"].max()))
    until = sundays["close_time"].max()
    since = until - timedelta(days=240)
    both = pl.concat([coin, share]).filter(pl.col("open_time").is_between(since, until), pl.col("close_time") <= until)
    assert both["symbol"].value_counts()["count"].min() > 150
    return both


@pytest.fixture(scope="module")
def features(bars: pl.DataFrame) -> pl.DataFrame:
    return pl.concat(
        compute_features(bars.filter(pl.col("symbol") == symbol), universe, None, FeatureConfig())
        for symbol, universe in ((COIN, DAILY), (SHARE, STOCKS))
    )


@pytest.fixture(scope="module")
def panel(features: pl.DataFrame) -> Panel:
    return build_panel(features, BOTH, calendars=CALENDARS)


def moments(series: pl.Series) -> np.ndarray:
    return series.dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")


def complete(features: pl.DataFrame, symbol: str, panel: Panel) -> pl.DataFrame:
    """Bars of a symbol that it can be decided on."""
    first = pl.lit(panel.open_time[0].item()).dt.replace_time_zone("UTC")
    return features.filter(pl.col("symbol") == symbol).drop_nulls().filter(pl.col("close_time") > first)


def test_rows_follow_each_other_without_overlap(panel: Panel) -> None:
    assert (panel.close_time > panel.open_time).all()
    assert (panel.close_time[:-1] <= panel.open_time[1:]).all()


@pytest.mark.parametrize("symbol", BOTH)
def test_a_symbol_can_be_filled_exactly_where_its_bars_open(features: pl.DataFrame, panel: Panel, symbol: str) -> None:
    a, mine = panel.symbols.index(symbol), complete(features, symbol, panel)
    mine = mine.filter(pl.Series(moments(mine["open_time"]) >= panel.open_time[0]))
    np.testing.assert_array_equal(panel.open_time[panel.tradable[:, a]], moments(mine["open_time"]))
    np.testing.assert_array_equal(panel.open[panel.tradable[:, a], a], mine["open"].to_numpy())
    assert np.isnan(panel.open[~panel.tradable[:, a], a]).all()


@pytest.mark.parametrize("symbol", BOTH)
def test_a_bar_is_known_at_the_end_of_the_row_it_closes_in_and_not_before(
    features: pl.DataFrame, panel: Panel, symbol: str
) -> None:
    a, mine = panel.symbols.index(symbol), complete(features, symbol, panel)
    rows = np.flatnonzero(panel.mask[:, a])
    closes = moments(mine["close_time"])
    assert len(rows) == len(closes)
    assert (closes <= panel.close_time[rows]).all()
    assert (closes > panel.open_time[rows]).all()
    np.testing.assert_array_equal(panel.close[rows, a], mine["close"].to_numpy())
    np.testing.assert_array_equal(panel.features[rows, a, 0], mine["return_1"].to_numpy())
    np.testing.assert_array_equal(panel.volatility[rows, a], mine["volatility"].to_numpy())


def test_a_coin_s_day_spans_the_row_in_which_the_exchange_opens(panel: Panel) -> None:
    share, coin = panel.symbols.index(SHARE), panel.symbols.index(COIN)
    sessions = np.flatnonzero(panel.tradable[:, share])[1:-1]
    assert not panel.tradable[sessions, coin].any()
    assert panel.mask[sessions].all(), "both close there"
    nothing_closes = sessions - 1
    assert panel.tradable[nothing_closes, coin].all()
    assert not panel.mask[nothing_closes].any()
    np.testing.assert_array_equal(panel.close_time[nothing_closes], panel.open_time[sessions])


def test_on_weekends_the_coin_alone_opens_and_closes(panel: Panel) -> None:
    share, coin = panel.symbols.index(SHARE), panel.symbols.index(COIN)
    weekend = (panel.open_time.astype("datetime64[D]").view("int64") - 4) % 7 >= 5
    assert weekend.sum() > 20
    assert panel.mask[weekend, coin].all()
    assert not (panel.mask | panel.tradable)[weekend, share].any()
    np.testing.assert_array_equal(panel.volatility[-1, share], panel.volatility[panel.mask[:, share], share][-1])


def test_a_market_that_is_closed_has_not_ended(panel: Panel) -> None:
    assert not panel.mask[-1, panel.symbols.index(SHARE)]
    assert panel.ended.tolist() == [False, False]


def test_a_symbol_has_ended_once_others_of_its_calendar_trade_without_it(bars: pl.DataFrame) -> None:
    last = bars.filter(pl.col("symbol") == SHARE)["close_time"].max()
    shares = real_bars(STOCKS, SHARE, "NVDA", last=5000).filter(pl.col("close_time") <= last)
    gone = shares.filter((pl.col("symbol") != "NVDA") | (pl.col("close_time") < last - timedelta(days=10)))
    coin = compute_features(bars.filter(pl.col("symbol") == COIN), DAILY, None, FeatureConfig())
    both = pl.concat([compute_features(gone, STOCKS, None, FeatureConfig()), coin])
    panel = build_panel(both, (*BOTH, "NVDA"), calendars=CALENDARS)
    assert dict(zip(panel.symbols, panel.ended.tolist(), strict=True)) == {SHARE: False, COIN: False, "NVDA": True}


def test_correlations_pair_what_closes_in_the_same_row(features: pl.DataFrame, panel: Panel) -> None:
    """On weekends the share does not move, and there is no other to correlate the coin with."""
    share, coin = panel.symbols.index(SHARE), panel.symbols.index(COIN)
    mean = panel.context[..., CONTEXT_FEATURES.index("mean_correlation")]
    together = panel.mask.all(axis=1)
    np.testing.assert_array_equal(mean[together, share], mean[together, coin])
    assert np.abs(mean[together, share]).min() > 0
    weekend = ~panel.tradable[:, share] & panel.tradable[:, coin] & panel.mask[:, coin]
    assert weekend.sum() > 20
    assert not mean[weekend].any()


def test_two_calendars_are_told_apart_only_if_they_are_named(features: pl.DataFrame) -> None:
    assert build_panel(features, BOTH).ended.tolist() == [True, False]


def test_bars_of_a_symbol_that_overlap_are_an_error() -> None:
    half = make_universe(bar="12h")
    bars = bars_of("AA", 100 + np.sin(np.arange(200)), universe=half)
    odd = pl.Series(np.arange(200) % 2 == 0)
    long = bars.with_columns(close_time=pl.when(odd).then(pl.col("close_time") + timedelta(hours=12)).otherwise("close_time"))
    with pytest.raises(BarDataError, match="overlap"):
        build_panel(compute_features(bars, half, None, FeatureConfig()).with_columns(long["close_time"]), ("AA",))
