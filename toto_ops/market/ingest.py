"""From a source to stored bars and the snapshot, symbol by symbol: whatever is wrong with one concerns that one alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time

import polars as pl

from toto_ops.errors import BarDataError, SourceError, SymbolNameError
from toto_ops.market.bars import BarsUpdate, Change, store_bars
from toto_ops.market.calendars import bar_times, with_bar_times
from toto_ops.market.eligibility import eligible_bars, membership_of
from toto_ops.market.quality import QualityReport, unreadable, validate_bars
from toto_ops.market.snapshot import SnapshotEntry, record_entry
from toto_ops.market.sources import BarSource, part_of
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import Universe, checked_symbol


@dataclass(frozen=True)
class IngestResult:
    """What became of one symbol.

    Parameters
    ----------
    entry
        Its entry of the snapshot.
    report
        The verdict on its bars, or why they could not be read.
    change
        Against the latest stored bars; None when quarantined, since then nothing is stored.
    """

    entry: SnapshotEntry
    report: QualityReport
    change: Change | None


def ingest_symbol(source: BarSource, retraining: Retraining, universe: Universe, symbol: str, as_of: datetime) -> IngestResult:
    """Read, judge and store the bars of one symbol, and note in the snapshot whether it takes part.

    A symbol whose bars cannot be used is quarantined with the reason, and what is stored of it stays as it is. The
    `latest` pointer is never moved here, only after the whole retraining has succeeded.

    Parameters
    ----------
    as_of
        Aware moment; bars that close later are left out.

    Raises
    ------
    SourceError
        If the source itself fails.
    StorageError
        If bars stored earlier are damaged.
    """
    try:
        checked_symbol(symbol)
    except SymbolNameError as error:
        # No entry is recorded: a name that is not fit for a path must not become the name of a document either.
        return _quarantined(unreadable(symbol, error))
    part = source.part(symbol)
    result = _ingested(source, retraining, universe.part(part), symbol, as_of)
    result = replace(result, entry=result.entry.model_copy(update={"part": part}))
    record_entry(retraining, result.entry)
    return result


def quarantine(retraining: Retraining, symbol: str, error: BarDataError) -> IngestResult:
    """Quarantine a symbol for a fault found beside its bars, such as in its published sentiment."""
    result = _quarantined(unreadable(symbol, error))
    record_entry(retraining, result.entry)
    return result


def newest_close(source: BarSource, universe: Universe, symbols: Iterable[str]) -> datetime:
    """Latest close among the bars of `symbols`: the moment a source of the past stands at.

    Raises
    ------
    SourceError
        If not one symbol has a bar that can be read.
    """
    closes = [
        close for symbol in symbols if (close := _last_close(source, part_of(universe, source, symbol), symbol)) is not None
    ]
    if not closes:
        raise SourceError(
            "not one symbol has a readable bar, so there is no newest close",
            where=universe.name,
            remedy="run `toto-ops data validate` and mend the files it names, or give an as_of",
        )
    return max(closes)


def _ingested(source: BarSource, retraining: Retraining, universe: Universe, symbol: str, as_of: datetime) -> IngestResult:
    try:
        raw = source.read(symbol)
    except (BarDataError, SymbolNameError) as error:
        return _quarantined(unreadable(symbol, error))
    report = validate_bars(raw, universe, symbol, as_of)
    if not report.passed:
        return _quarantined(report)
    try:
        bars = with_bar_times(eligible_bars(raw, universe, symbol, as_of), universe)
        update = store_bars(retraining.store, universe.name, symbol, bars, since=_membership_start(universe, symbol))
    except BarDataError as error:
        return _quarantined(report.with_error(error))
    # In the index like every other artefact: `latest`, which the next ingest appends to, follows the index.
    retraining.record(update.ref)
    return IngestResult(_included(report, update, _train_folder_until(source, universe, symbol)), report, update.change)


def _included(report: QualityReport, update: BarsUpdate, train_folder_until: datetime | None) -> SnapshotEntry:
    return SnapshotEntry(
        symbol=report.symbol,
        status="included",
        warnings=report.warnings,
        bars=update.ref.content_hash,
        inputs_hash=update.ref.inputs_hash,
        rows=len(update.bars),
        first_close=update.bars["close_time"][0],
        last_close=update.bars["close_time"][-1],
        train_folder_until=train_folder_until,
        ended=report.ended,
    )


def _quarantined(report: QualityReport) -> IngestResult:
    entry = SnapshotEntry(
        symbol=report.symbol, status="quarantined", reasons=report.errors, warnings=report.warnings, rows=report.statistics.rows
    )
    return IngestResult(entry, report, None)


def _membership_start(universe: Universe, symbol: str) -> datetime | None:
    first_day = membership_of(universe, symbol).from_
    return None if first_day is None else datetime.combine(first_day, time(0), UTC)


def _train_folder_until(source: BarSource, universe: Universe, symbol: str) -> datetime | None:
    stamp = source.last_train_stamp(symbol)
    if stamp is None:
        return None
    close = bar_times(pl.Series([stamp]), universe)["close_time"].item()
    return close if isinstance(close, datetime) else None


def _last_close(source: BarSource, universe: Universe, symbol: str) -> datetime | None:
    try:
        stamps = source.read(symbol)["timestamp"]
    except (BarDataError, SymbolNameError):
        return None  # ingest reads it again, quarantines it and says why
    last = bar_times(stamps, universe).select(pl.col("close_time").max()).item()
    return last if isinstance(last, datetime) else None
