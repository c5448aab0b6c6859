"""Train one line of models on train and validation, from its checkpoint if an earlier attempt was cut short."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toto_ops.pipeline.checkpoint_folders import checkpoint_folder
from toto_ops.pipeline.feature_steps import panel_of
from toto_ops.pipeline.market_steps import snapshot_of
from toto_ops.pipeline.offline_steps import dataset_of, money_settings
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.spans import splits_of
from toto_ops.pipeline.stored_policies import read_policy
from toto_ops.storage.hashing import value_hash
from toto_ops.storage.refusals import PLACES, named_refusals
from toto_ops.storage.retraining import Retraining
from toto_ops.training.lines import line as line_named
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.policies.contract import PolicyManifest
    from toto_ops.training.line import Line, TrainedPolicy, TrainingInputs


@dataclass(frozen=True)
class PolicyMade:
    """One line of one retraining."""

    manifest: PolicyManifest
    folder: Path
    reused: bool


@named_refusals(PLACES)
def train_line(project: Project, retraining: Retraining, universe: Universe, line_name: str) -> PolicyMade:
    """Train a line, or reuse the policy already trained from the same data, configuration, seeds and code.

    The trainer is handed nothing later than the validation span.
    """
    line = line_named(line_name)
    inputs_hash = line_inputs_hash(project, retraining, universe, line)

    def write(folder: Path) -> None:
        trained = _train(project, retraining, universe, line, inputs_hash)
        trained.policy.save(folder, trained.manifest)

    ref, reused = retraining.store.get_or_make(retraining.key(f"{line.name}_policy"), inputs_hash, write)
    retraining.record(ref)
    folder = retraining.store.local_folder(ref)
    _, manifest = read_policy(folder)
    _track(project, retraining, manifest)
    return PolicyMade(manifest, folder, reused)


def line_inputs_hash(project: Project, retraining: Retraining, universe: Universe, line: Line[Any]) -> str:
    """Hash of all that determines the weights of a line."""
    panel, panel_ref = panel_of(retraining)
    datasets = {symbol: retraining.ref("offline_dataset", symbol) for symbol in panel.symbols} if _has_teacher(line) else {}
    return value_hash(
        {
            "line": line.name,
            "data": snapshot_of(project, retraining, universe).data_hash,
            "panel": panel_ref.content_hash,
            "datasets": {symbol: ref.content_hash for symbol, ref in datasets.items()},
            "config": project.training.of(line),
            "splits": splits_of(project, retraining, universe),
            "rules": money_settings(universe),
            "teacher_knows_until": str(_teacher_knows_until(project, line)),
            "version": line.code_version,
            **(_observed(retraining) if line.observes_forecasts else {}),
        }
    )


def training_inputs(
    project: Project, retraining: Retraining, universe: Universe, line: Line[Any], inputs_hash: str
) -> TrainingInputs:
    """What the trainer of a line may read: nothing later than the validation span.

    A line that observes forecasts learns from the half of train that the forecaster was not fitted on.

    Raises
    ------
    LookAheadError
        If the forecaster knows bars of that half.
    """
    from toto_ops.pipeline.observed_market import observed_forecasts
    from toto_ops.training.observed_forecasts import observing

    inputs = plain_inputs(project, retraining, universe, line, inputs_hash)
    if not line.observes_forecasts:
        return inputs
    return observing(inputs, observed_forecasts(project, retraining, universe, inputs.splits.validation.until))


def plain_inputs(
    project: Project, retraining: Retraining, universe: Universe, line: Line[Any], inputs_hash: str
) -> TrainingInputs:
    """What a trainer may read of bars and decisions, before any forecast."""
    from toto_ops.learning.splits import Span
    from toto_ops.simulation.rules import TradingRules
    from toto_ops.training.ledger import TrialLedger
    from toto_ops.training.line import TrainingInputs

    panel, _ = panel_of(retraining)
    splits = splits_of(project, retraining, universe)
    known = Span(after=splits.train.after, until=splits.validation.until)
    datasets = {symbol: dataset_of(retraining, symbol) for symbol in panel.symbols} if _has_teacher(line) else {}
    return TrainingInputs(
        universe=universe.name,
        panel=panel.between(None, known.until),
        datasets={symbol: dataset.between(known) for symbol, dataset in datasets.items()},
        splits=splits,
        rules=TradingRules.of(universe, panel.parts),
        ledger=TrialLedger(retraining.store, universe.name),
        data_hash=snapshot_of(project, retraining, universe).data_hash,
        inputs_hash=inputs_hash,
        code_version=line.code_version,
        parents_know_until=_teacher_knows_until(project, line),
    )


def _observed(retraining: Retraining) -> dict[str, str]:
    """The embeddings a line observes, and what made them: a policy may be shown no other's (`panel_shown_to`)."""
    from toto_ops.pipeline.forecasting_steps import embedding_hash_of
    from toto_ops.pipeline.observed_market import forecaster_hash

    return {"embeddings": embedding_hash_of(retraining), "forecaster": forecaster_hash(retraining)}


def _has_teacher(line: Line[Any]) -> bool:
    """Whether a line learns from the recorded decisions of the analysts."""
    return "offline_dataset" in line.upstream


def _teacher_knows_until(project: Project, line: Line[Any]) -> datetime | None:
    return project.strategy.chosen_until if _has_teacher(line) else None


def _train(project: Project, retraining: Retraining, universe: Universe, line: Line[Any], inputs_hash: str) -> TrainedPolicy:
    import torch

    from toto_ops.training.observed_forecasts import refuse_forgotten_parents

    torch.set_num_threads(project.settings.torch_threads)
    inputs = training_inputs(project, retraining, universe, line, inputs_hash)
    trained = line.train(inputs, project.training.of(line), checkpoint_folder(project, retraining, line.name, inputs_hash))
    refuse_forgotten_parents(inputs, trained.manifest)
    return trained


def _track(project: Project, retraining: Retraining, manifest: PolicyManifest) -> None:
    from toto_ops.pipeline.provenance import provenance
    from toto_ops.registry.tracking import RunKey, RunRecord

    key = RunKey(retraining.universe, retraining.retrain_id, manifest.line, manifest.inputs_hash)
    tags = {**provenance(retraining), "toto.data_hash": manifest.data_hash, "toto.symbols": ",".join(manifest.symbols)}
    project.registry.tracking.record(key, RunRecord(params=manifest.config, metrics=manifest.metrics, tags=tags))
