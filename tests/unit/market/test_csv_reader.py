"""What a CSV of bars may look like, and what is said about one that cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_ops.errors import BarDataError, ConfigError
from toto_ops.market.csv_reader import read_bars_csv
from toto_ops.market.schema import RAW_SCHEMA
from toto_ops.market.sources import SAMPLE_FOLDER
from toto_ops.market.timestamps import StampColumn, parse_timestamps

HEADER = "timestamp,open,high,low,close,volume"


@pytest.fixture
def read(tmp_path):
    def read_text(text: str | bytes, timezone: str = "UTC") -> pl.DataFrame:
        path = tmp_path / "AAPL.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_bars_csv(path, timezone)

    return read_text


def lines(*stamps: str) -> str:
    return "\n".join([HEADER, *(f"{stamp},1,3,0.5,2,100" for stamp in stamps)])


def stamps_of(bars: pl.DataFrame) -> list[datetime]:
    return bars["timestamp"].to_list()


NEW_YEAR = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)


def test_bundled_bars_are_read_whole():
    bars = read_bars_csv(SAMPLE_FOLDER / "daily_stocks" / "AAPL.csv", "UTC")
    assert bars.schema == RAW_SCHEMA
    assert len(bars) == 2699
    assert bars.row(0) == (datetime(2013, 1, 2, tzinfo=UTC), 19.77929, 19.82143, 19.34393, 19.60821, 560518000.0)


@pytest.mark.parametrize(
    "stamp",
    [
        "2024-01-02T14:30:00Z",
        "2024-01-02 14:30",
        "2024/01/02 14:30:00",
        "2024-01-02T14:30:00.000000",
        "2024-01-02 09:30:00-05:00",
        "2024-01-02T20:00:00+0530",
        "2024-01-02 14:30:00 UTC",
        "2024-01-02 15:30:00+01",
        "1704205800",
        "1704205800.0",
        "1704205800000",
        "1704205800000000",
        "1704205800000000000",
    ],
)
def test_iso_and_epoch_timestamps_name_the_same_moment(read, stamp):
    assert stamps_of(read(lines(stamp))) == [NEW_YEAR]


@pytest.mark.parametrize("stamp", ["2024-01-02", "20240102", "2024/01/02"])
def test_a_date_is_its_midnight(read, stamp):
    assert stamps_of(read(lines(stamp))) == [datetime(2024, 1, 2, tzinfo=UTC)]


def test_naive_timestamps_are_read_in_the_zone_of_the_source(read):
    bars = read(lines("2024-01-02 09:30", "2024-07-02 09:30"), "America/New_York")
    assert stamps_of(bars) == [NEW_YEAR, datetime(2024, 7, 2, 13, 30, tzinfo=UTC)]


def test_daylight_saving_of_the_configured_zone_is_one_zone(read):
    bars = read(lines("2024-01-02 09:30:00-05:00", "2024-07-02 09:30:00-04:00"), "America/New_York")
    assert stamps_of(bars) == [NEW_YEAR, datetime(2024, 7, 2, 13, 30, tzinfo=UTC)]


@given(
    moment=st.datetimes(min_value=datetime(1975, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001
    east=st.integers(min_value=-12 * 60, max_value=14 * 60),
)
@settings(deadline=None, max_examples=50)
def test_any_offset_is_subtracted(moment, east):
    moment = moment.replace(tzinfo=UTC)
    sign, minutes = "-" if east < 0 else "+", abs(east)
    wall_clock = (moment + timedelta(minutes=east)).strftime("%Y-%m-%d %H:%M:%S.%f")
    text = pl.Series([f"{wall_clock}{sign}{minutes // 60:02d}:{minutes % 60:02d}"])
    assert parse_timestamps(StampColumn(text, pl.Series([2]), "x.csv"), "UTC").to_list() == [moment]


@given(microseconds=st.integers(min_value=10**14, max_value=9 * 10**15))
@settings(deadline=None, max_examples=50)
def test_no_microsecond_is_lost_to_floats(microseconds):
    column = StampColumn(pl.Series([f"{microseconds}999"]), pl.Series([2]), "x.csv")
    assert parse_timestamps(column, "UTC").to_physical().to_list() == [microseconds]


@pytest.mark.parametrize(
    "header",
    [
        "Date,Open,High,Low,Close,Volume",
        " TIMESTAMP , OPEN,high ,Low,close,VOL",
        "Open Time,Open,High,Low,Close,Volume",
        "<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>",
        "date,1. open,2. high,3. low,4. close,5. volume",
        "t,o,h,l,c,v",
        ",open,high,low,close,volume",
        "Unnamed: 0,open,high,low,close,volume",
    ],
)
def test_common_column_names_are_understood(read, header):
    bars = read(f"{header}\n2024-01-02 14:30,1,3,0.5,2,100\n")
    assert bars.row(0) == (NEW_YEAR, 1.0, 3.0, 0.5, 2.0, 100.0)


def test_columns_may_stand_in_any_order_among_others(read):
    bars = read("symbol,close,volume,high,low,open,date\nX,2,100,3,0.5,1,2024-01-02 14:30\n")
    assert bars.row(0) == (NEW_YEAR, 1.0, 3.0, 0.5, 2.0, 100.0)


def test_adjusted_close_never_replaces_close(read):
    bars = read("Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-02,1,3,0.5,2,1.9,100\n")
    assert bars["close"].to_list() == [2.0]


def test_date_and_time_columns_are_joined(read):
    bars = read("Date,Time,Open,High,Low,Close,Volume\n2024-01-02,14:30,1,3,0.5,2,100\n")
    assert stamps_of(bars) == [NEW_YEAR]


def test_an_explicit_timestamp_wins_over_a_date(read):
    bars = read("unix,date,open,high,low,close,volume,timestamp\n1,2020-01-01,1,3,0.5,2,100,1704205800\n")
    assert stamps_of(bars) == [NEW_YEAR]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_are_understood(read, separator):
    assert len(read(lines("2024-01-02").replace(",", separator))) == 1


def test_byte_order_mark_windows_lines_quotes_and_blank_lines_are_harmless(read):
    text = '\ufeff"timestamp","open","high","low","close","volume"\r\n\r\n"2024-01-02","1","3","0.5","2","100"\r\n\r\n'
    assert read(text).row(0)[1:] == (1.0, 3.0, 0.5, 2.0, 100.0)


def test_what_quality_judges_passes_as_found(read):
    bars = read(f"{HEADER}\n2024-01-03,1,0.2,3,-2,100\n2024-01-02,,NaN,null,2,-1\n2024-01-02,1e1,+3,.5,N/A,0\n")
    assert [moment.day for moment in stamps_of(bars)] == [3, 2, 2]
    assert bars.row(0)[1:] == (1.0, 0.2, 3.0, -2.0, 100.0)
    assert bars.row(1)[1:] == (None, None, None, 2.0, -1.0)
    assert bars.row(2)[1:] == (10.0, 3.0, 0.5, None, 0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timestamp,open,high,low\n2024-01-02,1,3,0.5\n", "lacks the columns close, volume"),
        ("open,high,low,close,volume\n1,3,0.5,2,100\n", "lacks the column timestamp"),
        ("date,open,high,low,Close,close ,volume\n2024-01-02,1,3,0.5,2,2,100\n", "several columns called 'close'"),
        ("", "zero rows"),
        ("\n\n", "zero rows"),
        (f"{HEADER}\n", "zero rows"),
        (f"{HEADER}\n,,,,,\n\n", "zero rows"),
        (bytes(range(256)) * 20, "binary"),
        (b"\x00\x01\x02", "binary"),
        (HEADER.encode("utf-16"), "binary"),
        (f"{lines('2024-01-02')}\n2024-01-03,1,3,0.5,2,100,7\n", "is not a table from line 3 on"),
        (f'{lines("2024-01-02")}\n"2024-01-03,1,3,0.5,2,100\n', "is not a table from line 3 on"),
        ("2024-01-02,1,3,0.5,2,100\n2024-01-03,1,3,0.5,2,100\n", "lacks the columns timestamp, .*reads '2024-01-02, 1"),
        (f"{HEADER}\n2024-01-02,1,3,0.5,2,100\n2024-01-03,1,3,abc,2,100\n", "line 3, column low: 'abc' is not a number"),
        (f"{HEADER}\n\n2024-01-03,1,3,inf,2,100\n", "line 3, column low: 'inf' is not a number"),
        (f'{HEADER}\n2024-01-02,1,3,0.5,2,"1,000"\n', "line 2, column volume: '1,000' is not a number"),
        (lines("2024-01-02", "yesterday", "tomorrow"), r"line 3, column timestamp: 'yesterday' is neither .* \(2 such lines\)"),
        (lines("2024-01-02", ""), "line 3, column timestamp: '' is neither"),
        (lines("2024-02-30"), "line 2, column timestamp: '2024-02-30'"),
        (lines("01/02/2024"), "'01/02/2024' is neither an ISO 8601 timestamp nor an epoch number"),
        (lines("1704205800", "1704205860000"), "line 3, column timestamp: '1704205860000' is not in seconds"),
        (lines("000000001"), "no moment since 1973"),
        (lines("99999999999999999999"), "neither an ISO"),
        (lines("2024-01-02T00:00:00Z", "2024-01-03T00:00:00+02:00"), "mixes time zones: .*Z' on line 2 and .*' on line 3"),
        (lines("2024-01-02T00:00:00Z", "2024-01-03T00:00:00"), "mixes time zones"),
        (lines("2024-01-02T00:00:00", "2024-01-03T00:00:00Z"), "mixes time zones"),
        (lines("2024-01-02 09:30:00-05:00", "2024-07-02 09:30:00-04:00"), "mixes time zones"),
    ],
)
def test_what_cannot_be_read_is_refused_with_file_and_reason(read, text, message):
    with pytest.raises(BarDataError, match=message) as refusal:
        read(text)
    assert "AAPL.csv" in refusal.value.where
    assert refusal.value.remedy


@pytest.mark.parametrize("stamp", ["2024-11-03 01:30", "2024-03-10 02:30"])
def test_a_clock_change_leaves_no_guess(read, stamp):
    with pytest.raises(BarDataError, match="does not name one moment in America/New_York"):
        read(lines(stamp), "America/New_York")


def test_an_unknown_zone_is_a_fault_of_the_configuration(read):
    with pytest.raises(ConfigError, match="Mars/Olympus"):
        read(lines("2024-01-02"), "Mars/Olympus")


def test_an_absent_file_concerns_its_symbol_alone(tmp_path: Path):
    with pytest.raises(BarDataError, match=r"cannot be read"):
        read_bars_csv(tmp_path / "GONE.csv", "UTC")
