"""The two shapes of a table of bars: as read from a source, and canonical with the times the calendar gives.

Raw bars carry the one `timestamp` their source gave them, in file order, good or bad: quality judges them. Canonical
bars carry when they opened and closed, strictly increasing: everything after ingest works on those alone.
"""

from __future__ import annotations

import polars as pl

from toto_ops.errors import BarDataError

MOMENT = pl.Datetime("us", "UTC")
"""Every moment in a table: microseconds, UTC."""

VALUE_COLUMNS = ("open", "high", "low", "close", "volume")
RAW_COLUMNS = ("timestamp", *VALUE_COLUMNS)
BAR_COLUMNS = ("open_time", "close_time", *VALUE_COLUMNS)

RAW_SCHEMA = pl.Schema({"timestamp": MOMENT} | dict.fromkeys(VALUE_COLUMNS, pl.Float64()))
BAR_SCHEMA = pl.Schema({"open_time": MOMENT, "close_time": MOMENT} | dict.fromkeys(VALUE_COLUMNS, pl.Float64()))


def require_schema(table: pl.DataFrame, schema: pl.Schema, where: str) -> None:
    """Refuse a table whose columns, order or dtypes are not exactly those of `schema`.

    Raises
    ------
    BarDataError
        Naming what was found and what belongs there.
    """
    if table.schema != schema:
        raise BarDataError(
            f"columns are {_describe(table.schema)}",
            where=where,
            remedy=f"give exactly {_describe(schema)}, in this order",
        )


def _describe(schema: pl.Schema) -> str:
    return ", ".join(f"{name}: {dtype}" for name, dtype in schema.items())
