"""The strategy file: how the analysts form opinions, what each vote weighs, and when the vote becomes an action.

`deploy/config/strategy.yaml` is the only home of these numbers: no field has a default, so that none is in force
unseen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, Field, field_validator, model_validator

from toto_ops.configuration import StrictModel, VersionedModel, read_config
from toto_ops.universes import Fraction

STRATEGY_FILE = "strategy.yaml"

Gain = Annotated[float, Field(ge=0.0, le=20.0)]


class AnalystWeights(StrictModel):
    """Votes of the analysts, relative to each other."""

    technical: float = Field(ge=0)
    risk: float = Field(ge=0)
    news: float = Field(ge=0)
    rl: float = Field(ge=0, description="vote of a trained policy; must be 0")

    @field_validator("rl")
    @classmethod
    def _no_pupil(cls, weight: float) -> float:
        if weight != 0:
            raise ValueError("must be 0: this ensemble teaches the policies, and the teacher never imitates its pupil")
        return weight

    @model_validator(mode="after")
    def _someone_votes(self) -> AnalystWeights:
        if self.technical + self.risk + self.news == 0:
            raise ValueError("at least one of technical, risk and news needs a weight above 0")
        return self


class TechnicalConfig(StrictModel):
    """Trend following on the price alone."""

    momentum_gain: Gain = Field(description="per 20-bar log return over Bollinger width")
    macd_gain: Gain = Field(description="per MACD signal line over Bollinger width")
    rsi_gain: Gain = Field(description="per RSI above 0.5")
    volume_influence: Fraction = Field(description="share of the confidence that volume decides")


class ExposureLimits(StrictModel):
    """Largest position per volatility regime, as a share of `w_max`, and the volatility it is meant for."""

    low: Fraction
    normal: Fraction
    high: Fraction
    target_width: float = Field(gt=0, description="Bollinger width above which positions shrink in proportion")


class RiskConfig(StrictModel):
    """How volatility, falling prices and borrowed money speak against holding."""

    calm_bonus: Gain = Field(description="in the low-volatility regime")
    stress_penalty: Gain = Field(description="in the high-volatility regime")
    leverage_penalty: Gain = Field(description="per unit of gross exposure above `comfortable_leverage`")
    comfortable_leverage: float = Field(ge=0)
    fall_penalty: Gain = Field(description="per 5-bar loss over Bollinger width")
    exposure: ExposureLimits


class NewsConfig(StrictModel):
    """How published sentiment becomes an opinion."""

    news_share: Fraction = Field(description="weight of the symbol's own news; the rest is macro")
    gain: Gain


class DecisionConfig(StrictModel):
    """When the vote, in [-1, 1], becomes an action."""

    buy_above: float = Field(ge=0, lt=1)
    sell_below: float = Field(gt=-1, le=0)
    full_size_at: float = Field(gt=0, le=1, description="absolute vote that asks for the largest position")
    entry_step: Fraction = Field(gt=0, description="share of `w_max` bought at most in one bar")
    resize_band: Fraction = Field(gt=0, description="a position this close to the wanted size is held")
    min_days_between_entries: float = Field(ge=0, lt=60, description="calendar days since the last trade; exits never wait")
    temperature: float = Field(gt=0, description="of the action probabilities: smaller is more certain")

    @model_validator(mode="after")
    def _thresholds_leave_room(self) -> DecisionConfig:
        if self.full_size_at <= max(self.buy_above, -self.sell_below):
            raise ValueError("full_size_at must lie above buy_above and -sell_below")
        if self.entry_step <= self.resize_band:
            raise ValueError("entry_step must exceed resize_band: a first step within the band is never taken")
        return self


class StrategyConfig(VersionedModel):
    """The whole strategy file."""

    chosen_until: AwareDatetime = Field(description="latest close that influenced the choice of these numbers")
    weights: AnalystWeights
    technical: TechnicalConfig
    risk: RiskConfig
    news: NewsConfig
    decision: DecisionConfig


def load_strategy(config_dir: Path) -> StrategyConfig:
    """Read `strategy.yaml` of a configuration folder.

    Raises
    ------
    ConfigError
        If it is absent or does not fit; the error names the file and every offending key.
    """
    return read_config(config_dir / STRATEGY_FILE, StrategyConfig)
