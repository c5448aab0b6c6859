"""Small conversions from the library's results to what the Dagster UI shows."""

import base64
from collections.abc import Mapping, Sequence

import dagster as dg

Shown = Mapping[str, str | int | float | bool | dg.MetadataValue | None]
"""Metadata of one partition."""

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


def show_symbols(context: dg.AssetExecutionContext, shown: Mapping[str, Shown]) -> None:
    """Attach to each symbol of a run what is to be shown of it; one of which nothing is takes no part in this retraining."""
    for symbol in context.partition_keys:
        context.add_asset_metadata({**shown.get(symbol, {"status": "takes no part"})}, partition_key=symbol)
