"""Small conversions from the library's results to what the Dagster UI shows."""

import base64
from collections.abc import Mapping, Sequence

import dagster as dg

Cell = str | int | float | bool | None


def table(rows: Sequence[Mapping[str, Cell]]) -> dg.MetadataValue:
    """A metadata table; a sentence when there are no rows, since an empty table has no columns to show."""
    if not rows:
        return dg.MetadataValue.text("none")
    return dg.MetadataValue.table([dg.TableRecord({key: _shown(value) for key, value in row.items()}) for row in rows])


def picture(png: bytes, title: str) -> dg.MetadataValue:
    """A PNG shown inline."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")


def _shown(value: Cell) -> str | int | float | bool:
    if value is None:
        return "-"
    return round(value, 4) if isinstance(value, float) else value
