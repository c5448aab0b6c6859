"""The Dagster instance the command line and the UI share."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import dagster as dg

from assets.partitions import reconcile_partitions
from assets.run_processes import LAUNCHER_VARIABLE, launcher_identity
from sensors.unfinished_runs import settle_dead_runs
from toto_ops.configuration import Settings
from toto_ops.errors import SourceError
from toto_ops.market.sources import open_source
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.storage.atomic import replace_file
from toto_ops.universes import load_universes

LOGGER = logging.getLogger(__name__)

INSTANCE_FILE = "dagster.yaml"


def prepare_instance(settings: Settings) -> dg.DagsterInstance:
    """Install `deploy/dagster.yaml` into DAGSTER_HOME, export the environment steps inherit, and open the instance."""
    home = settings.dagster_home
    # As a whole: a run or daemon that starts meanwhile would take half a file for an instance without any limits.
    replace_file(home / INSTANCE_FILE, Path(__file__).with_name(INSTANCE_FILE).read_bytes())
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["TOTO_HOME"] = settings.home
    os.environ["TOTO_ENV"] = settings.env
    os.environ["TOTO_CONFIG_DIR"] = str(settings.config_dir)
    os.environ["OMP_NUM_THREADS"] = str(settings.torch_threads)
    os.environ[LAUNCHER_VARIABLE] = launcher_identity()
    return dg.DagsterInstance.get()


def existing_instance(settings: Settings) -> dg.DagsterInstance | None:
    """The instance of a home as it is, for whoever only looks; None where Dagster has never run."""
    if not (settings.dagster_home / INSTANCE_FILE).exists():
        return None
    return dg.DagsterInstance.from_config(str(settings.dagster_home))


def prepare_for_ui(settings: Settings) -> None:
    """Put to rest what died since the UI was last open, and make every symbol a partition, so that it can launch."""
    instance = prepare_instance(settings)
    for run_id in settle_dead_runs(instance):
        LOGGER.warning("run %s had lost its process and was reported failed", run_id)
    reconcile_all(instance, settings)


def reconcile_all(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Make every symbol of every universe a partition, so that the UI can launch before anything was retrained."""
    for universe in load_universes(settings).universes.values():
        try:
            reconcile_partitions(instance, universe, universe_symbols(universe, open_source(universe)))
        except SourceError as error:  # known symbols stay as they are, and the other universes are not concerned
            LOGGER.warning("symbols of %s could not be listed: %s", universe.name, error)
