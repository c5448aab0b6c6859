"""Quality: every kind of fault is named in plain words, harmless oddities warn, and real bars pass."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from toto_ops.errors import BarDataError
from toto_ops.market.ingest import newest_close
from toto_ops.market.quality import QualityConfig, QualityReport, unreadable, validate_bars
from toto_ops.market.sources import open_source
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.universes import Membership


def at(row: int, **values) -> list[pl.Expr]:
    """Expressions that set columns of one row."""
    return [
        pl.when(pl.int_range(pl.len()) == row)
        .then(value if isinstance(value, pl.Expr) else pl.lit(value))
        .otherwise(pl.col(name))
        .alias(name)
        for name, value in values.items()
    ]


@pytest.fixture
def judge(bundled_universes, as_of):
    def validate(bars: pl.DataFrame, **changes) -> QualityReport:
        universe = bundled_universes["stocks"].model_copy(update=changes)
        return validate_bars(bars, universe, "AAPL", as_of)

    return validate


@pytest.mark.parametrize("name", ["stocks", "crypto"])
def test_every_bundled_symbol_passes_and_only_msft_has_ended(bundled_universes, name):
    universe = bundled_universes[name]
    source = open_source(universe)
    symbols = universe_symbols(universe, source)
    as_of = newest_close(source, universe, symbols)
    reports = [validate_bars(source.read(symbol), universe, symbol, as_of) for symbol in symbols]
    assert [report.errors for report in reports if not report.passed] == []
    assert [report.symbol for report in reports if report.ended] == (["MSFT"] if name == "stocks" else [])
    assert all(report.statistics.missing == 0 for report in reports)


def test_doge_is_warned_of_its_best_day_and_not_refused_for_it(bundled_universes):
    report = validate_bars(
        open_source(bundled_universes["crypto"]).read("DOGEUSD"),
        bundled_universes["crypto"],
        "DOGEUSD",
        datetime(2021, 7, 7, tzinfo=UTC),
    )
    assert report.passed
    assert any("1:5" in warning and "2021-01-28" in warning for warning in report.warnings)


def test_sound_bars_pass_without_a_word(judge, sound_bars):
    report = judge(sound_bars)
    assert (report.errors, report.warnings, report.ended) == ((), (), False)
    assert report.statistics.rows == len(sound_bars)
    assert report.statistics.last_close == datetime(2015, 12, 31, 21, tzinfo=UTC)


FAULTS = {
    "missing price": (at(20, close=None), "close is missing", "2014-01-31"),
    "infinite price": (at(20, high=float("inf")), "high is missing or not a finite number", "2014-01-31"),
    "nan volume": (at(20, volume=float("nan")), "volume is missing", "2014-01-31"),
    "negative price": (at(20, low=-1.0), "low is zero or negative", "2014-01-31"),
    "zero price": (at(20, open=0.0), "open is zero or negative", "2014-01-31"),
    "negative volume": (at(20, volume=-5.0), "volume is negative", "2014-01-31"),
    "high below low": (at(20, high=1.0), "high is below low", "2014-01-31"),
    "high below close": (at(20, high=pl.col("low")), "high is below the open or the close", "2014-01-31"),
    "low above open": (at(20, low=pl.col("high")), "low is above the open or the close", "2014-01-31"),
    "weekend": (at(20, timestamp=datetime(2014, 2, 1, tzinfo=UTC)), "names no 1d bar of calendar XNYS", "2014-02-01"),
    "missing timestamp": (at(20, timestamp=None), "the timestamp is missing", "(no timestamp)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_one_bar_is_an_error_that_names_symbol_bar_count_and_remedy(judge, sound_bars, fault):
    spoil, words, place = FAULTS[fault]
    spoilt = sound_bars.with_columns(spoil).cast({"timestamp": pl.Datetime("us", "UTC")})
    errors = [error for error in judge(spoilt).errors if words in error]
    assert len(errors) == 1
    assert errors[0].startswith("AAPL: ")
    assert place in errors[0]
    assert f"on 1 of {len(sound_bars)} bars" in errors[0]
    assert "Remedy: " in errors[0]


def test_duplicates_are_an_error_even_where_the_stamps_differ(judge, sound_bars):
    again = sound_bars[20:21]
    for copy in (again, again.with_columns(pl.col("timestamp") + timedelta(hours=15))):
        errors = judge(pl.concat([sound_bars[:21], copy, sound_bars[21:]])).errors
        assert len(errors) == 1
        assert "duplicated" in errors[0]
        assert "2014-01-31" in errors[0]


def test_disorder_is_an_error_that_names_the_bar_out_of_place(judge, sound_bars):
    errors = judge(pl.concat([sound_bars[:20], sound_bars[21:22], sound_bars[20:21], sound_bars[22:]])).errors
    assert len(errors) == 1
    assert "out of order" in errors[0]
    assert "2014-01-31" in errors[0]


def test_disorder_makes_neither_gaps_nor_splits(judge, sound_bars):
    report = judge(sound_bars.sample(fraction=1, shuffle=True, seed=1))
    assert [error for error in report.errors if "out of order" not in error] == []
    assert report.warnings == ()


def test_rounding_between_the_prices_of_a_bar_is_forgiven(judge, sound_bars):
    assert judge(sound_bars.with_columns(high=pl.max_horizontal("open", "close") * (1 - 1e-8))).passed


def test_a_few_missing_sessions_warn_and_many_are_an_error(judge, sound_bars):
    few = judge(pl.concat([sound_bars[:20], sound_bars[23:]]))
    assert few.passed
    assert len(few.warnings) == 1
    assert "3 of 504 bars" in few.warnings[0]
    assert few.statistics.longest_gap == 3
    many = judge(pl.concat([sound_bars[:20], sound_bars[60:]]))
    assert len(many.errors) == 1
    assert "40 of 504 bars" in many.errors[0]


def test_the_tolerance_for_gaps_is_configured(bundled_universes, sound_bars, as_of):
    holed = pl.concat([sound_bars[:20], sound_bars[23:]])
    report = validate_bars(holed, bundled_universes["stocks"], "AAPL", as_of, QualityConfig(missing_share=0.0))
    assert len(report.errors) == 1
    assert "3 of 504 bars" in report.errors[0]


def test_coins_have_no_weekends(bundled_universes):
    bars = open_source(bundled_universes["crypto"]).read("BTCUSD")
    weekdays = bars.filter(pl.col("timestamp").dt.weekday() <= 5)
    report = validate_bars(weekdays, bundled_universes["crypto"], "BTCUSD", datetime(2021, 7, 7, tzinfo=UTC))
    assert not report.passed
    assert "are missing (28" in report.errors[0]


@pytest.mark.parametrize("rows", [0, 1, 299])
def test_too_few_bars_are_an_error_and_none_at_all_is_too_few(judge, sound_bars, rows):
    errors = judge(sound_bars.tail(rows)).errors
    assert len(errors) == 1
    assert f"only {rows} bars" in errors[0]
    assert "at least 300" in errors[0]


def test_an_unadjusted_split_is_an_error_for_stocks_and_a_warning_for_coins(judge, sound_bars):
    prices = ["open", "high", "low", "close"]
    after = pl.int_range(pl.len()) >= 250
    split = sound_bars.with_columns(pl.when(after).then(pl.col(prices) / 10).otherwise(pl.col(prices)))
    stock = judge(split)
    assert len(stock.errors) == 1
    assert "10:1" in stock.errors[0]
    assert f"{sound_bars['timestamp'][250]:%Y-%m-%d}" in stock.errors[0]
    coin = judge(split, asset_class="crypto")
    assert coin.passed
    assert "10:1" in coin.warnings[0]


def test_a_wrong_print_warns(judge, sound_bars):
    spoilt = sound_bars.with_columns(at(250, open=10.0, high=10.0, low=10.0, close=10.0))
    report = judge(spoilt)
    assert report.passed
    assert "comes back" in report.warnings[0]


def test_a_feed_that_ended_is_a_warning_and_marks_the_symbol(judge, sound_bars):
    report = judge(sound_bars[:400])
    assert report.passed
    assert report.ended
    assert "the feed stops 104 bars before" in report.warnings[0]


def test_a_feed_that_is_one_session_late_has_not_ended(judge, sound_bars):
    report = judge(sound_bars[:-1])
    assert not report.ended
    assert "the feed stops 1 bar before" in report.warnings[0]


def test_a_closed_market_makes_no_feed_late(bundled_universes, sound_bars):
    universe = bundled_universes["stocks"].model_copy(update={"max_bar_age_days": 1.0})
    report = validate_bars(
        sound_bars, universe, "AAPL", datetime(2016, 1, 4, 14, tzinfo=UTC)
    )  # Thursday's close to Monday's open
    assert not report.ended
    assert report.warnings == ()


def test_what_closes_after_as_of_is_not_looked_at(bundled_universes, sound_bars):
    spoilt = sound_bars.with_columns(at(503, close=-1.0))
    before = datetime(2015, 12, 31, 20, 59, tzinfo=UTC)
    assert validate_bars(spoilt, bundled_universes["stocks"], "AAPL", before).passed
    assert not validate_bars(spoilt, bundled_universes["stocks"], "AAPL", before + timedelta(minutes=1)).passed


def test_only_bars_of_the_membership_count(judge, sound_bars):
    spoilt = sound_bars.with_columns(at(20, close=-1.0)).with_columns(at(490, low=None))
    membership = Membership.model_validate({"from": date(2014, 2, 3), "to": date(2015, 11, 30)})
    report = judge(spoilt, symbols={"AAPL": membership})
    assert report.errors == report.warnings == ()
    assert report.ended
    assert report.statistics.first_open == datetime(2014, 2, 3, 14, 30, tzinfo=UTC)
    assert report.statistics.last_close == datetime(2015, 11, 30, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    "change",
    [
        lambda bars: bars.drop("close"),
        lambda bars: bars.with_columns(extra=1),
        lambda bars: bars.select(reversed(bars.columns)),
        lambda bars: bars.cast({"volume": pl.Int64}),
        lambda bars: bars.cast({"open": pl.String}),
        lambda bars: bars.cast({"timestamp": pl.Datetime("ns", "UTC")}),
        lambda bars: bars.with_columns(pl.col("timestamp").dt.convert_time_zone("America/New_York")),
        lambda bars: bars.with_columns(pl.col("timestamp").dt.replace_time_zone(None)),
    ],
)
def test_other_columns_or_types_than_those_of_raw_bars_are_an_error(judge, sound_bars, change):
    report = judge(change(sound_bars))
    assert not report.passed
    assert "timestamp" in report.errors[0]


def test_results_are_json_whatever_is_wrong(judge, sound_bars):
    spoilt = sound_bars.with_columns(at(20, close=float("nan"), timestamp=None)).cast({"timestamp": pl.Datetime("us", "UTC")})
    for bars in (sound_bars, spoilt, sound_bars.clear()):
        results = judge(bars).gx_results
        assert len(json.loads(json.dumps(results, allow_nan=False))["results"]) > 25


def test_bars_that_could_not_be_read_have_a_report_too():
    report = unreadable("AAPL", BarDataError("is binary", where="AAPL.csv", remedy="save as CSV"))
    assert not report.passed
    assert report.errors == ("AAPL.csv: is binary. Remedy: save as CSV",)
    assert report.with_error(BarDataError("more")).errors[1] == "more"


def test_validation_sends_nothing_home():
    from toto_ops.market import quality

    assert quality._whole_table().data_asset.datasource.data_context.config.analytics_enabled is False
