"""What a retraining would use now, and whether that differs from what the last one used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import AwareDatetime

from toto_ops.configuration import VersionedModel
from toto_ops.errors import PromotionError, StorageError
from toto_ops.market.sources import BarSource, open_source, part_of, source_mark
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.monitoring.staleness import Fingerprint, compare
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.sentiment_source import sentiment_path
from toto_ops.pipeline.versions import code_versions
from toto_ops.storage.hashing import file_digest
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import LIVE
from toto_ops.universes import Universe

FINGERPRINT_DOCUMENT = "fingerprint.json"
LAST_RETRAINING_DOCUMENT = "last_retraining.json"


class LastRetraining(VersionedModel):
    """The last retraining of a universe that succeeded, and what it used."""

    retrain_id: str
    completed_at: AwareDatetime
    fingerprint: Fingerprint


@dataclass(frozen=True)
class Assessment:
    """The decision whether to retrain a universe now.

    Attributes
    ----------
    stale, reason
        The verdict of `toto_ops.monitoring.staleness.compare`.
    symbols
        Symbols the retraining would cover.
    fingerprint
        What it would use; stored when the retraining succeeds.
    as_of_is_newest_close
        The bundled sample stands at its newest close, whatever the clock says.
    """

    stale: bool
    reason: str
    symbols: tuple[str, ...]
    fingerprint: Fingerprint
    as_of_is_newest_close: bool


def assess(project: Project, universe: Universe) -> Assessment:
    """Decide whether anything changed since the last successful retraining.

    Raises
    ------
    SourceError
        If the source cannot be read: that is never taken for an empty universe.
    """
    source = open_source(universe)
    symbols = universe_symbols(universe, source)
    current = Fingerprint(
        sources=sources_of(universe, source, symbols),
        config_hash=project.config_hash(universe),
        code_versions=code_versions(),
    )
    stored = read_last(project, universe.name)
    verdict = compare(stored.fingerprint if stored else None, current)
    return Assessment(verdict.stale, verdict.reason, symbols, current, universe.is_sample)


def sources_of(universe: Universe, source: BarSource, symbols: Sequence[str]) -> dict[str, str]:
    """What tells whether the bars, or the published sentiment, of `symbols` changed; sentiment only where there is some."""
    sentiment = {symbol: path for symbol in symbols if (path := sentiment_path(part_of(universe, source, symbol), symbol))}
    bars = {symbol: source_mark(source, symbol) for symbol in symbols}
    return bars | {_sentiment_of(symbol): file_digest(path) for symbol, path in sentiment.items()}


def _sentiment_of(symbol: str) -> str:
    """What `sources_of` calls the published sentiment of a symbol."""
    return f"{symbol} sentiment"


def last_retraining(project: Project, universe: Universe) -> Retraining | None:
    """The last successful retraining, or None before the first."""
    stored = read_last(project, universe.name)
    return project.retraining(universe, stored.retrain_id) if stored else None


def read_last(project: Project, universe_name: str) -> LastRetraining | None:
    """What is noted of the last successful retraining, or None before the first."""
    return project.store.read_model(last_retraining_document(universe_name), LastRetraining)


def require_newest(project: Project, retraining: Retraining, universe: Universe) -> None:
    """Refuse to settle a retraining that stands before the last settled one, such as an old run executed again.

    Nothing serves from other namespaces than `live`: there moments may come in any order.

    Raises
    ------
    PromotionError
        Nothing was moved; what serves is as it was.
    """
    last = last_retraining(project, universe)
    if retraining.store.namespace == LIVE and last is not None and retraining.as_of < last.as_of:
        raise PromotionError(
            f"stands at {retraining.as_of:%Y-%m-%d %H:%M} UTC, before the last retraining ({last.as_of:%Y-%m-%d %H:%M} UTC): "
            "a model judged on older bars does not come to serve",
            where=f"{universe.name} {retraining.retrain_id}",
            remedy=f"use `toto-ops retrain {universe.name} --as-of …`, which replays it apart from what serves",
        )


def note_fingerprint(project: Project, retraining: Retraining, universe: Universe, symbols: Sequence[str] | None = None) -> None:
    """Note what a retraining is about to use, before it reads it: a feed that grows meanwhile is then seen as new.

    Parameters
    ----------
    symbols
        Those it was launched for, all by default. One that appeared since its launch is then seen as new as well.
    """
    fingerprint = assess(project, universe).fingerprint
    if symbols is not None:
        covered = {*symbols, *(_sentiment_of(symbol) for symbol in symbols)}
        sources = {name: content for name, content in fingerprint.sources.items() if name in covered}
        fingerprint = fingerprint.model_copy(update={"sources": sources})
    retraining.store.create_model(retraining.document(FINGERPRINT_DOCUMENT), fingerprint)


def has_fingerprint(retraining: Retraining) -> bool:
    """Whether `note_fingerprint` noted anything: the store then holds this retraining."""
    return retraining.store.has_document(retraining.document(FINGERPRINT_DOCUMENT))


def noted_fingerprint(retraining: Retraining) -> Fingerprint:
    """What `note_fingerprint` noted.

    Raises
    ------
    StorageError
        If it noted nothing yet.
    """
    fingerprint = retraining.store.read_model(retraining.document(FINGERPRINT_DOCUMENT), Fingerprint)
    if fingerprint is None:
        raise StorageError("has no fingerprint", where=retraining.folder, remedy="materialise `bars` first")
    return fingerprint


def remember(project: Project, retraining: Retraining, universe: Universe, completed_at: datetime) -> None:
    """Note that a retraining succeeded: until something it used changes, there is nothing to do."""
    last = LastRetraining(retrain_id=retraining.retrain_id, completed_at=completed_at, fingerprint=noted_fingerprint(retraining))
    project.store.write_model(last_retraining_document(universe.name), last)


def last_retraining_document(universe_name: str) -> str:
    """Where the last successful retraining of a universe is noted."""
    return f"{universe_name}/{LAST_RETRAINING_DOCUMENT}"
