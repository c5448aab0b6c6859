"""A project of its own for every test, with Dagster in process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from assets.partitions import range_tags, reconcile_partitions
from assets.resources import TotoOps
from assets.run_tags import UNIVERSE_TAG
from deploy.definitions import build_defs
from toto_ops.configuration import Settings
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import assess


@dataclass(frozen=True)
class Workbench:
    """One project with one Dagster instance, and the way to run jobs in it."""

    project: Project
    instance: dg.DagsterInstance
    definitions: dg.Definitions

    def run(self, universe_name: str, job: str = "retrain", **tags: str) -> dg.ExecuteInProcessResult:
        """Run a job over all symbols, as schedules and the command line do."""
        universe = self.project.universe(universe_name)
        reconcile_partitions(self.instance, universe, assess(self.project, universe).symbols)
        all_tags = {**range_tags(self.instance, universe), UNIVERSE_TAG: universe_name, **tags}
        resolved = self.definitions.resolve_job_def(f"{universe_name}_{job}")
        return resolved.execute_in_process(instance=self.instance, tags=all_tags, raise_on_error=False)


@pytest.fixture
def workbench(tmp_path: Path) -> Callable[..., Workbench]:
    """Make a workbench over a home and a configuration folder; the shipped configuration by default."""

    def make(config_dir: Path | None = None, home: Path | None = None) -> Workbench:
        settings = Settings(
            home=str(home or tmp_path / "home"), env="local", **({"config_dir": config_dir} if config_dir else {})
        )  # type: ignore[arg-type]
        toto = TotoOps(home=settings.home, config_dir=str(settings.config_dir), env="local")
        definitions = build_defs({"toto": toto}, executor=dg.in_process_executor, settings=settings)
        return Workbench(Project(settings), dg.DagsterInstance.ephemeral(), definitions)

    return make
