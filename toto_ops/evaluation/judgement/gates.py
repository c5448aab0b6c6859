"""The gates: what is required of a challenger, and from where on a result is too good to be true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from toto_ops.configuration import Settings, StrictModel, VersionedModel, overlay, parse_config, read_yaml
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig
from toto_ops.market.calendars import in_rows, rows_per_bar
from toto_ops.universes import Fraction, Universe


class ImitationGates(StrictModel):
    """For lines that imitate a teacher."""

    minimum_accuracy: Fraction = 0.70
    margin_over_majority: Fraction = Field(default=0.10, description="above always answering with the most frequent action")
    minimum_macro_f1: Fraction = 0.60
    maximum_gap: Fraction = Field(default=0.10, description="accuracy on train minus accuracy on validation")


class ChampionGates(StrictModel):
    """Non-inferiority to the champion, by paired block bootstrap."""

    minimum_bars: int = Field(default=60, ge=2, description="with fewer unseen bars the absolute gates decide alone")
    sharpe_margin: float = Field(default=0.5, ge=0, description="how much worse the annualised Sharpe ratio may be")
    level: float = Field(default=0.80, gt=0, lt=1, description="two-sided; the lower bound must exceed minus the margin")


class BenchmarkGates(StrictModel):
    """Better than equal weight at the same volatility, by paired block bootstrap."""

    margin: float = Field(default=0.0, ge=0, description="mean log return a year above the benchmark's")
    level: float = Field(default=0.90, gt=0, lt=1, description="two-sided; the lower bound must exceed the margin")


class LuckGates(StrictModel):
    """How likely it is that the best of many tries merely looks good."""

    minimum_deflated_sharpe: Fraction = Field(
        default=0.95, description="probability that the Sharpe ratio exceeds what the best of as many trials shows by luck"
    )
    minimum_validation_confidence: Fraction = Field(
        default=0.95, description="that the true Sharpe ratio is above 0, by the validation span, which is evidence of its own"
    )
    maximum_overfitting_probability: Fraction = Field(
        default=0.5, description="that the trial best in one half of the validation bars is below the median in the other"
    )


class PlausibilityAlarm(StrictModel):
    """From where on a result is taken for a leak of the future and is quarantined."""

    maximum_oracle_share: float = Field(
        default=0.5, gt=0, description="Sharpe ratio over that of perfect foresight under the same costs, lag and limits"
    )
    maximum_excess_sharpe: float = Field(default=8.0, gt=0, description="Sharpe ratio above that of equal weight")


class Aim(StrictModel):
    """A range that a figure should lie in; either end may be open."""

    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Aim:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"ends ({self.high}) below where it begins ({self.low})")
        return self


class Targets(StrictModel):
    """What a good trading policy looks like: shown in every report, and gated by nobody."""

    win_rate: Aim = Aim(low=0.40, high=0.50)
    profit_factor: Aim = Aim(low=1.2, high=1.8)
    max_drawdown: Aim = Aim(high=0.25)
    sharpe: Aim = Aim(low=1.0)


class GateConfig(VersionedModel):
    """`gates.yaml`, with the overrides of one universe."""

    schema_version: int = 2
    minimum_test_bars: int = Field(default=60, ge=2)
    minimum_held_bars: int = Field(
        default=30,
        ge=1,
        description="bars with a position, in test and in validation: a few lucky ones look sure to every figure",
    )
    minimum_sharpe: float = 1.0
    minimum_return: float = 0.05
    maximum_drawdown: Fraction = Field(default=0.20, description="with the circuit breaker off")
    luck: LuckGates = LuckGates()
    benchmark: BenchmarkGates = BenchmarkGates()
    imitation: ImitationGates = ImitationGates()
    champion: ChampionGates = ChampionGates()
    plausibility: PlausibilityAlarm = PlausibilityAlarm()
    targets: Targets = Targets()
    bootstrap: BootstrapConfig = BootstrapConfig()

    @classmethod
    def upgraded(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Version 1 asked its margin of the return over the whole span; the same number is now asked of a year."""
        if {"benchmark", "benchmark_margin"} <= content.keys():
            raise ValueError(
                "`benchmark_margin` is of version 1 and `benchmark` of version 2: say `schema_version: 2` and give the margin "
                "as `benchmark: {margin: ...}` alone"
            )
        kept = {key: value for key, value in content.items() if key != "benchmark_margin"}
        return kept | ({"benchmark": {"margin": content["benchmark_margin"]}} if "benchmark_margin" in content else {})

    def on_grid(self, rows: float) -> GateConfig:
        """These gates for a grid of `rows` rows to a bar of its slowest market: counts of bars become counts of rows.

        Figures are annualised by the rows of a year and tests weigh returns per row, so only these counts depend on the grid.
        """
        champion, bootstrap = self.champion, self.bootstrap
        return self.model_copy(
            update={
                "minimum_test_bars": in_rows(self.minimum_test_bars, rows),
                "minimum_held_bars": in_rows(self.minimum_held_bars, rows),
                "champion": champion.model_copy(update={"minimum_bars": in_rows(champion.minimum_bars, rows)}),
                "bootstrap": bootstrap.model_copy(update={"block_length": bootstrap.block_length * rows}),
            }
        )


def load_gates(settings: Settings, universe: Universe) -> GateConfig:
    """Read `gates.yaml` and lay the universe's own `gates` over it; counts of bars in rows of the universe's panel.

    Raises
    ------
    ConfigError
        Naming the file and each offending key.
    """
    path = settings.config_dir / "gates.yaml"
    base = parse_config(read_yaml(path), GateConfig, path)
    merged = overlay(base.model_dump(), universe.gates)
    own = parse_config(merged, GateConfig, settings.config_dir / f"universes.yaml (universes.{universe.name}.gates)")
    return own.on_grid(rows_per_bar(universe))
