"""The gates: what is required of a challenger, and the criteria that say whether it was met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from toto_ops.configuration import Settings, StrictModel, VersionedModel, overlay, parse_config, read_yaml
from toto_ops.evaluation.bootstrap import BootstrapConfig
from toto_ops.evaluation.evidence import ChampionComparison, Criterion, DirectionalResult, ImitationResult, Relation
from toto_ops.evaluation.metrics import Performance, total_return
from toto_ops.universes import Fraction, Universe

if TYPE_CHECKING:
    from toto_ops.evaluation.baselines import VolatilityMatch


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


class GateConfig(VersionedModel):
    """`gates.yaml`, with the overrides of one universe."""

    minimum_test_bars: int = Field(default=60, ge=2)
    minimum_sharpe: float = 1.0
    minimum_return: float = 0.05
    maximum_drawdown: Fraction = Field(default=0.20, description="with the circuit breaker off")
    benchmark_margin: float = Field(default=0.0, ge=0, description="return above equal weight at the same volatility")
    imitation: ImitationGates = ImitationGates()
    champion: ChampionGates = ChampionGates()
    bootstrap: BootstrapConfig = BootstrapConfig()


def load_gates(settings: Settings, universe: Universe) -> GateConfig:
    """Read `gates.yaml` and lay the universe's own `gates` over it.

    Raises
    ------
    ConfigError
        Naming the file and each offending key.
    """
    path = settings.config_dir / "gates.yaml"
    base = parse_config(read_yaml(path), GateConfig, path)
    if not universe.gates:
        return base
    merged = overlay(base.model_dump(), universe.gates)
    return parse_config(merged, GateConfig, settings.config_dir / f"universes.yaml (universes.{universe.name}.gates)")


def absolute_criteria(performance: Performance, breaker_off: Performance, bars: int, gates: GateConfig) -> tuple[Criterion, ...]:
    """Length of the test span, Sharpe ratio, return, and drawdown with the breaker off."""
    return (
        criterion("test bars", bars, ">=", gates.minimum_test_bars),
        criterion("Sharpe ratio", performance.sharpe.value, ">=", gates.minimum_sharpe),
        criterion("total return", performance.total_return.value, ">=", gates.minimum_return),
        criterion("maximum drawdown", breaker_off.max_drawdown.value, "<=", gates.maximum_drawdown, "circuit breaker off"),
    )


def benchmark_criterion(performance: Performance, match: VolatilityMatch, gates: GateConfig) -> Criterion:
    """Return at least that of equal weight at the same volatility, plus the margin."""
    name = "return against volatility-matched equal weight"
    if not match.matched:
        return Criterion(
            name=name,
            required=None,
            relation=">=",
            measured=performance.total_return.value,
            verdict="fail",
            note=f"no scale brought equal weight to a volatility of {match.target:.2%} (reached {match.realised:.2%})",
        )
    required = float(total_return(match.result.returns)) + gates.benchmark_margin
    note = f"equal weight at {match.scale:.2f}x, costs and financing paid, volatility {match.realised:.1%} a year"
    return criterion(name, performance.total_return.value, ">=", required, note)


def imitation_criteria(imitation: ImitationResult, gates: ImitationGates) -> tuple[Criterion, ...]:
    """Accuracy, its margin over the majority class, macro-F1 and overfitting gap."""
    return (
        criterion("imitation accuracy", imitation.accuracy.value, ">=", gates.minimum_accuracy),
        criterion(
            "imitation accuracy against majority class",
            imitation.accuracy.value,
            ">=",
            imitation.majority_share + gates.margin_over_majority,
            f"the most frequent action alone is right in {imitation.majority_share:.1%}",
        ),
        criterion("imitation macro-F1", imitation.macro_f1.value, ">=", gates.minimum_macro_f1),
        criterion("accuracy gap train to validation", imitation.gap.value, "<=", gates.maximum_gap),
    )


def directional_criterion(directional: DirectionalResult) -> Criterion:
    """The lower bound of the directional accuracy lies above the base rate."""
    if directional.accuracy.value is None:
        note = "no position met a move"
    else:
        note = f"lower bound of {directional.accuracy.value:.1%} over {directional.positions} positions"
    return criterion("directional accuracy", directional.accuracy.low, ">", directional.base_rate, note)


def champion_criterion(comparison: ChampionComparison, gates: ChampionGates) -> Criterion:
    """The challenger is not worse than the champion by more than the margin."""
    name = f"Sharpe ratio against champion {comparison.champion}"
    if comparison.difference is None:
        return Criterion(
            name=name,
            required=-gates.sharpe_margin,
            relation=">=",
            measured=None,
            verdict="insufficient",
            note=f"{comparison.bars} bars that neither has seen, {gates.minimum_bars} needed: the absolute gates decide",
        )
    note = f"lower bound of the difference on {comparison.bars} bars that neither has seen"
    return criterion(name, comparison.difference.low, ">=", -gates.sharpe_margin, note)


def criterion(name: str, measured: float | None, relation: Relation, required: float | None, note: str = "") -> Criterion:
    """Compare; an undefined figure fails, and the note says that it is undefined."""
    if measured is None or required is None:
        verdict: Literal["pass", "fail"] = "fail"
        note = "; ".join(part for part in (note, "not defined on this span") if part)
    else:
        met = {">=": measured >= required, "<=": measured <= required, ">": measured > required}[relation]
        verdict = "pass" if met else "fail"
    return Criterion(name=name, required=required, relation=relation, measured=measured, verdict=verdict, note=note)
