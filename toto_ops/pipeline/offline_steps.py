"""The analysts decide through history; their decisions become offline datasets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from toto_ops.pipeline.feature_steps import panel_of
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.versions import DATASET_VERSION, DECISIONS_VERSION
from toto_ops.storage.hashing import value_hash
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import ArtefactRef
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.training.offline_dataset import OfflineDataset

DECISIONS_FILE = "decisions.parquet"
SUMMARY_FILE = "summary.json"


@dataclass(frozen=True)
class DecisionsMade:
    """Decision history or dataset of one symbol: how many, and the share of each action."""

    symbol: str
    decisions: int
    hold: float
    buy: float
    sell: float
    mean_strength: float
    reused: bool


def make_decisions(project: Project, retraining: Retraining, universe: Universe) -> tuple[DecisionsMade, ...]:
    """Let the analysts' ensemble trade the whole panel and record every decision with the account at that moment.

    All symbols share one account, so the history of one symbol depends on all of them: it is keyed by the panel.
    """
    panel, panel_ref = panel_of(retraining)
    inputs = value_hash(
        {
            "panel": panel_ref.content_hash,
            "strategy": project.strategy,
            "rules": money_settings(universe),
            "version": DECISIONS_VERSION,
        }
    )
    store = retraining.store
    found = {symbol: store.find(retraining.key("ensemble_decisions", symbol), inputs) for symbol in panel.symbols}
    refs = {symbol: ref for symbol, ref in found.items() if ref is not None}
    reused = len(refs) == len(panel.symbols)
    if not reused:
        from toto_ops.analysts.decisions import record_decisions, save_decisions
        from toto_ops.analysts.ensemble import EnsemblePolicy
        from toto_ops.simulation.rules import TradingRules

        rules = TradingRules.of(universe, panel.parts)
        histories = record_decisions(panel, EnsemblePolicy.of(project.strategy, rules), rules)
        for symbol, history in histories.items():

            def write(folder: Path, history: pl.DataFrame = history) -> None:
                save_decisions(history, folder / DECISIONS_FILE)
                _write_summary(folder, history["action"], history["strength"])

            refs[symbol] = store.put(retraining.key("ensemble_decisions", symbol), inputs, write)
    return tuple(_record(retraining, symbol, refs[symbol], reused=reused) for symbol in panel.symbols)


def make_datasets(retraining: Retraining) -> tuple[DecisionsMade, ...]:
    """Turn each symbol's decision history into (state, action, strength) arrays."""
    from toto_ops.analysts.decisions import load_decisions
    from toto_ops.training.offline_dataset import OfflineDataset

    made = []
    for symbol in panel_of(retraining)[0].symbols:
        decisions = retraining.ref("ensemble_decisions", symbol)
        inputs = value_hash({"decisions": decisions.content_hash, "version": DATASET_VERSION})

        def write(folder: Path, ref: ArtefactRef = decisions, name: str = symbol) -> None:
            history = load_decisions(retraining.store.local_folder(ref) / DECISIONS_FILE)
            OfflineDataset.from_decisions(history).save(folder / f"{name}.npz")
            _write_summary(folder, history["action"], history["strength"])

        dataset, reused = retraining.store.get_or_make(retraining.key("offline_dataset", symbol), inputs, write)
        made.append(_record(retraining, symbol, dataset, reused=reused))
    return tuple(made)


def dataset_of(retraining: Retraining, symbol: str) -> OfflineDataset:
    """The offline dataset of one symbol in this retraining."""
    from toto_ops.training.offline_dataset import OfflineDataset

    return OfflineDataset.load(retraining.store.local_folder(retraining.ref("offline_dataset", symbol)) / f"{symbol}.npz")


def _record(retraining: Retraining, symbol: str, ref: ArtefactRef, *, reused: bool) -> DecisionsMade:
    retraining.record(ref)
    summary = json.loads((retraining.store.local_folder(ref) / SUMMARY_FILE).read_text())
    return DecisionsMade(symbol=symbol, reused=reused, **summary)


def _write_summary(folder: Path, action: pl.Series, strength: pl.Series) -> None:
    from toto_ops.simulation.observation import Action

    summary = {
        "decisions": len(action),
        **{kind.name.lower(): float((action == int(kind)).mean() or 0.0) for kind in Action},  # type: ignore[arg-type]
        "mean_strength": float(strength.filter(action != int(Action.HOLD)).mean() or 0.0),  # type: ignore[arg-type]
    }
    (folder / SUMMARY_FILE).write_text(json.dumps(summary, sort_keys=True))


def money_settings(universe: Universe) -> dict[str, object]:
    """What of a universe decides how money moves."""
    return {
        "costs": {name: part.costs for name, part in universe.parts.items()} or universe.costs,
        "limits": universe.limits,
        "rates": universe.rates,
        "decision_lag": universe.decision_lag,
        "capital": universe.capital,
    }
