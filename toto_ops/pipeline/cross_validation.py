"""Cross-validate a line on the bars of the last retraining, the test span excepted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toto_ops.configuration import parse_config
from toto_ops.errors import StorageError
from toto_ops.market.calendars import rows_per_year
from toto_ops.pipeline.checkpoint_folders import checkpoint_folder
from toto_ops.pipeline.market_steps import snapshot_of
from toto_ops.pipeline.notes import Note
from toto_ops.pipeline.policy_steps import line_inputs_hash, plain_inputs
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import last_retraining
from toto_ops.pipeline.spans import splits_of
from toto_ops.pipeline.versions import CROSS_VALIDATION_VERSION
from toto_ops.storage.hashing import value_hash
from toto_ops.storage.refusals import PLACES, named_refusals
from toto_ops.storage.retraining import Retraining
from toto_ops.training.lines import line as line_named
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.evaluation.backtests.cross_validation import CrossValidation
    from toto_ops.training.cross_validation import Scheme
    from toto_ops.training.line import Line
    from toto_ops.training.observed_forecasts import Refit


def scheme_of(name: str, folds: int | None, where: Path) -> Scheme:
    """The scheme of a name, with its own number of folds unless one is given.

    Raises
    ------
    ConfigError
        If there is none of this name, or it cannot have so many folds.
    """
    from toto_ops.training.cross_validation import CrossValidationConfig

    said = {"scheme": name} if folds is None else {"scheme": name, "folds": folds}
    return parse_config({"scheme": said}, CrossValidationConfig, where).scheme


@dataclass(frozen=True)
class CrossValidated:
    """One cross-validation and where it is stored."""

    document: CrossValidation
    folder: Path
    reused: bool


@named_refusals(PLACES)
def cross_validate(project: Project, universe: Universe, line_name: str, scheme: Scheme, note: Note) -> CrossValidated:
    """Train a line once per fold and let every policy trade the bars kept from it.

    For a line that observes forecasts, a forecaster is fitted for every fold: that of the retraining knows too much.

    Folds are trained like any policy of the line: same configuration, same seeds, every seed a trial in the ledger. What
    was cut short goes on from its checkpoints; the same question about the same bars is answered from the store.

    Raises
    ------
    StorageError
        If the universe was never retrained: then there are no decisions to learn from.
    InsufficientDataError
        If the bars do not suffice for so many folds.
    LookAheadError
        If a walk-forward policy knows a bar it would be tested on, or the forecaster of a fold one its policy learns from.
    """
    from toto_ops.evaluation.backtests.cross_validation import read_cross_validation, write_cross_validation

    line = line_named(line_name)
    retraining = last_retraining(project, universe)
    if retraining is None:
        raise StorageError("was never retrained", where=universe.name, remedy=f"run `toto-ops retrain {universe.name}` first")
    inputs_hash = value_hash(
        {
            "line": line_inputs_hash(project, retraining, universe, line),
            "scheme": scheme,
            "splits": project.split_settings(universe),
            "bootstrap": project.gates(universe).bootstrap,
            "version": CROSS_VALIDATION_VERSION,
        }
    )

    def write(folder: Path) -> None:
        write_cross_validation(_validated(project, retraining, universe, _Task(line, scheme, inputs_hash, note)), folder)

    key = retraining.key(f"{line.name}_{scheme.scheme.replace('-', '_')}_cross_validation")
    ref, reused = retraining.store.get_or_make(key, inputs_hash, write)
    retraining.record(ref)
    folder = retraining.store.local_folder(ref)
    return CrossValidated(read_cross_validation(folder), folder, reused)


@dataclass(frozen=True)
class _Task:
    """What was asked for."""

    line: Line[Any]
    scheme: Scheme
    inputs_hash: str
    note: Note


def _validated(project: Project, retraining: Retraining, universe: Universe, task: _Task) -> CrossValidation:
    import torch

    from toto_ops.evaluation.backtests.cross_validation import CrossValidation, FoldResult
    from toto_ops.evaluation.backtests.proving import FoldPolicy, Proving, caveats_of, prove
    from toto_ops.training.cross_validation import Fold, Ground, fold_inputs
    from toto_ops.training.observed_forecasts import observing_fold_inputs, refuse_forgotten_parents

    torch.set_num_threads(project.settings.torch_threads)
    splits = splits_of(project, retraining, universe)
    inputs = plain_inputs(project, retraining, universe, task.line, task.inputs_hash)
    ground = Ground(inputs.panel.close_time, splits, project.split_settings(universe), inputs.parents_know_until)
    folds = task.scheme.split(ground)
    work = checkpoint_folder(project, retraining, task.line.name, task.inputs_hash)
    config = project.training.of(task.line)
    refit = _refit(project, retraining, universe) if task.line.observes_forecasts else None
    task.note(_announced(len(folds), len(config.seeds)))

    def trained(fold: Fold) -> FoldPolicy:
        task.note(f"fold {fold.number + 1} of {len(folds)}")
        given, panel = fold_inputs(inputs, fold), inputs.panel
        if refit is not None:
            forecasts = refit(panel, fold)
            given, panel = observing_fold_inputs(inputs, fold, forecasts), forecasts.panel
        made = task.line.train(given, config, work / f"fold-{fold.number}")
        refuse_forgotten_parents(given, made.manifest)
        return FoldPolicy(fold, made.policy.eval(), made.manifest, panel)

    policies = [trained(fold) for fold in folds]
    proving = Proving(universe, inputs.panel, inputs.rules, project.gates(universe).bootstrap)
    blocks, paths = prove(proving, policies, task.scheme)
    return CrossValidation(
        universe=universe.name,
        line=task.line.name,
        scheme=task.scheme,
        retrain_id=retraining.retrain_id,
        inputs_hash=task.inputs_hash,
        data_hash=snapshot_of(project, retraining, universe).data_hash,
        code_version=task.line.code_version,
        symbols=inputs.panel.symbols,
        periods_per_year=rows_per_year(universe, inputs.panel.open_time),
        test_begins_after=splits.test.after,
        folds=tuple(
            FoldResult(
                fold=proven.fold,
                seed=proven.manifest.seed,
                knows_until=proven.manifest.knows_until,
                metrics=proven.manifest.metrics,
            )
            for proven in policies
        ),
        blocks=blocks,
        paths=paths,
        caveats=caveats_of(task.scheme, policies, inputs.parents_know_until),
    )


def _refit(project: Project, retraining: Retraining, universe: Universe) -> Refit:
    """How each fold of a line that observes forecasts gets a forecaster of its own."""
    from toto_ops.pipeline.forecasting_folds import refit_on

    return refit_on(project, retraining, universe)


def _announced(folds: int, seeds: int) -> str:
    from toto_ops.evaluation.reports.figures import counted

    return f"{counted(folds, 'fold')}, each trained with {counted(seeds, 'seed')}: {counted(folds * seeds, 'training')}"
