"""Which code made something: the git revision of the checkout and the Dagster run."""

from __future__ import annotations

import shutil
import subprocess
from functools import lru_cache

from toto_ops import __version__
from toto_ops.configuration import PROJECT_ROOT
from toto_ops.storage.retraining import Retraining


def provenance(retraining: Retraining) -> dict[str, str]:
    """Tags for MLflow runs and model versions."""
    return {"toto.git_revision": git_revision(), "toto.release": __version__, "toto.dagster_run": retraining.retrain_id}


@lru_cache(maxsize=1)
def git_revision() -> str:
    """Revision of the checkout, marked when it has uncommitted changes; says so where there is no checkout."""
    git = shutil.which("git")
    if git is None or not (PROJECT_ROOT / ".git").exists():
        return "not a git checkout"
    answer = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() if answer.returncode == 0 else f"unknown ({answer.stderr.strip()[:100]})"
