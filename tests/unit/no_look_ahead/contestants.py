"""Everyone who decides anything: the teacher, a policy of every line, every baseline. Found, not listed."""

from __future__ import annotations

import pkgutil
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import toto_ops
from toto_ops.analysts.decisions import record_decisions
from toto_ops.analysts.ensemble import EnsemblePolicy
from toto_ops.analysts.strategy import load_strategy
from toto_ops.configuration import Settings, StrictModel
from toto_ops.evaluation.baselines.plans import baseline_entrants
from toto_ops.features.panel import Panel
from toto_ops.learning.splits import Span, SplitConfig, make_splits
from toto_ops.policies.contract import Policy
from toto_ops.simulation.entrants import Entrant
from toto_ops.simulation.rules import TradingRules
from toto_ops.storage.store import ArtefactStore
from toto_ops.training.ledger import TrialLedger
from toto_ops.training.line import Line, TrainedPolicy, TrainingInputs
from toto_ops.training.offline_dataset import OfflineDataset
from toto_ops.universes import load_universes

RULES = TradingRules.of(load_universes(Settings()).universe("crypto"))
"""As shipped: costs, band, stop-loss, breaker and all."""

SPLITS = SplitConfig(train=0.5, validation=0.2, embargo_bars=5)
QUICK = {"epochs": 3, "seeds": (0,), "hidden": 16, "layers": 1}
"""What makes a training short, of whatever line has such settings."""


def teacher() -> EnsemblePolicy:
    return EnsemblePolicy.of(load_strategy(Settings().config_dir), RULES)


def training_inputs(panel: Panel, home: Path) -> TrainingInputs:
    """What a trainer is given: the panel and the teacher's decisions, cut at the end of the validation span."""
    splits = make_splits(panel.close_time, SPLITS)
    known = Span(after=splits.train.after, until=splits.validation.until)
    decisions = record_decisions(panel, teacher(), RULES)
    return TrainingInputs(
        universe="tried",
        panel=panel.between(None, known.until),
        datasets={symbol: OfflineDataset.from_decisions(history).between(known) for symbol, history in decisions.items()},
        splits=splits,
        rules=RULES,
        ledger=TrialLedger(ArtefactStore(home, "tried"), "tried"),
        data_hash="d" * 16,
        inputs_hash="a" * 16,
        code_version="1",
    )


def quick(line: Line[Any]) -> StrictModel:
    """Settings of a line for a training of a second."""
    return line.config(**{name: value for name, value in QUICK.items() if name in line.config.model_fields})


def train(line: Line[Any], inputs: TrainingInputs, folder: Path) -> TrainedPolicy:
    folder.mkdir(parents=True, exist_ok=True)
    return line.train(inputs, quick(line), folder)


def kinds_of_policies() -> set[type[Policy]]:
    """Every policy of the library, wherever it is defined."""
    for module in pkgutil.walk_packages(toto_ops.__path__, "toto_ops."):
        import_module(module.name)
    kinds, fresh = set(), {Policy}
    while fresh:
        fresh = {kind for parent in fresh for kind in parent.__subclasses__()} - kinds
        kinds |= fresh
    return {kind for kind in kinds if kind.__module__.startswith("toto_ops.")}


def entrants(panel: Panel, policies: dict[str, Policy], after: datetime) -> tuple[Entrant, ...]:
    """Policies by the rules of the universe and baselines by their own, on the rows that close after a moment."""
    asked = (Entrant(name, policy.act, RULES, tuple(policy.inputs)) for name, policy in policies.items())
    return (*asked, *baseline_entrants(panel, RULES, after))
