"""One project: settings, configuration and store, opened together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from toto_ops.configuration import Settings
from toto_ops.market.calendars import rows_per_bar, season_bars
from toto_ops.storage.hashing import value_hash
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import LIVE, ArtefactStore
from toto_ops.universes import Universe, UniverseFile, load_universes

if TYPE_CHECKING:
    from toto_ops.analysts.strategy import StrategyConfig
    from toto_ops.evaluation.judgement.gates import GateConfig
    from toto_ops.forecasting.config import ForecastingConfig
    from toto_ops.learning.splits import SplitConfig
    from toto_ops.registry.models import ModelRegistry
    from toto_ops.training.training_config import TrainingConfig


@dataclass(frozen=True)
class Project:
    """Settings plus everything read through them; cheap to make, files are read on first use.

    Parameters
    ----------
    settings
        Where configuration and artefacts are.
    namespace
        `live`, or another name for replays, controls and tests: artefacts, experiments, model names and ledger of
        different namespaces never meet.
    """

    settings: Settings
    namespace: str = LIVE

    @cached_property
    def store(self) -> ArtefactStore:
        return ArtefactStore(self.settings.root, self.namespace)

    @cached_property
    def universes(self) -> UniverseFile:
        return load_universes(self.settings)

    def universe(self, name: str) -> Universe:
        return self.universes.universe(name)

    def retraining(self, universe: Universe, retrain_id: str) -> Retraining:
        return Retraining(self.store, universe.name, retrain_id)

    @cached_property
    def strategy(self) -> StrategyConfig:
        from toto_ops.analysts.strategy import load_strategy

        return load_strategy(self.settings.config_dir)

    @cached_property
    def training(self) -> TrainingConfig:
        from toto_ops.training.training_config import load_training

        return load_training(self.settings.config_dir)

    @cached_property
    def forecasting(self) -> ForecastingConfig:
        from toto_ops.forecasting.config import load_forecasting

        return load_forecasting(self.settings.config_dir)

    def forecasting_of(self, universe: Universe) -> ForecastingConfig:
        """How a universe is foretold: the season of its statistics is that of its calendar unless one is configured."""
        config = self.forecasting
        if "season" in config.statistical.model_fields_set:
            return config
        return config.model_copy(update={"statistical": config.statistical.model_copy(update={"season": season_bars(universe)})})

    def split_settings(self, universe: Universe) -> SplitConfig:
        """How the spans of a universe are cut, in rows of its panel."""
        return self.training.splits.on_grid(rows_per_bar(universe))

    def gates(self, universe: Universe) -> GateConfig:
        """The gates with this universe's overrides applied, in rows of its panel."""
        from toto_ops.evaluation.judgement.gates import load_gates

        return load_gates(self.settings, universe)

    @cached_property
    def registry(self) -> ModelRegistry:
        from toto_ops.registry.models import ModelRegistry

        return ModelRegistry(self.settings.tracking_uri, self.namespace)

    def config_hash(self, universe: Universe) -> str:
        """Hash of every setting that influences what a retraining of this universe makes."""
        return value_hash(
            {
                "universe": universe,
                "strategy": self.strategy,
                "training": self.training,
                "forecasting": self.forecasting,
                "gates": self.gates(universe),
            }
        )
