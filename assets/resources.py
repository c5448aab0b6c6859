"""The one resource: the project (configuration, store, registry), and the retraining a run belongs to."""

import os
from functools import lru_cache
from pathlib import Path

import dagster as dg

from assets.run_tags import retrain_id_of
from toto_ops.configuration import Settings
from toto_ops.pipeline.project import Project
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import LIVE
from toto_ops.universes import Universe


class TotoOps(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the project for a step. Everything else is decided by configuration files and the environment."""

    home: str | None = None
    """Root of everything stored; default `TOTO_HOME`, else `.toto/` in the project."""
    config_dir: str | None = None
    """Folder of universes.yaml and its neighbours; default `deploy/config`."""
    env: str | None = None
    namespace: str = LIVE

    def project(self) -> Project:
        return _project(self.home, self.config_dir, self.env, self.namespace, os.environ.get("TOTO_HOME"))

    def project_as_configured_now(self) -> Project:
        """The project with its files read anew, for whoever lives longer than one run: schedules and sensors."""
        return Project(self.project().settings, self.namespace)

    def retraining(self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, universe: Universe) -> Retraining:
        """The retraining this run belongs to."""
        return self.project().retraining(universe, retrain_id_of(context.run))


@lru_cache(maxsize=8)
def _project(home: str | None, config_dir: str | None, env: str | None, namespace: str, _environment_home: str | None) -> Project:
    given = {"home": home, "config_dir": Path(config_dir) if config_dir else None, "env": env}
    return Project(Settings(**{key: value for key, value in given.items() if value is not None}), namespace)
