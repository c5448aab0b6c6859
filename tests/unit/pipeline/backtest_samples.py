"""A universe `planted` whose market is served, and whose files lie in a folder of raw bars too."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.pipeline.planted import write_config, write_market
from toto_ops.configuration import Settings
from toto_ops.pipeline.backtest_market import process, reading_from
from toto_ops.pipeline.backtest_request import BacktestRequest
from toto_ops.pipeline.project import Project
from toto_ops.universes import Universe

DAYS = 760
CHOSEN_UNTIL = datetime(2019, 2, 12, tzinfo=UTC)
"""What the shipped strategy knows."""

FIRST_DAY = "2019-02-12"
"""The first day it does not know: the bar before ended at midnight, and so belongs to the day before."""


@dataclass(frozen=True)
class Sample:
    """One project in a folder of its own."""

    folder: Path

    @property
    def raw(self) -> Path:
        return self.folder / "bars"

    @property
    def processed(self) -> Path:
        return self.folder / "processed"

    @property
    def strategy(self) -> Path:
        return self.folder / "config" / "strategy.yaml"

    @property
    def settings(self) -> Settings:
        return Settings(home=str(self.folder / "home"), config_dir=self.folder / "config", env="local")

    @property
    def project(self) -> Project:
        return Project(self.settings)

    @property
    def universe(self) -> Universe:
        return self.project.universe("planted")

    def request(self, **asked: object) -> BacktestRequest:
        """A backtest of the strategy file on the served market, unless something else is asked."""
        return BacktestRequest.model_validate({"universe": "planted", "strategy_path": self.strategy, **asked})

    def copy(self, folder: Path) -> "Sample":
        """The same in another folder, to be changed there."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        write_config(folder / "config", folder / "bars")
        return Sample(folder)


def make_sample(folder: Path) -> Sample:
    """Write bars and configuration and serve the bars."""
    sample = Sample(folder)
    write_market(sample.raw, DAYS)
    write_config(folder / "config", sample.raw)
    process(sample.project, reading_from(sample.universe, sample.raw))
    return sample
