"""Stored bars of one symbol: appended to while the source's history stays the same, rebuilt when it was rewritten.

A split or a correction changes bars of the past. It shows as an overlap, between what is stored and what the source
says now, that differs; then the stored bars are worth nothing and the source is taken as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import AwareDatetime, ValidationError

from toto_ops.configuration import VersionedModel
from toto_ops.errors import BarDataError, StorageError
from toto_ops.market.schema import BAR_SCHEMA, require_schema
from toto_ops.storage.hashing import table_hash
from toto_ops.storage.store import ArtefactKey, ArtefactRef, ArtefactStore

ASSET = "bars"
TABLE = "bars.parquet"
MANIFEST = "manifest.json"

Change = Literal["new", "unchanged", "appended", "rewritten"]


class BarsManifest(VersionedModel):
    """What lies beside the table."""

    universe: str
    symbol: str
    rows: int
    first_open: AwareDatetime
    last_close: AwareDatetime
    table_hash: str


@dataclass(frozen=True)
class BarsUpdate:
    """The outcome of storing bars."""

    ref: ArtefactRef
    bars: pl.DataFrame
    """All bars of the symbol as stored, `BAR_SCHEMA`."""
    change: Change
    """Against the latest stored bars; `rewritten` is everything but the same, or the same and more at the end."""


def store_bars(
    store: ArtefactStore, universe_name: str, symbol: str, bars: pl.DataFrame, *, since: datetime | None = None
) -> BarsUpdate:
    """Store what the source has now, with the older bars it no longer reaches back to.

    The `latest` pointer is read and not moved: that is for whoever knows that the whole retraining succeeded. Nothing
    after the last of `bars` is ever taken from the store, so that an `as_of` in the past sees no later bar.

    Parameters
    ----------
    bars
        Canonical bars (`BAR_SCHEMA`) of the source, at least one.
    since
        Stored bars that open before this moment no longer belong to the universe.

    Raises
    ------
    BarDataError
        If there are no bars, or they begin after the stored ones end: nothing overlaps, so it cannot be told whether
        the history was rewritten.
    StorageError
        If the stored bars are damaged.
    """
    where = f"{universe_name}/{symbol}"
    require_schema(bars, BAR_SCHEMA, where)
    if bars.is_empty():
        raise BarDataError("there are zero bars to store", where=where, remedy="check the source, the membership dates and as_of")
    key = ArtefactKey(universe_name, ASSET, symbol)
    latest = store.latest(key)
    # A damaged folder is to be removed by hand, as the error says; then the source is taken as it is.
    if latest is None or store.find(key, latest.inputs_hash) is None:
        return BarsUpdate(_put(store, key, bars), bars, "new")
    stored = load_bars(store, latest)
    merged = _merged(stored if since is None else stored.filter(pl.col("open_time") >= since), bars, where)
    if table_hash(merged) == table_hash(stored):
        return BarsUpdate(latest, merged, "unchanged")
    grown = len(merged) > len(stored) and table_hash(merged.head(len(stored))) == table_hash(stored)
    return BarsUpdate(_put(store, key, merged), merged, "appended" if grown else "rewritten")


def load_bars(store: ArtefactStore, ref: ArtefactRef) -> pl.DataFrame:
    """Stored bars, `BAR_SCHEMA`.

    Raises
    ------
    StorageError
        If they are missing, damaged, or of a schema version this release cannot read.
    """
    folder = store.local_folder(ref)
    remedy = f"remove this folder and run `toto-ops retrain {ref.key.universe} --force`: the source is then taken as it is"
    try:
        manifest = BarsManifest.model_validate_json((folder / MANIFEST).read_bytes())
        bars = pl.read_parquet(folder / TABLE)
    except (OSError, ValidationError, pl.exceptions.PolarsError) as error:
        raise StorageError(f"cannot be read ({error})", where=str(folder), remedy=remedy) from error
    if table_hash(bars) != manifest.table_hash:
        raise StorageError("bars are not those that were stored", where=str(folder), remedy=remedy)
    return bars


def _merged(stored: pl.DataFrame, bars: pl.DataFrame, where: str) -> pl.DataFrame:
    opens = pl.col("open_time")
    first, last = bars["open_time"][0], bars["open_time"][-1]
    if stored.is_empty():
        return bars
    stored_last = stored["open_time"][-1]
    if first > stored_last:
        raise BarDataError(
            f"bars begin at {first:%Y-%m-%d %H:%M}, after the stored ones end at {stored_last:%Y-%m-%d %H:%M}: nothing overlaps",
            where=where,
            remedy="let the source reach back to the last stored bar, so that a split in between would show",
        )
    agrees = table_hash(stored.filter(opens.is_between(first, last))) == table_hash(
        bars.filter(opens.is_between(stored["open_time"][0], stored_last))
    )
    return pl.concat([stored.filter(opens < first), bars]) if agrees else bars


def _put(store: ArtefactStore, key: ArtefactKey, bars: pl.DataFrame) -> ArtefactRef:
    content = table_hash(bars)
    manifest = BarsManifest(
        universe=key.universe,
        symbol=key.symbol or "",
        rows=len(bars),
        first_open=bars["open_time"][0],
        last_close=bars["close_time"][-1],
        table_hash=content,
    )

    def write(folder: Path) -> None:
        bars.write_parquet(folder / TABLE, compression="zstd")
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=1))

    ref, _ = store.get_or_make(key, content, write)
    return ref
