"""What a collection must not take away, and why: everything that can be reached from what is in use.

What is in use: the market that is served, the `latest` pointers, the last retraining, every retraining that is in
progress or recent, and every retraining whose model stands in the registry under an alias, served once, or passed its
gates and may still be promoted. Whatever these used, from bars to report, is marked with them. A model that failed its
gates and was never served does not keep its bars: its own files and evidence are in MLflow, which is never collected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toto_ops.errors import StorageError
from toto_ops.market.snapshot import read_snapshot
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import read_last
from toto_ops.serving.market_view import served_artefacts, served_snapshot
from toto_ops.storage.retention import latest_refs, local_base, retraining_indexes
from toto_ops.storage.retraining import RETRAININGS, Retraining
from toto_ops.storage.store import ArtefactRef, ArtefactStore

if TYPE_CHECKING:
    from toto_ops.registry.models import ModelRegistry
    from toto_ops.registry.versions import RegisteredVersion

Reason = Literal["served", "latest", "last retraining", "registered", "in progress", "recent"]


@dataclass(frozen=True)
class Terms:
    """What a collection spares beside what is in use.

    Attributes
    ----------
    moment
        Now.
    older_than
        What was made, found or written to within this time is spared.
    in_progress
        `retrain_id` of every retraining that has not ended.
    """

    moment: datetime
    older_than: timedelta
    in_progress: frozenset[str] = frozenset()

    @property
    def since(self) -> datetime:
        """What was touched at this moment or later is spared."""
        return self.moment - self.older_than

    @property
    def untouched_since(self) -> float:
        """The same in seconds since the epoch."""
        return self.since.timestamp()


@dataclass(frozen=True)
class Mark:
    """Why something stays.

    Attributes
    ----------
    detail
        The registered version, where that is the reason.
    """

    reason: Reason
    detail: str = ""


@dataclass
class Marks:
    """Everything of one universe that stays, collected as it is found; the first reason found for a thing is kept.

    Attributes
    ----------
    retrainings
        By `retrain_id`.
    places
        Artefacts, by their folder.
    inputs
        The same artefacts by what they were made from, which is what checkpoints are named by.
    """

    retrainings: dict[str, Mark] = field(default_factory=dict)
    places: dict[Path, Mark] = field(default_factory=dict)
    inputs: dict[str, Mark] = field(default_factory=dict)

    def add(self, store: ArtefactStore, refs: Iterable[ArtefactRef], mark: Mark) -> None:
        """Mark artefacts."""
        for ref in chain.from_iterable(_with_parts(store, whole) for whole in refs):
            self.places.setdefault(Path(str(store.place(ref))), mark)
            self.inputs.setdefault(ref.inputs_hash, mark)


def marks_of(project: Project, universe: str, terms: Terms) -> Marks:
    """Everything of a universe that stays. The universe need not be configured any more.

    Raises
    ------
    StorageError
        If anything that marks cannot be read: then it is not known what is in use.
    """
    store, marks = project.store, Marks()
    marks.add(store, served_artefacts(store, universe), Mark("served"))
    marks.add(store, latest_refs(store, universe), Mark("latest"))
    for retrain_id, mark in _retrainings(project, universe, terms):
        if retrain_id not in marks.retrainings:
            marks.retrainings[retrain_id] = mark
            marks.add(store, _used_by(Retraining(store, universe, retrain_id)), mark)
    return marks


def _retrainings(project: Project, universe: str, terms: Terms) -> Iterator[tuple[str, Mark]]:
    served = served_snapshot(project.store, universe)
    if served is not None:
        yield served.retrain_id, Mark("served")
    last = read_last(project, universe)
    if last is not None:
        yield last.retrain_id, Mark("last retraining")
    if _has_registry(project, universe):
        for retrain_id, use in registered_retrainings(project.registry, universe).items():
            yield retrain_id, Mark("registered", use)
    for index in retraining_indexes(local_base(project.store), universe):
        if index.path.name in terms.in_progress:
            yield index.path.name, Mark("in progress")
        elif index.touched >= terms.untouched_since:
            yield index.path.name, Mark("recent")


def _has_registry(project: Project, universe: str) -> bool:
    """Whether anything was ever registered; a registry that is lost must not pass for one that never was."""
    from toto_ops.pipeline.registry_steps import CHALLENGER_DOCUMENT
    from toto_ops.registry.tracking import is_unmade

    if not is_unmade(project.settings.tracking_uri):
        return True
    registered = next(project.store.matching(f"{universe}/{RETRAININGS}/*/{CHALLENGER_DOCUMENT}"), None)
    if registered is not None:
        raise StorageError(
            f"is not there, yet models of {universe} were registered in it: it cannot be told which are in use",
            where=project.settings.tracking_uri,
            remedy="restore the MLflow database from a backup, or set TOTO_MLFLOW_TRACKING_URI to where it is now",
        )
    return False


def registered_retrainings(registry: ModelRegistry, universe: str) -> Mapping[str, str]:
    """Retrainings whose model is in use in the registry, served once or may yet serve, and which version that is."""
    from toto_ops.registry.events import events

    name = registry.serving_name(universe)
    moves = (event for event in events(registry, universe) if event.outcome != "refused")
    in_diary = {number for event in moves for number in (event.version, event.instead_of)}
    uses: dict[str, str] = {}
    for version in registry.versions(name):
        use = _use_of(version, in_diary=version.version in in_diary)
        if use is not None:
            before = uses.get(version.retrain_id)
            uses[version.retrain_id] = f"{before}; {use}" if before else use
    return uses


def _use_of(version: RegisteredVersion, *, in_diary: bool) -> str | None:
    if version.aliases:
        return f"{version.label}: {', '.join(version.aliases)}"
    if version.promoted_at is not None or in_diary:
        return f"{version.label}: in the diary"
    if version.gates == "passed":
        return f"{version.label}: passed its gates"
    return None


def _with_parts(store: ArtefactStore, ref: ArtefactRef) -> Iterator[ArtefactRef]:
    """An artefact and those it consists of: embeddings are an index of stretches, each stored once."""
    from toto_ops.forecasting.embeddings.index import EMBEDDINGS, segment_refs

    yield ref
    if ref.key.asset == EMBEDDINGS and store.find(ref.key, ref.inputs_hash) is not None:
        yield from segment_refs(store, ref)


def _used_by(retraining: Retraining) -> Iterator[ArtefactRef]:
    yield from retraining.refs()
    if any(True for _ in retraining.store.documents(f"{retraining.folder}/snapshot")):
        snapshot = read_snapshot(retraining, config_hash="")
        yield from (snapshot.bars_ref(symbol) for symbol in snapshot.symbols)
