"""One market of the controls through the whole pipeline: ingest, features, training, evaluation and, what passes, promotion."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from toto_ops.evaluation.controls.outcome import ControlOutcome
from toto_ops.pipeline.control_project import ControlProject, ControlTask, make_project
from toto_ops.pipeline.evaluation_steps import Judged, evaluate
from toto_ops.pipeline.feature_steps import make_features, make_panel, panel_of
from toto_ops.pipeline.market_steps import ingest
from toto_ops.pipeline.offline_steps import make_datasets, make_decisions
from toto_ops.pipeline.policy_steps import train_line
from toto_ops.pipeline.registry_steps import register_challenger, settle_champion

RETRAIN_ID = "control"


def run_control(task: ControlTask, work: Path, reports: Path) -> ControlOutcome:
    """Make a market, retrain on it, and say what became of it.

    Parameters
    ----------
    work
        Folder of one worker. What the market left there is removed in the end; its database is kept for the next one.
    reports
        Where evidence and report are kept of what was not refused: of promotions and quarantines people want to see more.
    """
    started = time.monotonic()
    control = make_project(task, work)
    judged = _judged(control, task.line)
    evidence = judged.evidence
    promoted = evidence.verdict != "refused" and _settled(control)
    if evidence.verdict != "refused":
        shutil.copytree(judged.report.parent, reports / task.name, dirs_exist_ok=True)
    planted = control.planted
    outcome = ControlOutcome(
        kind=task.kind,
        number=task.number,
        made_of=control.made_of,
        universe=task.universe,
        test_bars=evidence.test_bars,
        verdict=evidence.verdict,
        promoted=promoted,
        sharpe=evidence.challenger.performance.sharpe.value,
        oracle_sharpe=_oracle_sharpe(control, judged),
        expected_oracle_sharpe=planted.optimum.sharpe(control.universe) if planted else None,
        criteria=evidence.criteria,
        seconds=round(time.monotonic() - started, 3),
    )
    _clear(control, work / task.name)
    return outcome


def _judged(control: ControlProject, line_name: str) -> Judged:
    project, universe = control.project, control.universe
    retraining = project.retraining(universe, RETRAIN_ID)
    ingest(project, retraining, universe, control.symbols, control.as_of)
    make_features(project, retraining, universe)
    make_panel(project, retraining, universe)
    make_decisions(project, retraining, universe)
    make_datasets(retraining)
    train_line(project, retraining, universe, line_name)
    return evaluate(project, retraining, universe)


def _settled(control: ControlProject) -> bool:
    """Whether the registry makes it champion, by the steps every retraining ends with."""
    retraining = control.project.retraining(control.universe, RETRAIN_ID)
    register_challenger(control.project, retraining, control.universe)
    return settle_champion(control.project, retraining, control.universe, reason="it is a control").promoted


def _clear(control: ControlProject, place: Path) -> None:
    """Remove bars, artefacts and checkpoints of one market: hundreds of them would fill a disk."""
    home, namespace = control.project.settings.local_root, control.project.namespace
    for folder in (place, home / namespace, home / "checkpoints" / namespace):
        shutil.rmtree(folder)


def _oracle_sharpe(control: ControlProject, judged: Judged) -> float | None:
    """Of who knows the trends, where they were planted; else of perfect foresight, as the evidence has it."""
    if control.planted is None:
        plausibility = judged.evidence.plausibility
        return plausibility.oracle_sharpe if plausibility else None
    panel, _ = panel_of(control.project.retraining(control.universe, RETRAIN_ID))
    test = judged.evidence.splits.test
    return control.planted.traded_sharpe(panel.between(test.after, test.until), control.universe)
