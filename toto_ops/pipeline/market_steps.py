"""Bars in: ingest and validate every symbol, settle the snapshot, insist on enough healthy symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from toto_ops.configuration import VersionedModel
from toto_ops.errors import BarDataError, InsufficientDataError, StorageError
from toto_ops.market.data_docs import write_data_docs
from toto_ops.market.ingest import IngestResult, ingest_symbol, newest_close, quarantine
from toto_ops.market.snapshot import Snapshot, read_snapshot
from toto_ops.market.sources import BarSource, open_source
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import note_fingerprint
from toto_ops.pipeline.sentiment_source import published_sentiment
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import SampleSource, Universe


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
    """The symbols the universe had when a retraining began, taking part or not."""

    symbols: tuple[str, ...]


@dataclass(frozen=True)
class Coverage:
    """Share of a universe's symbols that take part in a retraining, against the share required."""

    share: float
    required: float
    quarantined: dict[str, tuple[str, ...]]
    not_ingested: tuple[str, ...]
    """Members of the universe this retraining never looked at: it was started for some symbols only."""

    @property
    def sufficient(self) -> bool:
        return not self.not_ingested and self.share >= self.required

    @property
    def summary(self) -> str:
        """In words, with every symbol that does not take part and why."""
        parts = [f"{self.share:.0%} of the symbols take part, {self.required:.0%} are required"]
        if self.not_ingested:
            parts.append(f"this run left out {', '.join(self.not_ingested)}: a retraining takes the whole universe")
        parts += [f"{symbol} is quarantined: {', '.join(why)}" for symbol, why in self.quarantined.items()]
        return "; ".join(parts)


def default_as_of(universe: Universe) -> datetime:
    """The moment a retraining stands at unless told otherwise: now, or the newest close of the bundled sample."""
    if isinstance(universe.source, SampleSource):
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
    moment = retraining.resolve_as_of(as_of or default_as_of(universe))
    note_fingerprint(project, retraining, universe)
    source = open_source(universe)
    members = universe_symbols(universe, source)
    retraining.store.create_model(_members_document(retraining), Members(symbols=members))
    results = tuple(_ingest_symbol(source, retraining, universe, symbol, moment) for symbol in symbols if symbol in members)
    reports = tuple(result.report for result in results)
    docs = retraining.store.put(
        retraining.key("data_docs"),
        retraining.retrain_id,
        lambda folder: write_data_docs(reports, folder, universe=universe.name),
    )
    retraining.record(docs)
    not_members = tuple(symbol for symbol in symbols if symbol not in members)
    return Ingested(moment, results, source.discover().rejected, not_members, retraining.store.local_folder(docs))


def _ingest_symbol(source: BarSource, retraining: Retraining, universe: Universe, symbol: str, as_of: datetime) -> IngestResult:
    """Ingest one symbol; one whose published sentiment cannot be read is quarantined like one whose bars cannot."""
    try:
        published_sentiment(universe, symbol)
    except BarDataError as error:
        return quarantine(retraining, symbol, error)
    return ingest_symbol(source, retraining, universe, symbol, as_of)


def snapshot_of(project: Project, retraining: Retraining, universe: Universe) -> Snapshot:
    """The settled snapshot of this retraining."""
    return read_snapshot(retraining, project.config_hash(universe))


def coverage_of(project: Project, retraining: Retraining, universe: Universe) -> Coverage:
    """How much of the universe takes part in this retraining."""
    snapshot = snapshot_of(project, retraining, universe)
    stored = retraining.store.read_model(_members_document(retraining), Members)
    if stored is None:
        raise StorageError("does not say which symbols it is about", where=retraining.folder, remedy="materialise `bars` first")
    known = {entry.symbol for entry in snapshot.entries}
    return Coverage(
        share=len(snapshot.symbols) / len(stored.symbols),
        required=universe.minimum_coverage,
        quarantined=snapshot.quarantined,
        not_ingested=tuple(symbol for symbol in stored.symbols if symbol not in known),
    )


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


def _members_document(retraining: Retraining) -> str:
    return f"{retraining.folder}/members.json"
