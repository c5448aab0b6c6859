"""Bars in: ingest and validate every symbol, or new ones alone, settle the snapshot, insist on enough healthy symbols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from toto_ops.configuration import VersionedModel
from toto_ops.errors import BarDataError, InsufficientDataError, StorageError
from toto_ops.market.data_docs import write_data_docs
from toto_ops.market.ingest import IngestResult, ingest_symbol, newest_close, quarantine
from toto_ops.market.snapshot import Snapshot, SnapshotEntry, read_snapshot, record_entry
from toto_ops.market.sources import BarSource, open_source, part_of
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.pipeline.new_symbols import may_replace, note_attempts, note_joined_market, nothing_to_join
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.recorded_configuration import note_configuration
from toto_ops.pipeline.retraining_decision import note_fingerprint, noted_fingerprint, sources_of
from toto_ops.pipeline.sentiment_source import published_sentiment
from toto_ops.serving.market_view import served_snapshot
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import ArtefactKey
from toto_ops.universes import Universe

MEMBERS_DOCUMENT = "members.json"


@dataclass(frozen=True)
class Ingested:
    """What ingest did, symbol by symbol, and where its Data Docs are."""

    as_of: datetime
    results: tuple[IngestResult, ...]
    rejected_files: Mapping[str, str]
    """Files of the source that cannot become a symbol, and why."""
    not_members: tuple[str, ...]
    """Symbols asked for that the universe no longer has; what is stored of them stays."""
    data_docs: Path


class Members(VersionedModel):
    """The symbols whose share is asked for: those the universe had when a retraining began, taking part or not."""

    symbols: tuple[str, ...]


@dataclass(frozen=True)
class Coverage:
    """Share of a universe's symbols that take part in a retraining, against the share required."""

    share: float
    required: float
    quarantined: dict[str, tuple[str, ...]]
    not_ingested: tuple[str, ...]
    """Members of the universe this retraining never looked at: it was started for some symbols only."""
    newcomers: frozenset[str] = frozenset()
    """Those without part in this retraining that none ever had: quarantined, or not there yet when it was launched. They
    are not counted: new files do not stop the symbols that are there."""

    @property
    def sufficient(self) -> bool:
        return not self.not_ingested and self.share >= self.required

    @property
    def summary(self) -> str:
        """In words, with every symbol that does not take part and why."""
        parts = [f"{self.share:.0%} of the symbols take part, {self.required:.0%} are required"]
        if self.not_ingested:
            parts.append(f"this run left out {', '.join(self.not_ingested)}: a retraining takes the whole universe")
        for symbol, why in self.quarantined.items():
            state = "is new, not counted, and waits" if symbol in self.newcomers else "is quarantined"
            parts.append(f"{symbol} {state}: {', '.join(why)}")
        late = sorted(self.newcomers - self.quarantined.keys())
        if late:
            parts.append(f"{', '.join(late)} appeared after this run was launched, not counted, and will join later")
        return "; ".join(parts)


def default_as_of(universe: Universe) -> datetime:
    """The moment a retraining stands at unless told otherwise: now, or the newest close of the bundled sample.

    Samples that are combined end at different times: the first of these is the last moment at which all of them trade.
    """
    if universe.is_sample and universe.parts:
        return min(default_as_of(part) for part in universe.parts.values())
    if universe.is_sample:
        source = open_source(universe)
        return newest_close(source, universe, universe_symbols(universe, source))
    return datetime.now(UTC)


def ingest(
    project: Project, retraining: Retraining, universe: Universe, symbols: Sequence[str], as_of: datetime | None
) -> Ingested:
    """Read, validate and store the bars of `symbols`, and write their entries of the snapshot.

    A symbol with bad bars is quarantined with its reason; the others go on and nothing already stored changes.

    Raises
    ------
    SourceError
        If the source itself cannot be read.
    """
    retraining.resolve_as_of(as_of or default_as_of(universe))
    note_fingerprint(project, retraining, universe, symbols)
    note_configuration(project, retraining, universe)
    source = open_source(universe)
    members = _expected(universe, source, symbols)
    retraining.store.create_model(retraining.document(MEMBERS_DOCUMENT), Members(symbols=members))
    results = _ingest_members(source, retraining, universe, symbols, members)
    # A quarantined symbol can come back before the next retraining, once its source has changed.
    refused = [result for result in results if result.entry.status == "quarantined"]
    note_attempts(retraining, refused, noted_fingerprint(retraining).sources)
    return _ingested(source, retraining, symbols, results)


def ingest_symbols(project: Project, retraining: Retraining, universe: Universe, symbols: Sequence[str]) -> Ingested:
    """Take `symbols` into the served market as it stands: everything else of it is carried over unread.

    The run stands at the moment of the served market. What cannot be used yet is quarantined with its reason, leaves a
    `SymbolAttempt`, and does not count against those that are served.

    Raises
    ------
    StorageError
        If there is no served market to join, or it was replaced since this run began.
    SourceError
        If the source itself cannot be read.
    """
    served = _market_to_join(project, retraining, universe)
    retraining.resolve_as_of(served.as_of)
    source = open_source(universe)
    members = universe_symbols(universe, source)
    sources = sources_of(universe, source, [symbol for symbol in symbols if symbol in members])
    results = _ingest_members(source, retraining, universe, symbols, members)
    note_attempts(retraining, results, sources)
    read = {result.entry.symbol for result in results}
    _carry_over(retraining, served, [entry for entry in served.entries if entry.symbol not in read])
    joining = {result.entry.symbol for result in results if result.entry.status == "included"}
    retraining.store.write_model(
        retraining.document(MEMBERS_DOCUMENT), Members(symbols=tuple(sorted({*served.symbols, *joining})))
    )
    return _ingested(source, retraining, symbols, results)


def _market_to_join(project: Project, retraining: Retraining, universe: Universe) -> Snapshot:
    served = served_snapshot(project.store, universe.name)
    if served is None:
        raise nothing_to_join(universe)
    note_joined_market(retraining, served)
    if not may_replace(retraining, served):
        raise StorageError(
            f"what serves was replaced by run {served.retrain_id} since this run began",
            where=universe.name,
            remedy="launch a new run for these symbols instead of executing this one again",
        )
    return served


def _carry_over(retraining: Retraining, served: Snapshot, entries: Sequence[SnapshotEntry]) -> None:
    for entry in entries:
        record_entry(retraining, entry)
        if entry.status == "included":
            retraining.record(served.bars_ref(entry.symbol))


def _expected(universe: Universe, source: BarSource, symbols: Sequence[str]) -> tuple[str, ...]:
    """Members of the universe and, where it takes whatever its source holds, the symbols asked for whose file is gone.

    A folder that lost half its files would else pass for a small universe in good health: removing a symbol is explicit.
    """
    members = universe_symbols(universe, source)
    return members if universe.symbols is not None else tuple(sorted({*members, *symbols}))


def _ingest_members(
    source: BarSource, retraining: Retraining, universe: Universe, symbols: Sequence[str], members: Sequence[str]
) -> tuple[IngestResult, ...]:
    known = set(members)
    return tuple(_ingest_symbol(source, retraining, universe, symbol, retraining.as_of) for symbol in symbols if symbol in known)


def _ingested(source: BarSource, retraining: Retraining, symbols: Sequence[str], results: tuple[IngestResult, ...]) -> Ingested:
    """Write the Data Docs of what was read and sum it up."""
    reports = tuple(result.report for result in results)
    docs = retraining.store.put(
        retraining.key("data_docs"),
        retraining.retrain_id,
        lambda folder: write_data_docs(reports, folder, universe=retraining.universe),
    )
    retraining.record(docs)
    read = {result.entry.symbol for result in results}
    not_members = tuple(symbol for symbol in symbols if symbol not in read)
    folder = retraining.store.local_folder(docs)
    return Ingested(retraining.as_of, results, source.discover().rejected, not_members, folder)


def _ingest_symbol(source: BarSource, retraining: Retraining, universe: Universe, symbol: str, as_of: datetime) -> IngestResult:
    """Ingest one symbol; one whose published sentiment cannot be read is quarantined like one whose bars cannot."""
    try:
        published_sentiment(part_of(universe, source, symbol), symbol)
    except BarDataError as error:
        return quarantine(retraining, symbol, error)
    return ingest_symbol(source, retraining, universe, symbol, as_of)


def snapshot_of(project: Project, retraining: Retraining, universe: Universe) -> Snapshot:
    """The settled snapshot of this retraining."""
    return read_snapshot(retraining, project.config_hash(universe))


def coverage_of(project: Project, retraining: Retraining, universe: Universe) -> Coverage:
    """How much of the universe takes part in this retraining."""
    snapshot = snapshot_of(project, retraining, universe)
    stored = retraining.store.read_model(retraining.document(MEMBERS_DOCUMENT), Members)
    if stored is None:
        raise StorageError("does not say which symbols it is about", where=retraining.folder, remedy="materialise `bars` first")
    known = {entry.symbol for entry in snapshot.entries}
    not_ingested = [symbol for symbol in stored.symbols if symbol not in known]
    newcomers = _newcomers(project, universe, (*snapshot.quarantined, *not_ingested))
    counted = [symbol for symbol in stored.symbols if symbol not in newcomers]
    return Coverage(
        share=len(snapshot.symbols) / len(counted) if counted else 0.0,
        required=universe.minimum_coverage,
        quarantined=snapshot.quarantined,
        not_ingested=tuple(symbol for symbol in not_ingested if symbol not in newcomers),
        newcomers=newcomers,
    )


def _newcomers(project: Project, universe: Universe, absent: Iterable[str]) -> frozenset[str]:
    """Those of `absent` without bars of an earlier retraining; none before the first one succeeded, when all are new."""
    if project.store.latest(ArtefactKey(universe.name, "panel")) is None:
        return frozenset()
    latest = {symbol: project.store.latest(ArtefactKey(universe.name, "bars", symbol)) for symbol in absent}
    return frozenset(symbol for symbol, bars in latest.items() if bars is None)


def require_coverage(project: Project, retraining: Retraining, universe: Universe) -> None:
    """Stop a retraining that would learn from too few of its symbols.

    Raises
    ------
    InsufficientDataError
        Naming every symbol that does not take part, and why.
    """
    coverage = coverage_of(project, retraining, universe)
    if not coverage.sufficient:
        raise InsufficientDataError(
            coverage.summary,
            where=universe.name,
            remedy="mend the named feeds and launch all symbols together; minimum_coverage in universes.yaml sets the share",
        )
