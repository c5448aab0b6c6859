"""Timestamps as text into moments: ISO 8601, `YYYYMMDD`, or epoch numbers, all of one time zone.

A file that mixes zones is refused, because bars that moved by some hours look sound and leak the future. The one mixture
that means one zone is a zone's own daylight saving: offsets that differ, but are those of the configured zone each time.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from toto_ops.errors import BarDataError, ConfigError
from toto_ops.market.schema import MOMENT

EPOCH = r"^\d{9,19}(\.\d+)?$"
COMPACT_DATE = r"^(19|20)\d{6}$"
ISO = r"^(\d{4})[-/](\d{2})[-/](\d{2})(?:[Tt ]+(\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?\s*([Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?$"
"""Groups: year, month, day, hour, minute, second, fraction, zone."""

EPOCH_UNITS = (
    ("seconds", 1e8, 1_000_000.0),
    ("milliseconds", 1e11, 1_000.0),
    ("microseconds", 1e14, 1.0),
    ("nanoseconds", 1e17, 1e-3),
)
"""Name, smallest value taken to be in this unit (March 1973), microseconds per unit. Ranges do not overlap before 5138."""


def parse_timestamps(text: pl.Series, lines: pl.Series, timezone: str, where: str) -> pl.Series:
    """Parse one column of timestamps.

    Parameters
    ----------
    text
        One stripped string per row; null or empty where the cell was.
    lines
        Line of the file each row stands on, for messages.
    timezone
        IANA zone of timestamps that carry none.
    where
        The file, for messages.

    Returns
    -------
    pl.Series
        `timestamp`, `Datetime("us", "UTC")`, no nulls; fractions below a microsecond are cut off.

    Raises
    ------
    BarDataError
        For a timestamp that is missing, unreadable, ambiguous in its zone, or of another zone than the rest.
    ConfigError
        If `timezone` does not exist.
    """
    text = text.fill_null("")
    if text.str.contains(EPOCH).all():
        return _from_epoch(text, lines, where)
    if text.str.contains(COMPACT_DATE).all():
        text = text.str.replace(r"^(\d{4})(\d{2})(\d{2})$", "$1-$2-$3")
    return _from_iso(text, lines, _zone(timezone), where)


def _from_epoch(text: pl.Series, lines: pl.Series, where: str) -> pl.Series:
    # Nanoseconds need all 63 bits, so the integer part never passes through a float.
    whole = text.str.extract(r"^(\d+)").cast(pl.Int64, strict=False)
    fraction = text.str.extract(r"(\.\d+)$").cast(pl.Float64).fill_null(0.0)
    _refuse_where(whole.is_null() | (whole < EPOCH_UNITS[0][1]), text, lines, where, "is no moment since 1973 in any unit")
    unit = pl.Series([sum(value >= smallest for _, smallest, _ in EPOCH_UNITS) - 1 for value in (whole.min(), whole.max())])
    if unit[0] != unit[1]:
        names = [EPOCH_UNITS[index][0] for index in unit]
        raise BarDataError(
            f"mixes timestamps in {names[0]} and {names[1]}", where=where, remedy="write all timestamps in one unit"
        )
    scale = EPOCH_UNITS[unit[0]][2]
    microseconds = whole * int(scale) if scale >= 1 else whole // round(1 / scale)
    microseconds = microseconds + (fraction * scale).cast(pl.Int64)
    return microseconds.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("timestamp")


def _from_iso(text: pl.Series, lines: pl.Series, zone: ZoneInfo, where: str) -> pl.Series:
    parts = text.to_frame("text").select(pl.col("text").str.extract_groups(ISO)).to_series().struct.unnest()
    year, month, day, hour, minute, second, fraction, offset = (pl.col(name) for name in parts.columns)
    clock = [hour.fill_null("00"), minute.fill_null("00"), second.fill_null("00")]
    naive = pl.concat_str(
        pl.concat_str(year, month, day, separator="-"),
        pl.concat_str(clock, separator=":") + pl.lit(".") + fraction.fill_null("0").str.slice(0, 6).str.pad_end(6, "0"),
        separator=" ",
    ).str.to_datetime("%Y-%m-%d %H:%M:%S%.6f", time_unit="us", strict=False)
    table = parts.select(naive=naive, zoned=offset.is_not_null(), offset=_offset_minutes(offset))
    _refuse_where(table["naive"].is_null(), text, lines, where, "is neither an ISO 8601 timestamp nor an epoch number")
    if not table["zoned"].any():
        return _localised(table["naive"], text, lines, zone, where)
    if not table["zoned"].all():
        first = _first(~table["zoned"] if table["zoned"][0] else table["zoned"])
        raise _mixed(f"{text[0]!r} on line {lines[0]} and {text[first]!r} on line {lines[first]}", zone, where)
    moments = (table["naive"] - pl.select(pl.duration(minutes=table["offset"])).to_series()).dt.replace_time_zone("UTC")
    if table["offset"].n_unique() > 1:
        wall_clock = moments.dt.convert_time_zone(zone.key).dt.replace_time_zone(None)
        strange = wall_clock != table["naive"]
        if strange.any():
            other = _first(table["offset"] != table["offset"][0])
            raise _mixed(f"{text[0]!r} on line {lines[0]} and {text[other]!r} on line {lines[other]}", zone, where)
    return moments.alias("timestamp")


def _offset_minutes(offset: pl.Expr) -> pl.Expr:
    """Minutes east of UTC of `Z`, `UTC`, `+05`, `+0530` or `-05:30`."""
    sign = pl.when(offset.str.starts_with("-")).then(-1).otherwise(1)
    hours = offset.str.extract(r"^[+-](\d{2})").cast(pl.Int32).fill_null(0)
    minutes = offset.str.extract(r"(\d{2})$").cast(pl.Int32).fill_null(0)
    has_minutes = offset.str.len_chars() > 3
    return sign * (hours * 60 + pl.when(has_minutes).then(minutes).otherwise(0))


def _localised(naive: pl.Series, text: pl.Series, lines: pl.Series, zone: ZoneInfo, where: str) -> pl.Series:
    local = naive.dt.replace_time_zone(zone.key, ambiguous="null", non_existent="null")
    _refuse_where(
        local.is_null(),
        text,
        lines,
        where,
        f"does not name one moment in {zone.key}: the clock changes there",
        "export the bars in UTC",
    )
    return local.dt.convert_time_zone("UTC").cast(MOMENT).alias("timestamp")


def _mixed(pair: str, zone: ZoneInfo, where: str) -> BarDataError:
    return BarDataError(
        f"mixes time zones: {pair}",
        where=where,
        remedy=f"export every timestamp in UTC, or set the source's timezone (now {zone.key}) to the zone whose clock these are",
    )


def _zone(timezone: str) -> ZoneInfo:
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"time zone {timezone!r} does not exist", remedy="use an IANA name such as America/New_York") from error


def _refuse_where(bad: pl.Series, text: pl.Series, lines: pl.Series, where: str, fault: str, remedy: str = "") -> None:
    if not bad.any():
        return
    first = _first(bad)
    count = int(bad.sum())
    others = f" ({count} such lines)" if count > 1 else ""
    raise BarDataError(
        f"line {lines[first]}, column timestamp: {text[first]!r:.60} {fault}{others}",
        where=where,
        remedy=remedy or "write timestamps like 2024-01-31T14:30:00Z",
    )


def _first(flags: pl.Series) -> int:
    index = flags.arg_max()
    if index is None:
        raise BarDataError("has zero rows", remedy="export the bars again")
    return index
