"""The bars of a backtest: the market that is served, or a folder of raw CSV files processed into a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from toto_ops.configuration import Settings
from toto_ops.errors import ConfigError, InsufficientDataError, SourceError, StorageError
from toto_ops.market.ingest import newest_close
from toto_ops.market.sources import open_source
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.pipeline.feature_steps import make_features, make_panel
from toto_ops.pipeline.market_steps import ingest, snapshot_of
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import sources_of
from toto_ops.pipeline.versions import BARS_VERSION, FEATURES_VERSION, PANEL_VERSION
from toto_ops.serving.market_view import MarketView, is_published, publish_market, read_market
from toto_ops.storage.hashing import value_hash
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import CsvSource, Membership, Universe

if TYPE_CHECKING:
    from toto_ops.evaluation.backtests.subject import Subject
    from toto_ops.learning.splits import Splits
    from toto_ops.pipeline.backtest_request import BacktestRequest

PROCESSED = "processed"
"""Namespace of everything processed for backtests alone."""


@dataclass(frozen=True)
class BacktestMarket:
    """What a backtest reads.

    Attributes
    ----------
    view
        Snapshot and panel.
    splits
        The spans of the universe: the served market's where there is one, since those are what models are judged on.
    left_out
        Symbols and files that take no part, and why.
    origin
        Where the bars come from, in words.
    """

    view: MarketView
    splits: Splits
    left_out: Mapping[str, str]
    origin: str


def market_of(project: Project, universe: Universe, request: BacktestRequest) -> BacktestMarket:
    """The market a request asks for, processed first where it says so.

    Raises
    ------
    ConfigError
        If what is to be the folder of processed data is a file.
    StorageError
        If nothing is served yet, or nothing was processed into the folder.
    SourceError
        If the folder of raw files cannot be read.
    InsufficientDataError
        If not one symbol of it can be used.
    """
    rejected: Mapping[str, str] = {}
    if request.processed_data_dir is None:
        view = read_market(project.store, universe.name)
        origin = f"the served market as of {view.snapshot.as_of:%Y-%m-%d %H:%M} UTC"
    else:
        folder = _absolute(request.processed_data_dir)
        workshop = _workshop(project, folder)
        if request.raw_data_dir is not None:
            rejected = process(workshop, reading_from(universe, _absolute(request.raw_data_dir)))
        elif not is_published(workshop.store, universe.name):
            raise StorageError(
                f"no bars of {universe.name} were processed into this folder",
                where=str(folder),
                remedy="process some with process_data and raw_data_dir, or leave processed_data_dir out to read what is served",
            )
        view = read_market(workshop.store, universe.name)
        origin = f"{folder}, processed as of {view.snapshot.as_of:%Y-%m-%d %H:%M} UTC"
    quarantined = {symbol: "; ".join(reasons) for symbol, reasons in view.snapshot.quarantined.items()}
    return BacktestMarket(view, _splits(project, universe, view), {**quarantined, **rejected}, origin)


def market_shown_to(
    subjects: Sequence[Subject], market: BacktestMarket, project: Project, request: BacktestRequest
) -> BacktestMarket:
    """The same market, with forecasts and embeddings where a subject observes them.

    Raises
    ------
    ConfigError
        If a subject observes forecasts, and the bars are of a folder: no forecaster has seen those.
    StorageError
        If a subject observes another forecaster than that of the served market.
    """
    from toto_ops.pipeline.observed_market import panel_shown_to

    observers = [subject.origin for subject in subjects if subject.policy.observes_forecasts()]
    if not observers:
        return market
    if request.processed_data_dir is not None:
        raise ConfigError(
            f"{observers[0]} observes forecasts, and there are none of the bars in this folder",
            where=str(request.processed_data_dir),
            remedy="leave processed_data_dir out to read what is served",
        )
    served = project.retraining(project.universe(request.universe), market.view.snapshot.retrain_id)
    panel = panel_shown_to([(subject.policy, subject.manifest) for subject in subjects], market.view.panel, served)
    return replace(market, view=replace(market.view, panel=panel))


def process(workshop: Project, universe: Universe) -> Mapping[str, str]:
    """Validate the raw bars of a universe, compute features and panel, and make them what is read from this folder.

    The steps are those of a retraining: what is stored appears whole or not at all, and the same files are not processed
    twice. A symbol with bad bars is left out, however many there are: a backtest does not need the whole universe.

    Returns
    -------
    dict
        Files that cannot become a symbol, and why.
    """
    source = open_source(universe)
    symbols = universe_symbols(universe, source)
    of = {"sources": sources_of(universe, source, symbols), "universe": universe}
    processing = workshop.retraining(universe, value_hash([of, BARS_VERSION, FEATURES_VERSION, PANEL_VERSION]))
    if not processing.has("panel"):
        # A folder of the past stands at its newest close: "now" would make every symbol one that ended long ago.
        as_of = min(newest_close(source, universe, symbols), datetime.now(UTC))
        ingest(workshop, processing, universe, symbols, as_of)
        _require_some_symbol(workshop, processing, universe)
        make_features(workshop, processing, universe)
        make_panel(workshop, processing, universe)
    publish_market(workshop.store, snapshot_of(workshop, processing, universe), processing.ref("panel"))
    return source.discover().rejected


def reading_from(universe: Universe, folder: Path) -> Universe:
    """The universe as it would be if its source was `folder`; a combined one has a folder there for each of its parts.

    Raises
    ------
    SourceError
        If `folder` cannot be listed, or lacks the folder of a part.
    """
    anyone = {"minimum_coverage": 0.0}
    if universe.parts:
        _require_folder_per_part(universe, folder)
        parts = {name: _from_folder(part, folder / name) for name, part in universe.parts.items()}
        return universe.model_copy(update=anyone | {"parts": parts, "symbols": None})
    return _from_folder(universe, folder).model_copy(update=anyone)


def _require_folder_per_part(universe: Universe, folder: Path) -> None:
    missing = [name for name in universe.parts if not (folder / name).is_dir()]
    if missing:
        raise SourceError(
            f"has no subfolder {' and no subfolder '.join(missing)}",
            where=str(folder),
            remedy=f"{universe.name} is combined: give a folder with one subfolder of <SYMBOL>.csv per part, "
            f"{', '.join(f'{name}/' for name in universe.parts)}",
        )


def _from_folder(universe: Universe, folder: Path) -> Universe:
    """Every symbol of the folder takes part; those the universe lists between the dates it gives."""
    own = universe.source if isinstance(universe.source, CsvSource) else CsvSource(folder=folder)
    moved = universe.model_copy(update={"source": own.model_copy(update={"folder": folder})})
    found = open_source(moved).discover().symbols
    listed = universe.symbols or {}
    return moved.model_copy(update={"symbols": {symbol: listed.get(symbol, Membership()) for symbol in found} or None})


def _require_some_symbol(workshop: Project, processing: Retraining, universe: Universe) -> None:
    snapshot = snapshot_of(workshop, processing, universe)
    if not snapshot.symbols:
        reasons = "; ".join(f"{symbol}: {', '.join(why)}" for symbol, why in snapshot.quarantined.items())
        raise InsufficientDataError(
            f"not one symbol can be used ({reasons})",
            where=universe.name,
            remedy="mend the files; `toto-ops data validate` tells more",
        )


def _workshop(project: Project, folder: Path) -> Project:
    """The same configuration over another folder: nothing of it can reach what serves."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError("is not a folder", where=str(folder), remedy="name a folder in processed_data_dir")
    return Project(Settings(**{**project.settings.model_dump(), "home": str(folder)}), PROCESSED)


def _splits(project: Project, universe: Universe, view: MarketView) -> Splits:
    from toto_ops.learning.splits import make_splits

    served = read_market(project.store, universe.name) if is_published(project.store, universe.name) else view
    close_time = served.panel.close_time
    config = project.split_settings(universe).with_test_after(served.snapshot.train_folders_until, close_time)
    return make_splits(close_time, config)


def _absolute(folder: Path) -> Path:
    return Path.cwd() / folder.expanduser()
