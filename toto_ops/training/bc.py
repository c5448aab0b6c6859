"""Behaviour cloning: the first line. A network learns the analysts' decisions; the seed is chosen on validation."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import torch

from toto_ops.errors import InsufficientDataError, LookAheadError
from toto_ops.features.moments import to_aware, to_utc64
from toto_ops.learning.reproducible import reproducible
from toto_ops.learning.seeds import seeded
from toto_ops.learning.splits import Span
from toto_ops.policies.cloned import ClonedPolicy
from toto_ops.policies.contract import PolicyManifest
from toto_ops.simulation.backtest import run_backtests
from toto_ops.simulation.entrants import Entrant
from toto_ops.storage.hashing import value_hash
from toto_ops.training.bc_config import BehaviourCloningConfig
from toto_ops.training.bc_fit import Fit, Lesson, Samples, fit
from toto_ops.training.imitation import measure_imitation
from toto_ops.training.ledger import Trial
from toto_ops.training.line import TrainedPolicy, TrainingInputs
from toto_ops.training.offline_dataset import OfflineDataset

NAME = "bc"


def train_behaviour_cloning(inputs: TrainingInputs, config: BehaviourCloningConfig, checkpoints: Path) -> TrainedPolicy:
    """Clone the teacher from every seed and return the pupil with the lowest validation loss.

    Each seed is a trial in the ledger, with the returns its policy earned in a backtest of the validation span. The
    choice is by validation loss, not by those returns: the line is there to imitate, and picking the luckiest of
    several near-equal pupils would inflate what the gates see.

    Raises
    ------
    LookAheadError
        If a bar or a decision lies after the validation span.
    InsufficientDataError
        If the train or the validation span holds no decision.
    """
    _refuse_test_bars(inputs)
    train_decisions = _decisions(inputs, inputs.splits.train, "train")
    validation_decisions = _decisions(inputs, inputs.splits.validation, "validation")
    train, validation = Samples.of(train_decisions), Samples.of(validation_decisions)
    fits = []
    with reproducible():
        for seed in config.seeds:
            lesson = Lesson(train, validation, config, seed, _work(inputs, config, seed))
            fits.append(fit(_untrained(inputs, config, seed), lesson, checkpoints / f"seed-{seed}"))
            inputs.ledger.record(_trial(inputs, config, fits[-1]))
    chosen = min(fits, key=lambda trained: trained.best.validation.loss)
    metrics = _metrics(chosen) | _imitation(chosen.policy, train_decisions, validation_decisions)
    return TrainedPolicy(chosen.policy, _manifest(inputs, config, chosen, metrics))


def _refuse_test_bars(inputs: TrainingInputs) -> None:
    """A trainer that was handed test bars would make every later figure a lie: better no model."""
    limit = to_utc64(inputs.splits.test.after)
    latest = max([inputs.panel.close_time[-1], *(part.close_time[-1] for part in inputs.datasets.values() if len(part))])
    if latest > limit:
        raise LookAheadError(
            f"training was given data up to {latest}, but the test span begins after {limit}",
            where=inputs.universe,
            remedy="cut panel and datasets at the end of the validation span",
        )


def _decisions(inputs: TrainingInputs, span: Span, name: str) -> list[OfflineDataset]:
    parts = [inputs.datasets[symbol].between(span) for symbol in sorted(inputs.datasets)]
    if not any(len(part) for part in parts):
        raise InsufficientDataError(
            f"no symbol has a decision in the {name} span ({span.after:%Y-%m-%d} to {span.until:%Y-%m-%d})",
            where=inputs.universe,
            remedy="add history, or move the splits in training.yaml",
        )
    return parts


def _untrained(inputs: TrainingInputs, config: BehaviourCloningConfig, seed: int) -> ClonedPolicy:
    torch.manual_seed(seeded(seed, 0))
    return ClonedPolicy(
        hidden=config.hidden,
        layers=config.layers,
        dropout=config.dropout,
        w_max=inputs.rules.w_max,
        may_short=inputs.rules.may_short,
    )


def _config_hash(config: BehaviourCloningConfig) -> str:
    return value_hash(config.model_dump(mode="json", exclude={"seeds"}))


def _work(inputs: TrainingInputs, config: BehaviourCloningConfig, seed: int) -> str:
    return Trial.identity(inputs.universe, NAME, _config_hash(config), inputs.inputs_hash, seed)


def _trial(inputs: TrainingInputs, config: BehaviourCloningConfig, trained: Fit) -> Trial:
    span = inputs.splits.validation
    pupil = Entrant(NAME, trained.policy, inputs.rules, trained.policy.inputs)
    (result,) = run_backtests(inputs.panel.between(span.after, span.until), [pupil])
    return Trial(
        trial_id=_work(inputs, config, trained.seed),
        universe=inputs.universe,
        line=NAME,
        config_hash=_config_hash(config),
        inputs_hash=inputs.inputs_hash,
        split=inputs.splits,
        seed=trained.seed,
        returns=tuple(result.returns.tolist()),
        timestamps=to_aware(result.open_time[1:]),
        metrics=_metrics(trained),
        created_at=datetime.now(UTC),
    )


def _metrics(trained: Fit) -> dict[str, float]:
    best, overfitting = trained.best, trained.best.overfitting
    return {
        "train_loss": best.train.loss,
        "train_accuracy": best.train.accuracy,
        "validation_loss": best.validation.loss,
        "validation_accuracy": best.validation.accuracy,
        "accuracy_gap": overfitting.accuracy_gap,
        "loss_gap": overfitting.loss_gap,
        "overfitting": float(overfitting.detected),
        "epochs": float(len(trained.progress.epochs)),
        "best_epoch": float(trained.progress.best + 1),
    }


def _imitation(policy: ClonedPolicy, train: list[OfflineDataset], validation: list[OfflineDataset]) -> dict[str, float]:
    metrics = {}
    for span, decisions in (("train", train), ("validation", validation)):
        measured = measure_imitation(policy, decisions)
        metrics[f"{span}_macro_f1"] = measured.macro_f1
        metrics[f"{span}_majority_share"] = measured.majority_share
        metrics[f"{span}_decisions"] = float(measured.decisions)
    return metrics


def _manifest(inputs: TrainingInputs, config: BehaviourCloningConfig, chosen: Fit, metrics: dict[str, float]) -> PolicyManifest:
    return PolicyManifest(
        kind=ClonedPolicy.kind,
        line=NAME,
        universe=inputs.universe,
        symbols=inputs.panel.symbols,
        architecture=chosen.policy.architecture,
        config=config.model_dump(mode="json"),
        inputs_hash=inputs.inputs_hash,
        data_hash=inputs.data_hash,
        code_version=inputs.code_version,
        seed=chosen.seed,
        knows_until=max(filter(None, (inputs.splits.validation.until, inputs.parents_know_until))),
        possibly_knows_until=inputs.parents_possibly_know_until,
        forecaster=inputs.forecaster,
        metrics=metrics,
    )
