"""Bars to features per symbol, features to the aligned panel."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from toto_ops.features.compute import FeatureConfig, compute_features
from toto_ops.features.correlations import CorrelationConfig
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.features.panel_builder import build_panel, load_panel, save_panel
from toto_ops.market.bars import load_bars
from toto_ops.market.snapshot import Snapshot
from toto_ops.pipeline.market_steps import require_coverage, snapshot_of
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.sentiment_source import published_sentiment, sentiment_path
from toto_ops.pipeline.versions import FEATURES_VERSION, PANEL_VERSION
from toto_ops.storage.hashing import file_digest, value_hash
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import ArtefactRef
from toto_ops.universes import Universe

FEATURES_FILE = "features.parquet"
SUMMARY_FILE = "summary.json"


@dataclass(frozen=True)
class FeaturesMade:
    """Features of one symbol."""

    symbol: str
    rows: int
    health: float
    """Mean data health index over all bars, 0 to 1."""
    recent_health: float
    """Data health index at the newest bar."""
    reused: bool


@dataclass(frozen=True)
class PanelMade:
    """The panel of a retraining."""

    symbols: tuple[str, ...]
    rows: int
    features: int
    first_close: datetime
    last_close: datetime
    share_masked: float
    reused: bool


def make_features(project: Project, retraining: Retraining, universe: Universe) -> tuple[FeaturesMade, ...]:
    """Compute and record the features of every symbol of the snapshot; symbols whose inputs are unchanged are reused."""
    snapshot = snapshot_of(project, retraining, universe)
    store = retraining.store
    parts = _parts(snapshot, universe)
    hashes = {symbol: _features_inputs(snapshot, parts[symbol], symbol) for symbol in snapshot.symbols}
    found = {symbol: store.find(retraining.key("features", symbol), hashes[symbol]) for symbol in snapshot.symbols}
    refs = {symbol: ref for symbol, ref in found.items() if ref is not None}
    missing = tuple(symbol for symbol in snapshot.symbols if symbol not in refs)
    if missing:
        fresh = _compute(retraining, parts, snapshot, missing).partition_by("symbol", as_dict=True)
        for symbol in missing:
            table = fresh[symbol,]
            refs[symbol] = store.put(retraining.key("features", symbol), hashes[symbol], partial(_write_features, table))
    made = []
    for symbol in snapshot.symbols:
        retraining.record(refs[symbol])
        made.append(FeaturesMade(symbol=symbol, reused=symbol not in missing, **_summary(retraining, refs[symbol])))
    return tuple(made)


def make_panel(project: Project, retraining: Retraining, universe: Universe) -> PanelMade:
    """Align the features of all symbols of the snapshot on one time grid.

    Raises
    ------
    InsufficientDataError
        If fewer symbols are healthy than the universe requires.
    """
    snapshot = snapshot_of(project, retraining, universe)
    require_coverage(project, retraining, universe)
    store = retraining.store
    refs = {symbol: retraining.ref("features", symbol) for symbol in snapshot.symbols}
    correlation = CorrelationConfig()
    calendars = {symbol: part.calendar for symbol, part in _parts(snapshot, universe).items()}
    contents = {symbol: ref.content_hash for symbol, ref in refs.items()}
    parts = tuple(name for symbol in snapshot.symbols if (name := snapshot.entry(symbol).part) is not None)
    inputs = value_hash(
        {"features": contents, "correlation": correlation, "calendars": calendars, "parts": parts, "version": PANEL_VERSION}
    )

    def write(folder: Path) -> None:
        tables = [pl.read_parquet(store.local_folder(ref) / FEATURES_FILE) for ref in refs.values()]
        save_panel(replace(build_panel(pl.concat(tables), snapshot.symbols, correlation, calendars), parts=parts), folder)

    ref, reused = store.get_or_make(retraining.key("panel"), inputs, write)
    retraining.record(ref)
    panel = load_panel(store.local_folder(ref))
    first, last = to_aware(panel.close_time[[0, -1]])
    return PanelMade(
        symbols=panel.symbols,
        rows=panel.rows,
        features=len(panel.feature_names),
        first_close=first,
        last_close=last,
        share_masked=float(1 - panel.mask.mean()),
        reused=reused,
    )


def health_of(retraining: Retraining, symbol: str) -> float:
    """Mean data health index of a symbol's bars, 0 to 1."""
    return float(_summary(retraining, retraining.ref("features", symbol))["health"])


def panel_of(retraining: Retraining) -> tuple[Panel, ArtefactRef]:
    """The panel this retraining works on."""
    ref = retraining.ref("panel")
    return load_panel(retraining.store.local_folder(ref)), ref


def _parts(snapshot: Snapshot, universe: Universe) -> dict[str, Universe]:
    """The universe whose calendar and units the bars of each symbol follow."""
    return {entry.symbol: universe.part(entry.part) for entry in snapshot.entries if entry.status == "included"}


def _features_inputs(snapshot: Snapshot, universe: Universe, symbol: str) -> str:
    sentiment = sentiment_path(universe, symbol)
    return value_hash(
        {
            "bars": snapshot.bars_ref(symbol).inputs_hash,
            "sentiment": [file_digest(sentiment), universe.source] if sentiment else None,
            "calendar": [universe.calendar, universe.bar],
            "volume_unit": universe.volume_unit,
            "config": FeatureConfig(),
            "version": FEATURES_VERSION,
        }
    )


def _compute(retraining: Retraining, parts: Mapping[str, Universe], snapshot: Snapshot, symbols: tuple[str, ...]) -> pl.DataFrame:
    """Features of `symbols`, those of one part in one pass."""
    together: dict[str, list[str]] = {}
    for symbol in symbols:
        together.setdefault(snapshot.entry(symbol).part or "", []).append(symbol)
    return pl.concat(_features(retraining, parts[members[0]], snapshot, members) for members in together.values())


def _features(retraining: Retraining, universe: Universe, snapshot: Snapshot, symbols: Sequence[str]) -> pl.DataFrame:
    bars = pl.concat(
        load_bars(retraining.store, snapshot.bars_ref(symbol)).select(pl.lit(symbol).alias("symbol"), pl.all())
        for symbol in symbols
    )
    found = (published_sentiment(universe, symbol) for symbol in symbols)
    published = [table for table in found if table is not None]
    return compute_features(bars, universe, pl.concat(published) if published else None, FeatureConfig())


def _summary(retraining: Retraining, ref: ArtefactRef) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((retraining.store.local_folder(ref) / SUMMARY_FILE).read_text())
    return content


def _write_features(table: pl.DataFrame, folder: Path) -> None:
    table.write_parquet(folder / FEATURES_FILE, compression="zstd")
    health = table["data_health"].to_numpy()
    summary = {"rows": table.height, "health": float(health.mean()), "recent_health": float(health[-1])}
    (folder / SUMMARY_FILE).write_text(json.dumps(summary, sort_keys=True))
