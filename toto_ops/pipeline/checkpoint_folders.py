"""Where trainings keep their checkpoints and curves."""

from __future__ import annotations

from pathlib import Path

from toto_ops.pipeline.project import Project
from toto_ops.storage.retraining import Retraining


def checkpoint_folder(project: Project, retraining: Retraining, name: str, inputs_hash: str) -> Path:
    """Where the trainings of a line, or of a forecaster, from these inputs keep their checkpoints; made if it is not there."""
    root = project.settings.local_root / "checkpoints"
    work = root / retraining.store.namespace / retraining.universe / name / inputs_hash
    work.mkdir(parents=True, exist_ok=True)
    return work
