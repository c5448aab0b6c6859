"""Where retrainings are killed: the planted universe in a home of its own, set up anew for every kill.

All kills use the same paths, one after the other: MLflow stores absolute ones, and a home that holds a champion is
then a plain copy.
"""

import os
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

import yaml

from tests.pipeline.planted import START, write_config, write_market
from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.pipeline.project import Project

UNIVERSE = "planted"

LONGER_TRAINING = {"batch": 16, "epochs": 16, "patience": 16}
"""Small batches and no early end: a training then takes longer than the next command needs to begin."""


class Scenario(StrEnum):
    """What serves when the retraining begins."""

    FIRST = "first"
    """Nothing: the home is empty, databases and all."""
    SUCCESSOR = "successor"
    """A champion, which the retraining is about to replace on longer bars."""


DAYS = {Scenario.FIRST: 1300, Scenario.SUCCESSOR: 1600}


@dataclass(frozen=True)
class PlantedHome:
    """A market, a configuration and a home below one folder."""

    folder: Path

    @classmethod
    def prepare(cls, folder: Path) -> "PlantedHome":
        """Write the configuration; the home itself comes with `set_up`."""
        planted = cls(folder)
        config = write_config(folder / "config", planted._bars)
        path = config / "training.yaml"
        training = yaml.safe_load(path.read_text())
        training["lines"]["bc"] |= LONGER_TRAINING
        path.write_text(yaml.safe_dump(training))
        return planted

    @property
    def root(self) -> Path:
        """`TOTO_HOME`."""
        return self.folder / "home"

    @property
    def _bars(self) -> Path:
        return self.folder / "bars"

    @property
    def _with_champion(self) -> Path:
        return self.folder / "home-with-champion"

    def set_up(self, scenario: Scenario) -> None:
        """Begin anew, with the bars and the home this scenario starts from."""
        shutil.rmtree(self.root, ignore_errors=True)
        write_market(self._bars, DAYS[scenario])
        if scenario is Scenario.SUCCESSOR:
            shutil.copytree(self._with_champion, self.root)

    def keep_champion(self) -> None:
        """Keep the present home as what `Scenario.SUCCESSOR` starts from."""
        shutil.copytree(self.root, self._with_champion)

    def put_aside(self, name: str) -> Path:
        """Keep the present home for whoever looks into a fault."""
        return Path(shutil.copytree(self.root, self.folder / name, symlinks=True))

    def as_of(self, scenario: Scenario) -> datetime:
        """The close of the newest bar."""
        return START + timedelta(days=DAYS[scenario])

    def project(self) -> Project:
        """The project as it is now; nothing read earlier is remembered."""
        return Project(Settings(home=str(self.root), config_dir=self.folder / "config", env="local"))

    def environment(self) -> dict[str, str]:
        """Of the processes that work in this home."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TOTO_", "DAGSTER_"))}
        return inherited | {
            "TOTO_HOME": str(self.root),
            "TOTO_CONFIG_DIR": str(self.folder / "config"),
            "PYTHONPATH": str(PROJECT_ROOT),
            "PYTHONUNBUFFERED": "1",
        }
