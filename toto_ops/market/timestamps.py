"""Timestamps as text into moments: ISO 8601, `YYYYMMDD`, or epoch numbers, all of one time zone.

A file that mixes zones is refused, because bars that moved by some hours look sound and leak the future. The one mixture
that means one zone is a zone's own daylight saving: offsets that differ, but are those of the configured zone each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import polars as pl

from toto_ops.errors import BarDataError, ConfigError
from toto_ops.market.schema import MOMENT

EPOCH = r"^\d{9,19}(\.\d+)?$"
COMPACT_DATE = r"^((?:19|20)\d{2})(\d{2})(\d{2})$"
ISO = (
    r"^(\d{4})[-/](\d{2})[-/](\d{2})"
    r"(?:[Tt ]+(\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?"
    r"\s*([Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?$"
)
"""Groups: year, month, day, hour, minute, second, fraction, zone."""

UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")
SMALLEST = np.array([10**8, 10**11, 10**14, 10**17])
"""Smallest epoch number taken to be in each unit: March 1973, the same moment in all; they are told apart until 5138."""
MICROSECONDS = (1e6, 1e3, 1.0, 1e-3)
"""Microseconds in each unit."""


@dataclass(frozen=True)
class StampColumn:
    """A column of timestamps as found, and where, so that a fault can be shown to the reader.

    Parameters
    ----------
    text
        `[T]` stripped strings; null where the cell was empty.
    lines
        `[T]` lines of the file.
    where
        The file.
    """

    text: pl.Series
    lines: pl.Series
    where: str

    def refuse(self, bad: pl.Series, fault: str, remedy: str = "write timestamps like 2024-01-31T14:30:00Z") -> None:
        """Raise a `BarDataError` naming the first of the `bad` rows, if there is one."""
        rows = bad.arg_true()
        if len(rows) == 0:
            return
        others = f" ({len(rows)} such lines)" if len(rows) > 1 else ""
        text = self.text[rows[0]] or ""
        raise BarDataError(
            f"line {self.lines[rows[0]]}, column timestamp: {text!r:.60} {fault}{others}", where=self.where, remedy=remedy
        )

    def refuse_mixture(self, other: pl.Series, zone: ZoneInfo) -> None:
        """Raise a `BarDataError` showing the first row and the first of the `other` rows."""
        row = other.arg_true()[0]
        raise BarDataError(
            f"mixes time zones: {self.text[0]!r} on line {self.lines[0]} and {self.text[row]!r} on line {self.lines[row]}",
            where=self.where,
            remedy=f"export every timestamp in UTC, or set the source's timezone (now {zone.key}) to the one these clocks follow",
        )


def parse_timestamps(column: StampColumn, timezone: str) -> pl.Series:
    """Parse one column of timestamps.

    Parameters
    ----------
    column
        The text, at least one row.
    timezone
        IANA zone of timestamps that carry none.

    Returns
    -------
    pl.Series
        `timestamp`, `[T]` of `Datetime("us", "UTC")`, no nulls; fractions below a microsecond are cut off.

    Raises
    ------
    BarDataError
        For a timestamp that is missing, unreadable, ambiguous in its zone, or of another zone than the rest.
    ConfigError
        If `timezone` does not exist.
    """
    text = column.text.fill_null("")
    if text.str.contains(EPOCH).all():
        return _from_epoch(text, column)
    if text.str.contains(COMPACT_DATE).all():
        text = text.str.replace(COMPACT_DATE, "$1-$2-$3")
    return _from_iso(text, column, _zone(timezone))


def _from_epoch(text: pl.Series, column: StampColumn) -> pl.Series:
    # Nanoseconds need all 63 bits, so the integer part never passes through a float.
    whole = text.str.extract(r"^(\d+)").cast(pl.Int64, strict=False)
    fraction = text.str.extract(r"(\.\d+)$").cast(pl.Float64).fill_null(0.0)
    column.refuse(whole.is_null() | (whole < SMALLEST[0]), "is no moment since 1973 in any unit")
    units = pl.Series(np.searchsorted(SMALLEST, whole.to_numpy(), side="right") - 1)
    unit = units[0]
    column.refuse(
        units != unit, f"is not in {UNITS[unit]} since 1970 as the first timestamp is", "write all timestamps in one unit"
    )
    scale = MICROSECONDS[unit]
    microseconds = whole * int(scale) if scale >= 1 else whole // round(1 / scale)
    return _as_utc((microseconds + (fraction * scale).cast(pl.Int64)).cast(pl.Datetime("us")))


def _from_iso(text: pl.Series, column: StampColumn, zone: ZoneInfo) -> pl.Series:
    parts = text.to_frame("text").select(pl.col("text").str.extract_groups(ISO)).to_series().struct.unnest()
    year, month, day, hour, minute, second, fraction, offset = (pl.col(name) for name in parts.columns)
    clock = pl.concat_str([hour.fill_null("00"), minute.fill_null("00"), second.fill_null("00")], separator=":")
    microsecond = fraction.fill_null("0").str.slice(0, 6).str.pad_end(6, "0")
    written = pl.concat_str(pl.concat_str(year, month, day, separator="-"), pl.lit(" "), clock, pl.lit("."), microsecond)
    table = parts.select(
        naive=written.str.to_datetime("%Y-%m-%d %H:%M:%S%.6f", time_unit="us", strict=False),
        zoned=offset.is_not_null(),
        minutes_east=_minutes_east(offset),
    )
    naive, zoned, minutes_east = table.get_columns()
    column.refuse(naive.is_null(), "is neither an ISO 8601 timestamp nor an epoch number")
    if not zoned.any():
        return _localised(naive, column, zone)
    if not zoned.all():
        column.refuse_mixture(zoned != zoned[0], zone)
    moments = _as_utc(table.select(pl.col("naive") - pl.duration(minutes="minutes_east")).to_series())
    if minutes_east.n_unique() > 1 and not (moments.dt.convert_time_zone(zone.key).dt.replace_time_zone(None) == naive).all():
        column.refuse_mixture(minutes_east != minutes_east[0], zone)
    return moments


def _minutes_east(offset: pl.Expr) -> pl.Expr:
    """Minutes east of UTC of `Z`, `UTC`, `GMT`, `+05`, `+0530` or `-05:30`."""
    sign = pl.when(offset.str.starts_with("-")).then(-1).otherwise(1)
    hours = offset.str.extract(r"^[+-](\d{2})").cast(pl.Int32).fill_null(0)
    minutes = offset.str.extract(r"^[+-]\d{2}:?(\d{2})$").cast(pl.Int32).fill_null(0)
    return sign * (hours * 60 + minutes)


def _localised(naive: pl.Series, column: StampColumn, zone: ZoneInfo) -> pl.Series:
    local = naive.dt.replace_time_zone(zone.key, ambiguous="null", non_existent="null")
    column.refuse(local.is_null(), f"does not name one moment in {zone.key}: the clock changes there", "export the bars in UTC")
    return local.dt.convert_time_zone("UTC").alias("timestamp")


def _as_utc(naive: pl.Series) -> pl.Series:
    return naive.dt.replace_time_zone("UTC").cast(MOMENT).alias("timestamp")


def _zone(timezone: str) -> ZoneInfo:
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"time zone {timezone!r} does not exist", remedy="use an IANA name such as America/New_York") from error
