"""The one resource: the project (configuration, store, registry), and the retraining a run belongs to."""

import os
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import dagster as dg

from toto_ops.configuration import Settings
from toto_ops.pipeline.project import Project
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import LIVE
from toto_ops.universes import Universe

AS_OF_TAG = "toto/as_of"
UNIVERSE_TAG = "toto/universe"
REASON_TAG = "toto/reason"
NAMESPACE_TAG = "toto/namespace"
BACKFILL_TAG = "dagster/backfill"
SCOPE_TAG = "toto/scope"
SYMBOLS_SCOPE = "symbols"
"""Scope of a run that takes the symbols of its partitions into the served market, and touches no others."""


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


def retrain_id_of(run: dg.DagsterRun) -> str:
    """The retraining a run belongs to: its backfill if it is part of one, else the root run."""
    return run.tags.get(BACKFILL_TAG) or run.root_run_id or run.run_id


def is_symbol_only(context: dg.AssetExecutionContext) -> bool:
    """Whether this run is about the symbols of its partitions alone."""
    return context.run.tags.get(SCOPE_TAG) == SYMBOLS_SCOPE


def as_of_tag(context: dg.AssetExecutionContext) -> datetime | None:
    """The moment the launcher asked for, if it asked for one."""
    stamp = context.run.tags.get(AS_OF_TAG)
    return datetime.fromisoformat(stamp) if stamp else None


@lru_cache(maxsize=8)
def _project(home: str | None, config_dir: str | None, env: str | None, namespace: str, _environment_home: str | None) -> Project:
    given = {"home": home, "config_dir": Path(config_dir) if config_dir else None, "env": env}
    return Project(Settings(**{key: value for key, value in given.items() if value is not None}), namespace)
