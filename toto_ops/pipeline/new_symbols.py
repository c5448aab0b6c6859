"""Symbols that are to join the served market between two retrainings: which there are, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from toto_ops.configuration import VersionedModel
from toto_ops.errors import BarDataError, StorageError, SymbolNameError
from toto_ops.market.eligibility import eligible_bars
from toto_ops.market.ingest import IngestResult
from toto_ops.market.snapshot import Snapshot
from toto_ops.market.sources import BarSource, open_source, part_of
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.monitoring.new_symbols import Candidate, SymbolAttempt, decide
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import sources_of
from toto_ops.serving.market_view import served_snapshot
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import ArtefactStore
from toto_ops.universes import Universe

ATTEMPTS = "symbol_attempts"
"""Folder of a universe that holds the last attempt at each of its symbols."""

JOINED_MARKET_DOCUMENT = "joined_market.json"

SHOWN = 10
"""Waiting symbols that a summary names with their reasons: every tick of the sensor keeps one."""


@dataclass(frozen=True)
class NewSymbols:
    """Symbols of a universe that take no part in its served market.

    Parameters
    ----------
    to_add
        Those a symbol-only run should take in now.
    waiting
        Those that were tried and cannot join yet, with the reason.
    marks
        What the source holds of both.
    members
        Every symbol of the universe, for its partitions.
    serving
        Whether there is a served market to join; without one, the first retraining takes every symbol in.
    """

    to_add: tuple[str, ...]
    waiting: Mapping[str, str]
    marks: Mapping[str, str]
    members: tuple[str, ...]
    serving: bool = True

    @property
    def summary(self) -> str:
        """In words, for a skip reason or a terminal."""
        if not self.serving:
            return "nothing is served yet; the first retraining takes every symbol in"
        parts = [f"new: {', '.join(self.to_add)}" if self.to_add else f"nothing new among {len(self.members)} symbols"]
        shown = list(self.waiting.items())[:SHOWN]
        parts += [f"{symbol} waits: {reason.removeprefix(f'{symbol}: ')}" for symbol, reason in shown]
        if len(self.waiting) > SHOWN:
            parts.append(f"{len(self.waiting) - SHOWN} others wait, too")
        return "; ".join(parts)


class JoinedMarket(VersionedModel):
    """Which served market a symbol-only run adds its symbols to."""

    retrain_id: str
    """The run that had published it."""


def find_new_symbols(project: Project, universe: Universe) -> NewSymbols:
    """Compare what the source has with what is served; only the difference is looked into.

    Raises
    ------
    SourceError
        If the source cannot be listed: that is never taken for a universe without symbols.
    """
    source = open_source(universe)
    members = universe_symbols(universe, source)
    served = served_snapshot(project.store, universe.name)
    if served is None:
        return NewSymbols((), {}, {}, members, serving=False)
    taking_part = set(served.symbols)
    absent = tuple(symbol for symbol in members if symbol not in taking_part)
    sources = sources_of(universe, source, absent)
    marks = {symbol: mark_of(sources, symbol) for symbol in absent}
    candidates = []
    for symbol, mark in marks.items():
        attempt = read_attempt(project.store, universe.name, symbol)
        refused_before = attempt is not None and attempt.status == "waiting" and attempt.source_mark != mark
        obstacle = _obstacle(source, part_of(universe, source, symbol), symbol, served.as_of) if refused_before else ""
        candidates.append(Candidate(symbol, mark, attempt, obstacle))
    verdict = decide(candidates)
    return NewSymbols(verdict.to_add, verdict.waiting, marks, members)


def nothing_to_join(universe: Universe) -> StorageError:
    """What to say where symbols are to join a market that is not served yet."""
    return StorageError(
        "serves nothing yet that symbols could join",
        where=universe.name,
        remedy=f"run `toto-ops retrain {universe.name}` first, which takes them in",
    )


def mark_of(sources: Mapping[str, str], symbol: str) -> str:
    """What `sources_of` says of one symbol, its published sentiment included."""
    return " ".join(sources[name] for name in (symbol, f"{symbol} sentiment") if name in sources)


def note_attempts(retraining: Retraining, results: Iterable[IngestResult], sources: Mapping[str, str]) -> None:
    """Note what became of symbols that were just read.

    Parameters
    ----------
    sources
        `sources_of` as it was before they were read: content that changed meanwhile is then seen as changed.
    """
    for entry in (result.entry for result in results):
        attempt = SymbolAttempt(
            symbol=entry.symbol,
            source_mark=mark_of(sources, entry.symbol),
            status="stored" if entry.status == "included" else "waiting",
            reasons=entry.reasons,
            attempted_at=datetime.now(UTC),
            retrain_id=retraining.retrain_id,
        )
        retraining.store.write_model(_attempt_document(retraining.universe, entry.symbol), attempt)


def note_joined(retraining: Retraining, symbols: Iterable[str]) -> None:
    """Note that `symbols`, which this run has just published, wait no longer."""
    for symbol in symbols:
        attempt = read_attempt(retraining.store, retraining.universe, symbol)
        if attempt is not None and attempt.status != "joined":
            joined = attempt.model_copy(update={"status": "joined", "reasons": (), "retrain_id": retraining.retrain_id})
            retraining.store.write_model(_attempt_document(retraining.universe, symbol), joined)


def read_attempt(store: ArtefactStore, universe_name: str, symbol: str) -> SymbolAttempt | None:
    """The last attempt to take a symbol in, or None if there was none."""
    return store.read_model(_attempt_document(universe_name, symbol), SymbolAttempt)


def note_joined_market(retraining: Retraining, served: Snapshot) -> None:
    """Fix which served market this run adds to, once."""
    retraining.store.create_model(retraining.document(JOINED_MARKET_DOCUMENT), JoinedMarket(retrain_id=served.retrain_id))


def may_replace(retraining: Retraining, served: Snapshot) -> bool:
    """Whether what this run publishes may take the place of `served`.

    A symbol-only run may replace the market it added to and nothing newer: an old one executed again would take away
    what joined since. A run over the whole universe may replace any.
    """
    joined = retraining.store.read_model(retraining.document(JOINED_MARKET_DOCUMENT), JoinedMarket)
    return joined is None or served.retrain_id in (joined.retrain_id, retraining.retrain_id)


def _obstacle(source: BarSource, universe: Universe, symbol: str, as_of: datetime) -> str:
    """What can be told without validating: bars that cannot be read, or still too few of them."""
    try:
        bars = eligible_bars(source.read(symbol), universe, symbol, as_of).height
    except (BarDataError, SymbolNameError) as error:
        return str(error)
    if bars < universe.minimum_bars:
        return f"{bars} bars closed by {as_of:%Y-%m-%d %H:%M}; at least {universe.minimum_bars} are needed"
    return ""


def _attempt_document(universe_name: str, symbol: str) -> str:
    return f"{universe_name}/{ATTEMPTS}/{symbol}.json"
