"""`forecasting.yaml`: which backbone, how it is fitted, what is foretold and embedded."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from toto_ops.configuration import StrictModel, VersionedModel, read_config

BackboneKind = Literal["toto", "chronos", "market", "statistical"]

RELEASED = {
    "Datadog/Toto-2.0-4m": date(2026, 5, 14),
    "Datadog/Toto-2.0-22m": date(2026, 5, 14),
    "Datadog/Toto-2.0-313m": date(2026, 5, 14),
    "Datadog/Toto-2.0-1B": date(2026, 5, 14),
    "Datadog/Toto-2.0-2.5B": date(2026, 5, 14),
    "amazon/chronos-bolt-tiny": date(2024, 11, 26),
    "amazon/chronos-bolt-mini": date(2024, 11, 26),
    "amazon/chronos-bolt-small": date(2024, 11, 26),
    "amazon/chronos-bolt-base": date(2024, 11, 26),
    "amazon/chronos-2": date(2025, 10, 20),
}
"""Days on which weights were published on the model hub."""


class ExternalConfig(StrictModel):
    """Weights made elsewhere: where they are, and until when bars may have been in their training."""

    weights: str = Field(min_length=1, description="folder, or id on the model hub")
    context: int = Field(ge=1, description="bars a state or a forecast looks back on at most")
    download: bool = Field(default=False, description="fetch a hub id that is not in the local cache; otherwise offline")
    released: date | None = Field(default=None, description="day the weights were published; those of `RELEASED` are known")

    @model_validator(mode="after")
    def _release_is_known(self) -> ExternalConfig:
        if self.released is None and self.weights not in RELEASED:
            raise ValueError(
                f"nobody knows when {self.weights!r} was published: set `released` to that day, because bars up to it may "
                "have been in its training"
            )
        return self

    @property
    def latest_release(self) -> date:
        """The day by whose end these weights were published: as configured or as known, whichever is later."""
        return max(filter(None, (self.released, RELEASED.get(self.weights))))


class TotoConfig(ExternalConfig):
    """Datadog Toto 2.0 through the package `toto-2` (extra `toto`)."""

    weights: str = Field(default="Datadog/Toto-2.0-4m", min_length=1, description="folder, or id on the model hub")
    context: int = Field(default=512, ge=64, multiple_of=32, description="bars one pass looks back on at most")


class ChronosConfig(ExternalConfig):
    """Chronos-2 or Chronos-Bolt through `chronos-forecasting` (extra `chronos`)."""

    weights: str = Field(default="amazon/chronos-bolt-tiny", min_length=1, description="folder, or id on the model hub")
    context: int = Field(default=128, ge=33, description="bars in the window of each bar")


class MarketConfig(StrictModel):
    """The project's own causal transformer, pretrained on the bars of the universe."""

    width: int = Field(default=64, ge=8, multiple_of=2, description="d of its states")
    layers: int = Field(default=3, ge=1)
    heads: int = Field(default=4, ge=1)
    window: int = Field(default=48, ge=2, description="bars each layer attends to, the present one included")
    patch: int = Field(default=16, ge=1, description="bars seen through one overlapping patch; its stride is 1")
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> MarketConfig:
        if self.width % (2 * self.heads):
            raise ValueError(f"width ({self.width}) must be a multiple of twice the heads ({self.heads}): positions turn pairs")
        return self


class StatisticalConfig(StrictModel):
    """No weights at all: seasonal naive, drift and EWMA volatility."""

    season: int = Field(default=5, ge=1, description="bars after which a pattern would repeat; not given: by the calendar")
    span: int = Field(default=20, ge=2, description="of the exponentially weighted moments, in bars")
    look_back: int = Field(default=60, ge=33, description="bars of the drift and of the errors whose quantiles are taken")


class AugmentationConfig(StrictModel):
    """Mixed augmentation of training windows: each draws one or none, with these chances."""

    jitter: float = Field(default=0.2, ge=0, le=1, description="noise on the inputs, a twentieth of their scale")
    mask: float = Field(default=0.2, ge=0, le=1, description="a stretch of inputs hidden")
    mirror: float = Field(default=0.1, ge=0, le=1, description="rises become falls, targets likewise")
    mixup: float = Field(default=0.2, ge=0, le=1, description="two windows and their targets mixed")

    @model_validator(mode="after")
    def _chances(self) -> AugmentationConfig:
        if self.jitter + self.mask + self.mirror + self.mixup > 1:
            raise ValueError("the chances of jitter, mask, mirror and mixup exceed 1 together")
        return self


class PretrainingConfig(StrictModel):
    """How backbone and head are fitted."""

    hidden: int = Field(default=128, ge=8, description="hidden layer of the quantile head")
    window: int = Field(default=256, ge=64, description="bars whose forecasts count in one training window")
    stride: int = Field(default=64, ge=1, description="bars between the beginnings of two windows")
    epochs: int = Field(default=20, ge=1)
    patience: int = Field(default=4, ge=1, description="epochs without a better validation loss")
    batch: int = Field(default=8, ge=1, description="windows in one step")
    learning_rate: float = Field(default=1e-3, gt=0, description="falls to 0 along a half cosine")
    weight_decay: float = Field(default=0.2, ge=0, description="of matrices; biases do not decay")
    gradient_clip: float = Field(default=1.0, gt=0)
    seed: int = Field(default=0, ge=0)
    augmentation: AugmentationConfig = AugmentationConfig()


class ReuseConfig(StrictModel):
    """Weights of earlier models to begin from. Off: a forecaster is then a function of bars and configuration alone."""

    enabled: bool = False
    folder: Path | None = Field(default=None, description="of forecasters and plain state_dict files, besides the registry")
    unfreeze: bool = Field(default=False, description="train the backbone that was taken over too; the head always is")
    learning_rate_share: float = Field(default=0.1, gt=0, le=1, description="of the learning rate, for that backbone")


class SpecialistConfig(StrictModel):
    """Low-rank adapters of the head, one for each symbol."""

    rank: int = Field(default=4, ge=1)
    steps: int = Field(default=50, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    batch: int = Field(default=128, ge=1, description="bars of each symbol in one step")
    margin: float = Field(default=0.005, ge=0, description="share by which a specialist must beat the generic one on validation")


class EmbeddingConfig(StrictModel):
    """The 128 numbers of each bar and symbol."""

    width: int = Field(default=128, ge=8)
    heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    unknown_share: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="of symbols hidden while it trains, so that new ones are nothing new",
    )
    epochs: int = Field(default=20, ge=1)
    patience: int = Field(default=4, ge=1)
    batch: int = Field(default=64, ge=1, description="rows of the panel in one step")
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> EmbeddingConfig:
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        return self


class ForecastingConfig(VersionedModel):
    """`forecasting.yaml`.

    Attributes
    ----------
    preference
        Backbones in the order they are tried; the first that can be used is, and why others were not is written down.
    horizon
        Bars a forecaster looks ahead.
    horizons
        Those whose forecasts policies observe and that are judged.
    validation
        Share of the forecaster's half of train that it is stopped and chosen by.
    """

    preference: tuple[BackboneKind, ...] = Field(default=("market", "statistical"), min_length=1)
    toto: TotoConfig = TotoConfig()
    chronos: ChronosConfig = ChronosConfig()
    market: MarketConfig = MarketConfig()
    statistical: StatisticalConfig = StatisticalConfig()
    horizon: int = Field(default=20, ge=1, le=250)
    horizons: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(1, 5, 20), min_length=1)
    validation: float = Field(default=0.25, gt=0, lt=1)
    pretraining: PretrainingConfig = PretrainingConfig()
    reuse: ReuseConfig = ReuseConfig()
    specialists: SpecialistConfig = SpecialistConfig()
    embeddings: EmbeddingConfig = EmbeddingConfig()

    @field_validator("preference")
    @classmethod
    def _each_once(cls, preference: tuple[BackboneKind, ...]) -> tuple[BackboneKind, ...]:
        if len(set(preference)) != len(preference):
            raise ValueError("a backbone is named twice")
        return preference

    @model_validator(mode="after")
    def _horizons_within(self) -> ForecastingConfig:
        if list(self.horizons) != sorted(set(self.horizons)) or self.horizons[-1] > self.horizon:
            raise ValueError(f"horizons {self.horizons} must increase and end by horizon ({self.horizon})")
        return self


def load_forecasting(config_dir: Path) -> ForecastingConfig:
    """Read `forecasting.yaml`.

    Raises
    ------
    ConfigError
        Naming the file, the offending keys and the remedy.
    """
    return read_config(config_dir / "forecasting.yaml", ForecastingConfig)
