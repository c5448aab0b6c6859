"""One symbol's CSV file into raw bars: find the columns, the moments and the numbers, and judge nothing else.

Nulls, duplicates, disorder and impossible prices pass through as found, since quality reports on them. What cannot be
read at all is refused here, with file, line and column.

Columns are found by name, whatever their case, spaces and punctuation (`Open Time`, `<CLOSE>`, `1. open`). `Adj Close`
is ignored on purpose: it is adjusted while open, high and low are not, so it fits no bar. Timestamps name the *open* of
their bar; they are ISO 8601, `YYYYMMDD`, or seconds to nanoseconds since 1970.
"""

from __future__ import annotations

import csv
import re
from io import StringIO
from pathlib import Path

import polars as pl

from toto_ops.errors import BarDataError
from toto_ops.market.schema import VALUE_COLUMNS
from toto_ops.market.timestamps import StampColumn, parse_timestamps

ALIASES = {
    "timestamp": ("timestamp", "datetime", "opentime", "date", "time", "unix", "epoch", "t", "index", "unnamed", ""),
    "open": ("open", "openprice", "o"),
    "high": ("high", "highprice", "h"),
    "low": ("low", "lowprice", "l"),
    "close": ("close", "closeprice", "c"),
    "volume": ("volume", "vol", "v"),
}
"""Accepted names of each column, preferred first, as `_normalised` leaves them."""

MISSING = ("nan", "na", "n/a", "null", "none", "-")
"""Cells that mean "no value"."""

SEPARATORS = ",;\t|"


def read_bars_csv(path: Path, timezone: str) -> pl.DataFrame:
    """Read raw bars.

    Parameters
    ----------
    path
        A UTF-8 text file with a header line.
    timezone
        IANA zone of timestamps that carry none.

    Returns
    -------
    pl.DataFrame
        `RAW_SCHEMA`, one row per line of the file in file order; missing numbers are null.

    Raises
    ------
    BarDataError
        If the file cannot be read, is not text, has no rows, lacks a column, or holds a timestamp or number that cannot
        be understood, or timestamps of several time zones.
    """
    cells = _cells(path)
    header, rows = cells.row(0), cells.slice(1).with_row_index("line", offset=2)
    rows = rows.filter(pl.any_horizontal(pl.exclude("line").is_not_null()))
    columns = _find_columns([name or "" for name in header], path)
    if rows.is_empty():
        raise BarDataError("has a header but zero rows", where=str(path), remedy="export the bars again, or remove the file")
    stamps = rows.select(pl.concat_str([pl.nth(index + 1) for index in columns["timestamp"]], separator=" ")).to_series()
    moments = parse_timestamps(StampColumn(stamps, rows["line"], str(path)), timezone)
    numbers = [_numbers(rows.to_series(columns[name][0] + 1), rows["line"], name, path) for name in VALUE_COLUMNS]
    return pl.DataFrame([moments, *numbers])


def _cells(path: Path) -> pl.DataFrame:
    """Every cell as stripped text, header included, so that line numbers in messages are those of the file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BarDataError(
            f"cannot be read ({error.strerror})", where=str(path), remedy="check that it is there and readable"
        ) from error
    if not content.strip():
        raise BarDataError("is empty: zero rows", where=str(path), remedy="export the bars again, or remove the file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_text(path) from error
    if "\x00" in text:
        raise _not_text(path)
    separator = max(SEPARATORS, key=text.split("\n", 1)[0].count)
    try:
        cells = pl.read_csv(text.encode(), has_header=False, infer_schema=False, separator=separator, glob=False)
    except pl.exceptions.PolarsError as error:
        raise BarDataError(
            f"is not a table from {_first_odd_line(text, separator)} on: {str(error).splitlines()[0]}",
            where=str(path),
            remedy="give every line as many fields as the header",
        ) from error
    stripped = pl.all().str.strip_chars()
    return cells.select(pl.when(stripped != "").then(stripped))


def _first_odd_line(text: str, separator: str) -> str:
    """Where the first line begins that has another number of fields than the header."""
    lines = csv.reader(StringIO(text), delimiter=separator)
    line = 1
    try:
        fields = len(next(lines))
        while True:
            line = lines.line_num + 1
            if len(next(lines)) != fields:
                break
    except (csv.Error, StopIteration):  # a quote that is opened on this line and closed nowhere
        pass
    return f"line {line}"


def _not_text(path: Path) -> BarDataError:
    return BarDataError("is binary, not UTF-8 text", where=str(path), remedy="save the bars as a UTF-8 CSV file")


def _find_columns(header: list[str], path: Path) -> dict[str, tuple[int, ...]]:
    """Where each raw column stands; the timestamp may be two columns, a date and a time of day."""
    names = [_normalised(name) for name in header]
    found: dict[str, tuple[int, ...]] = {}
    for column, aliases in ALIASES.items():
        # Several columns without a name, as in a file without a header, are no timestamp.
        alias = next((name for name in aliases if name in names and (name or names.count("") == 1)), None)
        if alias is None:
            continue
        if names.count(alias) > 1:
            raise BarDataError(f"has several columns called {alias!r}", where=str(path), remedy="keep one of them")
        found[column] = (
            (names.index(alias), names.index("time")) if alias == "date" and "time" in names else (names.index(alias),)
        )
    missing = [column for column in ALIASES if column not in found]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        raise BarDataError(
            f"lacks the column{plural} {', '.join(missing)}; its header reads {', '.join(header)[:200]!r}",
            where=str(path),
            remedy="name the columns timestamp, open, high, low, close, volume in the first line",
        )
    return found


def _normalised(name: str) -> str:
    """Lower case, letters only: `Open Time`, `<OPEN>`, `1. open` and `Unnamed: 0` lose what differs between exporters."""
    return re.sub(r"[^a-z]", "", name.lower())


def _numbers(cells: pl.Series, lines: pl.Series, column: str, path: Path) -> pl.Series:
    cells = cells.set(cells.str.to_lowercase().is_in(MISSING), None)
    numbers = cells.cast(pl.Float64, strict=False)
    bad = (cells.is_not_null() & ~numbers.is_finite().fill_null(value=False)).arg_true()
    if len(bad) > 0:
        others = f" ({len(bad)} such lines)" if len(bad) > 1 else ""
        raise BarDataError(
            f"line {lines[bad[0]]}, column {column}: {cells[bad[0]]!r:.60} is not a number{others}",
            where=str(path),
            remedy="write plain finite numbers with a decimal point and no thousands separators",
        )
    return numbers.alias(column)
