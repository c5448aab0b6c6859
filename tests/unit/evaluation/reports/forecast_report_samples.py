"""Evaluations of forecasts to report, of every kind of outcome."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from toto_ops.evaluation.forecasts.documents import (
    Calibration,
    Comparison,
    Direction,
    ForecastEvaluation,
    HorizonEvaluation,
    Scores,
    SymbolEvaluation,
)
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig, Estimate
from toto_ops.forecasting.quantiles import LEVELS
from toto_ops.learning.splits import Span

BETTER = Estimate(value=0.031, low=0.010, high=0.050)
UNSURE = Estimate(value=0.004, low=-0.011, high=0.020)
LOWER = Estimate(value=-0.004, low=-0.020, high=0.011)
WORSE = Estimate(value=-0.06, low=-0.08, high=-0.02)
UNDEFINED = Estimate(value=None)

ALL_BETTER = {"seasonal_naive": BETTER, "drift": BETTER, "ewma": BETTER}


def scores(contestant: str, edge: Estimate = UNSURE, calls: int = 2_000) -> Scores:
    called = calls > 0
    return Scores(
        contestant=contestant,
        mase=0.45,
        crps=0.0112,
        weighted_quantile_loss=0.773,
        information_coefficient=Estimate(value=0.021, low=-0.01, high=0.05),
        direction=Direction(
            calls=calls,
            accuracy=0.521 if called else None,
            base_rate=0.530 if called else None,
            edge=edge if called else UNDEFINED,
            independent_calls=calls // 5,
            independent_hits=calls // 10,
            p_value=0.0421 if called else None,
        ),
        calibration=Calibration(below=tuple(level + 0.01 for level in LEVELS), error=0.01),
    )


def at(horizon: int, skills: Mapping[str, Estimate], edge: Estimate = UNSURE) -> HorizonEvaluation:
    return HorizonEvaluation(
        horizon=horizon,
        outcomes=2_100,
        scores=(scores("forecaster", edge), scores("seasonal_naive"), scores("drift"), scores("ewma", calls=0)),
        comparisons=tuple(Comparison(against=name, skill=skill) for name, skill in skills.items()),
    )


def evaluation(*horizons: HorizonEvaluation, symbols: int = 3, **changes) -> ForecastEvaluation:
    pooled = horizons or (at(1, ALL_BETTER), at(5, ALL_BETTER | {"ewma": UNSURE}))
    start = datetime(2022, 1, 1, tzinfo=UTC)
    given = {
        "universe": "controls",
        "part": "test",
        "span": Span(after=start, until=datetime(2024, 6, 1, tzinfo=UTC)),
        "forecaster": "abc123",
        "backbone": "market",
        "knows_until": start,
        "season": 5,
        "levels": LEVELS,
        "bootstrap": BootstrapConfig(),
        "pooled": pooled,
        "symbols": tuple(SymbolEvaluation(symbol=f"SYM{number}", horizons=pooled) for number in range(symbols)),
    }
    return ForecastEvaluation.model_validate(given | changes)
