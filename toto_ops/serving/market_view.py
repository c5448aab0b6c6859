"""The market as serving sees it: the newest settled snapshot of a universe and its panel, published as one.

One small document names both, so that a reader never pairs the symbols of one run with the features of another.
Serving reads features from the panel, not from bars: what a model is asked about is computed by the very code and run
that its training data came from.
"""

from __future__ import annotations

from dataclasses import dataclass

from toto_ops.configuration import VersionedModel
from toto_ops.errors import StorageError
from toto_ops.features.panel import Panel
from toto_ops.features.panel_builder import load_panel
from toto_ops.market.snapshot import Snapshot
from toto_ops.storage.store import ArtefactKey, ArtefactRef, ArtefactStore

SERVING_DOCUMENT = "serving.json"


class PublishedMarket(VersionedModel):
    """What the document holds."""

    snapshot: Snapshot
    panel: str
    """Content hash of the panel artefact."""
    panel_inputs_hash: str


@dataclass(frozen=True)
class MarketView:
    """Snapshot and panel of the newest successful run."""

    snapshot: Snapshot
    panel: Panel


def publish_market(store: ArtefactStore, snapshot: Snapshot, panel: ArtefactRef) -> None:
    """Make a snapshot and its panel what serving reads. Call it only when the run that made them has succeeded."""
    published = PublishedMarket(snapshot=snapshot, panel=panel.content_hash, panel_inputs_hash=panel.inputs_hash)
    store.write_model(_document(snapshot.universe), published)


def is_published(store: ArtefactStore, universe: str) -> bool:
    """Whether a universe has a market to serve from, sound or not."""
    return store.has_document(_document(universe))


def served_snapshot(store: ArtefactStore, universe: str) -> Snapshot | None:
    """The published snapshot, without its panel; None before anything was published."""
    return _published(store, universe).snapshot if is_published(store, universe) else None


def served_symbols(store: ArtefactStore, universe: str) -> tuple[str, ...]:
    """Symbols of the published snapshot, quarantined ones included; none before anything was published."""
    snapshot = served_snapshot(store, universe)
    return () if snapshot is None else tuple(entry.symbol for entry in snapshot.entries)


def served_artefacts(store: ArtefactStore, universe: str) -> tuple[ArtefactRef, ...]:
    """Panel and bars that serving reads; none before anything was published."""
    if not is_published(store, universe):
        return ()
    published = _published(store, universe)
    snapshot = published.snapshot
    return (_panel_ref(universe, published), *(snapshot.bars_ref(symbol) for symbol in snapshot.symbols))


def read_market(store: ArtefactStore, universe: str) -> MarketView:
    """The market of a universe.

    Raises
    ------
    StorageError
        If nothing was published yet, or what was cannot be read.
    """
    published = _published(store, universe)
    return MarketView(published.snapshot, load_panel(store.local_folder(_panel_ref(universe, published))))


def _panel_ref(universe: str, published: PublishedMarket) -> ArtefactRef:
    return ArtefactRef(ArtefactKey(universe, "panel"), published.panel, published.panel_inputs_hash)


def _published(store: ArtefactStore, universe: str) -> PublishedMarket:
    content = store.read_document(_document(universe))
    if content is None:
        raise StorageError("has no market data to serve from", where=universe, remedy=f"run `toto-ops retrain {universe}` first")
    try:
        return PublishedMarket.stored(content)
    except ValueError as error:
        raise StorageError(
            f"cannot be read ({error})", where=_document(universe), remedy=f"run `toto-ops retrain {universe} --force`"
        ) from error


def _document(universe: str) -> str:
    return f"{universe}/{SERVING_DOCUMENT}"
