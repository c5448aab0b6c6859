"""A line of models: one value with a fixed contract. Adding a line touches its own modules and `lines.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Generic, Literal, TypeVar

from pydantic import Field, field_validator

from toto_ops.configuration import StrictModel

if TYPE_CHECKING:  # The asset graph is built from the list of lines: that must not wait for torch.
    from toto_ops.features.panel import Panel
    from toto_ops.learning.splits import Splits
    from toto_ops.policies.contract import Policy, PolicyManifest
    from toto_ops.simulation.rules import TradingRules
    from toto_ops.training.ledger import TrialLedger
    from toto_ops.training.offline_dataset import OfflineDataset


class LineConfig(StrictModel):
    """What the section of every line in `deploy/config/training.yaml` says; each line adds its own keys."""

    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0, 1, 2), min_length=1, description="one trial each")

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("a seed is given twice: the same training would count as two trials")
        return seeds


ConfigT = TypeVar("ConfigT", bound=LineConfig)


@dataclass(frozen=True)
class TrainingInputs:
    """All a trainer may read. The panel ends with the validation span: test bars are not in here.

    Attributes
    ----------
    panel
        Train and validation rows only; with forecasts and embeddings for a line that observes them.
    datasets
        Offline dataset per symbol, train and validation decisions only.
    splits
        The universe's spans; `splits.train` and `splits.validation` are for trainers. For a line that observes forecasts
        `train` is what the forecaster was not fitted on (`toto_ops.training.observed_forecasts`).
    parents_know_until
        Latest close that influenced what the line learns from, such as its teacher or the forecaster it observes; None where
        nothing was fitted.
    parents_possibly_know_until
        Release of weights from elsewhere among them; None where there are none. It goes into the manifest, as does
    forecaster
        Hash of the forecaster it observes; None where it observes none.
    inputs_hash
        Hash of everything that determines the weights; keys checkpoints and trials.
    """

    universe: str
    panel: Panel
    datasets: Mapping[str, OfflineDataset]
    splits: Splits
    rules: TradingRules
    ledger: TrialLedger
    data_hash: str
    inputs_hash: str
    code_version: str
    parents_know_until: datetime | None = None
    parents_possibly_know_until: datetime | None = None
    forecaster: str | None = None


@dataclass(frozen=True)
class TrainedPolicy:
    """What a trainer returns."""

    policy: Policy
    manifest: PolicyManifest


@dataclass(frozen=True)
class Line(Generic[ConfigT]):
    """One line of models.

    Attributes
    ----------
    name
        Lower-case, part of asset and registered model names.
    config
        Model of its section in `deploy/config/training.yaml`.
    train
        Trains, chooses on validation, writes every trial to the ledger, keeps `best` and `last` checkpoints in the
        given folder and resumes from them.
    upstream
        Assets it needs besides `panel`: `offline_dataset` where it learns from the analysts, `embeddings` where its policies
        observe forecasts and embeddings.
    accuracy
        Which accuracy its gate is about.
    """

    name: str
    description: str
    config: type[ConfigT]
    train: Callable[[TrainingInputs, ConfigT, Path], TrainedPolicy]
    upstream: tuple[str, ...] = ()
    accuracy: Literal["imitation", "directional"] = "directional"
    code_version: str = "1"

    @property
    def observes_forecasts(self) -> bool:
        """Whether its policies observe forecasts and embeddings."""
        return "embeddings" in self.upstream
