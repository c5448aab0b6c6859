"""When bars open and close, on an exchange and on a market that never closes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_ops.errors import BarDataError, ConfigError, InsufficientDataError
from toto_ops.market.calendars import (
    bar_times,
    expected_open_times,
    in_rows,
    next_close_after,
    periods_per_year,
    rows_per_bar,
    rows_per_year,
    with_bar_times,
)
from toto_ops.market.csv_reader import read_bars_csv
from toto_ops.market.schema import BAR_SCHEMA, RAW_SCHEMA, VALUE_COLUMNS
from toto_ops.market.sources import SAMPLE_FOLDER
from toto_ops.universes import Costs, SampleSource, Universe


def universe(calendar: str, bar: str) -> Universe:
    return Universe(
        name="tried",
        asset_class="stock",
        bar=bar,
        source=SampleSource(folder="daily_stocks"),
        calendar=calendar,
        periods_per_year=252,
        cadence="0 6 1 * *",
        costs=Costs(commission=0.0),
        volume_unit="base",
        adjustment="split",
    )


NEW_YORK_DAILY = universe("XNYS", "1d")
NEW_YORK_HOURLY = universe("XNYS", "1h")
ALWAYS_DAILY = universe("24/7", "1d")
ALWAYS_HOURLY = universe("24/7", "1h")
COMBINED_PARTS = {"stocks": NEW_YORK_DAILY, "coins": ALWAYS_DAILY, "more_coins": ALWAYS_DAILY}


def at(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=UTC)  # type: ignore[misc, arg-type]


def raw(*stamps: datetime) -> pl.DataFrame:
    return pl.DataFrame({"timestamp": list(stamps)} | {name: [1.0] * len(stamps) for name in VALUE_COLUMNS}, schema=RAW_SCHEMA)


def times(universe: Universe, *stamps: datetime) -> list[tuple[datetime, datetime]]:
    return with_bar_times(raw(*stamps), universe).select("open_time", "close_time").rows()


def test_every_bundled_bar_is_one_of_its_calendar():
    for path in sorted(SAMPLE_FOLDER.glob("*/*.csv")):
        traded = NEW_YORK_DAILY if path.parent.name == "daily_stocks" else ALWAYS_DAILY
        bars = with_bar_times(read_bars_csv(path, "UTC"), traded)
        assert bars.schema == BAR_SCHEMA
        expected = expected_open_times(traded, bars["open_time"][0], bars["open_time"][-1])
        assert expected.to_list() == bars["open_time"].to_list(), path.name


def test_a_daily_bar_opens_and_closes_with_its_session():
    assert times(NEW_YORK_DAILY, at(2024, 1, 2), at(2024, 7, 2)) == [
        (at(2024, 1, 2, 14, 30), at(2024, 1, 2, 21)),
        (at(2024, 7, 2, 13, 30), at(2024, 7, 2, 20)),
    ]


def test_an_early_close_is_earlier():
    assert times(NEW_YORK_DAILY, at(2023, 11, 24)) == [(at(2023, 11, 24, 14, 30), at(2023, 11, 24, 18))]


@pytest.mark.parametrize("stamp", [at(2024, 1, 2), at(2024, 1, 2, 5), at(2024, 1, 2, 14, 30), at(2024, 1, 2, 21)])
def test_a_session_may_be_named_by_date_by_local_midnight_by_open_or_by_close(stamp):
    assert times(NEW_YORK_DAILY, stamp) == [(at(2024, 1, 2, 14, 30), at(2024, 1, 2, 21))]


def test_midnight_east_of_utc_names_the_local_day():
    tokyo = universe("XTKS", "1d")
    assert times(tokyo, at(2024, 1, 4, 15)) == times(tokyo, at(2024, 1, 5)) == [(at(2024, 1, 5, 0), at(2024, 1, 5, 6))]


def test_a_daily_bar_of_a_market_that_never_closes_lasts_24_hours():
    assert times(ALWAYS_DAILY, at(2024, 1, 6)) == [(at(2024, 1, 6), at(2024, 1, 7))]


def test_an_intraday_bar_ends_with_its_session_at_the_latest():
    assert times(NEW_YORK_HOURLY, at(2024, 1, 2, 14, 30), at(2024, 1, 2, 20, 30)) == [
        (at(2024, 1, 2, 14, 30), at(2024, 1, 2, 15, 30)),
        (at(2024, 1, 2, 20, 30), at(2024, 1, 2, 21)),
    ]


@pytest.mark.parametrize(
    ("traded", "stamp"),
    [
        (NEW_YORK_DAILY, at(2024, 1, 6)),
        (NEW_YORK_DAILY, at(2024, 1, 1)),
        (NEW_YORK_DAILY, at(2999, 1, 4)),
        (NEW_YORK_DAILY, at(1901, 1, 4)),
        (NEW_YORK_HOURLY, at(2024, 1, 2, 13, 30)),
        (NEW_YORK_HOURLY, at(2024, 1, 2, 21)),
        (NEW_YORK_HOURLY, at(2024, 1, 6, 15)),
        (ALWAYS_DAILY, at(2024, 1, 6, 5)),
        (ALWAYS_HOURLY, at(2024, 1, 6, 5, 1)),
    ],
)
def test_a_stamp_that_names_no_bar_is_refused_by_name(traded, stamp):
    with pytest.raises(BarDataError, match=rf"1 of 1 stamps name no .* bar .*{stamp:%Y-%m-%d %H:%M}"):
        with_bar_times(raw(stamp), traded)
    assert bar_times(pl.Series([stamp]), traded).row(0) == (stamp, None, None)


def test_only_the_first_strange_stamps_are_listed():
    with pytest.raises(BarDataError, match=r"5 of 5 .* and others"):
        with_bar_times(raw(*(at(2024, month, 6) for month in (1, 4, 7, 10)), at(2025, 9, 6)), NEW_YORK_DAILY)


@pytest.mark.parametrize("stamps", [(at(2024, 1, 3), at(2024, 1, 2)), (at(2024, 1, 2), at(2024, 1, 2, 14, 30))])
def test_bars_that_do_not_advance_are_refused(stamps):
    with pytest.raises(BarDataError, match="1 bars repeat or precede"):
        with_bar_times(raw(*stamps), NEW_YORK_DAILY)


def test_stamps_keep_their_order_however_disordered():
    stamps = [at(2024, 1, 3), at(2024, 1, 6), at(2024, 1, 2)]
    for traded in (NEW_YORK_DAILY, ALWAYS_DAILY):
        assert bar_times(pl.Series(stamps), traded)["timestamp"].to_list() == stamps
    hours = [at(2024, 1, 3, 15), at(2024, 1, 6, 15), at(2024, 1, 2, 15)]
    assert bar_times(pl.Series(hours), NEW_YORK_HOURLY)["open_time"].to_list() == [hours[0], None, hours[2]]


def test_no_bars_have_no_times():
    for traded in (NEW_YORK_DAILY, NEW_YORK_HOURLY, ALWAYS_DAILY):
        assert with_bar_times(raw(), traded).schema == BAR_SCHEMA


def test_expected_bars_include_both_ends():
    assert expected_open_times(ALWAYS_DAILY, at(2024, 1, 1), at(2024, 1, 3)).len() == 3
    assert expected_open_times(ALWAYS_DAILY, at(2024, 1, 1, 1), at(2024, 1, 2, 23)).to_list() == [at(2024, 1, 2)]
    thursday, friday = at(2024, 7, 4), at(2024, 7, 5)
    assert expected_open_times(NEW_YORK_DAILY, thursday, friday + timedelta(days=3)).to_list() == [
        friday.replace(hour=13, minute=30)
    ]


def test_expected_intraday_bars_fill_the_session():
    opens = expected_open_times(NEW_YORK_HOURLY, at(2024, 1, 2), at(2024, 1, 3))
    assert opens.to_list() == [at(2024, 1, 2, hour, 30) for hour in range(14, 21)]


def test_no_bar_is_expected_in_a_lunch_break():
    opens = expected_open_times(universe("XHKG", "30m"), at(2024, 1, 2), at(2024, 1, 3))
    local_hours = opens.dt.convert_time_zone("Asia/Hong_Kong").dt.hour().unique().to_list()
    assert local_hours == [9, 10, 11, 13, 14, 15]


def test_the_next_close_skips_nights_and_holidays():
    assert next_close_after(NEW_YORK_DAILY, at(2024, 7, 3, 16, 59)) == at(2024, 7, 3, 17)
    assert next_close_after(NEW_YORK_DAILY, at(2024, 7, 3, 17)) == at(2024, 7, 5, 20)
    assert next_close_after(NEW_YORK_DAILY, at(2029, 12, 31, 21)) == at(2030, 1, 2, 21)
    assert next_close_after(NEW_YORK_HOURLY, at(2024, 7, 3, 16)) == at(2024, 7, 3, 16, 30)
    assert next_close_after(ALWAYS_DAILY, at(2024, 7, 3)) == at(2024, 7, 4)
    assert next_close_after(ALWAYS_HOURLY, at(2024, 7, 3, 0, 59)) == at(2024, 7, 3, 1)


@given(moment=st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2027, 1, 1)))  # noqa: DTZ001
@settings(deadline=None, max_examples=30)
@pytest.mark.parametrize("traded", [NEW_YORK_DAILY, NEW_YORK_HOURLY, ALWAYS_HOURLY], ids=["daily", "hourly", "always"])
def test_no_bar_closes_between_a_moment_and_its_next_close(traded, moment):
    moment = moment.replace(tzinfo=UTC)
    until = next_close_after(traded, moment)
    assert until > moment
    opens = expected_open_times(traded, moment - timedelta(days=5), until)
    closes = bar_times(opens, traded)["close_time"]
    assert closes.filter(closes.is_between(moment, until, closed="right")).to_list() == [until]


def test_an_unknown_calendar_is_a_fault_of_the_configuration():
    with pytest.raises(ConfigError, match="'XMARS' does not exist"):
        expected_open_times(universe("XMARS", "1d"), at(2024, 1, 1), at(2024, 1, 3))


@pytest.mark.parametrize(
    ("calendar", "bar", "expected", "within"),
    [
        ("24/7", "1d", 365.25, 0.0),
        ("24/7", "4h", 6 * 365.25, 1e-9),
        ("XNYS", "1d", 251.7, 0.1),  # 5,033 sessions in the twenty years
        ("XNYS", "1h", 251.7 * 7, 10),  # six and a half hours are seven bars, but for the days that close early
    ],
    ids=["coins, daily", "coins, four-hourly", "New York, daily", "New York, hourly"],
)
def test_bars_per_year_come_from_the_calendar(calendar: str, bar: str, expected: float, within: float) -> None:
    unsaid = universe(calendar, bar).model_copy(update={"periods_per_year": None})
    assert periods_per_year(unsaid) == pytest.approx(expected, abs=within)


def test_bars_per_year_that_a_universe_states_are_taken() -> None:
    assert periods_per_year(NEW_YORK_DAILY) == 252


def test_a_combined_universe_has_a_row_for_every_open_of_any_part() -> None:
    parts = {name: part.model_copy(update={"periods_per_year": None}) for name, part in COMBINED_PARTS.items()}
    combined = ALWAYS_DAILY.model_copy(update={"periods_per_year": None, "parts": parts})
    assert periods_per_year(combined) == pytest.approx(365.25 + 251.7, abs=0.2)


def test_a_bar_of_the_slowest_market_takes_several_rows_of_a_combined_grid() -> None:
    # The calendars count, whatever is said of how figures are annualised.
    combined = ALWAYS_DAILY.model_copy(update={"parts": COMBINED_PARTS})
    assert rows_per_bar(combined) == pytest.approx((365.25 + 251.7) / 251.7, abs=0.002)
    assert [rows_per_bar(alone) for alone in (NEW_YORK_DAILY, ALWAYS_HOURLY)] == [1.0, 1.0]


def test_twenty_sessions_of_new_york_lie_within_the_rows_that_twenty_bars_take() -> None:
    combined = ALWAYS_DAILY.model_copy(update={"parts": COMBINED_PARTS})
    span = datetime(2018, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
    sessions, days = (expected_open_times(part, *span) for part in (NEW_YORK_DAILY, ALWAYS_DAILY))
    grid = pl.concat([sessions, days]).unique().sort()
    is_session = grid.is_in(sessions.implode()).to_numpy()
    within = [is_session[row : row + in_rows(20, rows_per_bar(combined))].sum() for row in range(len(grid) - 60)]
    # A week with a holiday in it lasts longer than the average one.
    assert (min(within), sorted(within)[len(within) // 2]) == (18, 20)
    assert max(is_session[row : row + 20].sum() for row in range(len(grid) - 60)) < 10


def test_a_part_of_a_row_is_a_row() -> None:
    assert [in_rows(bars, 2.45) for bars in (0, 1, 20)] == [0, 3, 49]
    assert in_rows(20, 1.0) == 20


def test_rows_of_a_year_are_counted_where_a_part_has_ended() -> None:
    combined = ALWAYS_DAILY.model_copy(update={"periods_per_year": None, "parts": COMBINED_PARTS})
    span = datetime(2022, 1, 3, tzinfo=UTC), datetime(2023, 12, 29, 23, tzinfo=UTC)
    sessions, days = (expected_open_times(part, *span) for part in (NEW_YORK_DAILY, ALWAYS_DAILY))
    both = pl.concat([sessions, days]).unique().sort()
    counted = [rows_per_year(combined, rows.dt.replace_time_zone(None).to_numpy()) for rows in (both, sessions)]
    assert counted == pytest.approx([365.25 + 251.7, 251.7], abs=1.5)


def test_rows_of_a_year_are_as_the_calendar_has_them_in_a_universe_of_its_own() -> None:
    three = np.array(["2024-01-02", "2024-01-03", "2024-01-08"], dtype="datetime64[us]")
    unsaid = NEW_YORK_DAILY.model_copy(update={"periods_per_year": None})
    assert rows_per_year(unsaid, three) == periods_per_year(unsaid)
    said = ALWAYS_DAILY.model_copy(update={"periods_per_year": 600.0, "parts": COMBINED_PARTS})
    assert rows_per_year(said, three) == 600.0


def test_a_single_row_has_no_length() -> None:
    combined = ALWAYS_DAILY.model_copy(update={"periods_per_year": None, "parts": COMBINED_PARTS})
    with pytest.raises(InsufficientDataError, match=r"1 row\(s\) have no length"):
        rows_per_year(combined, np.array(["2024-01-02"], dtype="datetime64[us]"))
