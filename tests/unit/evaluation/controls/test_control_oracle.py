"""The optimum of planted trends: its closed form, and that it is one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from toto_ops.configuration import Settings
from toto_ops.errors import ConfigError
from toto_ops.evaluation.controls.markets import PlantedTrends
from toto_ops.evaluation.controls.oracle import planted_optimum
from toto_ops.evaluation.statistics.metrics import sharpe_ratio
from toto_ops.features.panel import Panel
from toto_ops.pipeline.control_project import SYMBOLS, TRENDS
from toto_ops.simulation.backtest import BacktestResult, run_backtests
from toto_ops.simulation.entrants import Entrant, Plan
from toto_ops.simulation.rules import TradingRules
from toto_ops.universes import Universe, load_universes

BARS = 2500
DAY = np.timedelta64(1, "D")


@pytest.fixture(scope="module")
def crypto() -> Universe:
    return load_universes(Settings()).universe("crypto")


def panel_of_trends(trends: PlantedTrends, seed: int = 0, bars: int = BARS) -> tuple[Panel, NDArray[np.bool_]]:
    legs, rising = trends.legs(bars, SYMBOLS, np.random.default_rng(seed))
    close = 100 * np.cumprod(1 + legs.body, axis=0)
    opened = close / (1 + legs.body)
    moments = np.datetime64("2000-01-01", "us") + np.arange(bars) * DAY
    panel = Panel.of_prices(
        symbols=tuple(f"S{number}" for number in range(SYMBOLS)),
        feature_names=(),
        open_time=moments,
        close_time=moments + DAY,
        features=np.zeros((bars, SYMBOLS, 0), dtype=np.float32),
        mask=np.ones((bars, SYMBOLS), dtype=bool),
        open=opened,
        close=close,
        ended=np.zeros(SYMBOLS, dtype=bool),
    )
    return panel, rising


CHANGES: dict[str, dict[str, object]] = {
    "as shipped": {},
    "lag 3": {"decision_lag": 3},
    "costs of 1 %": {"costs": {"commission": 0.01}},
    "shorts allowed": {"limits": {"may_short": True}, "rates": {"short_borrow": 0.0}},
}


def test_the_closed_form_is_what_the_optimum_reaches_under_all_rules(crypto: Universe) -> None:
    universes = {name: Universe.model_validate(crypto.model_dump(by_alias=True) | change) for name, change in CHANGES.items()}
    optima = {name: planted_optimum(TRENDS, SYMBOLS, universe) for name, universe in universes.items()}
    panel, rising = panel_of_trends(TRENDS, seed=3)
    plans = {name: (optima[name].weights(rising), TradingRules.of(universes[name])) for name in CHANGES}
    for name, result in backtests(panel, plans).items():
        expected = optima[name].sharpe(universes[name])
        # One standard error of a Sharpe ratio over these bars is 0.4, by itself; all four live through the same ones.
        assert sharpe_ratio(result.returns, 365.25) == pytest.approx(expected, abs=0.9), name
        assert not result.breaker.any(), name


def test_the_optimum_is_traded_by_the_rules_of_the_universe(crypto: Universe) -> None:
    panel, rising = panel_of_trends(TRENDS, bars=300)
    optimum = planted_optimum(TRENDS, SYMBOLS, crypto)
    (result,) = backtests(panel, {"alone": (optimum.weights(rising), TradingRules.of(crypto))}).values()
    assert optimum.traded_sharpe(panel, rising, crypto) == float(sharpe_ratio(result.returns, 365.25))


def test_costs_lag_and_noise_lower_the_optimum(crypto: Universe) -> None:
    def sharpe(trends: PlantedTrends = TRENDS, **changes: object) -> float:
        universe = crypto.model_copy(update=changes)
        return planted_optimum(trends, SYMBOLS, universe).sharpe(universe)

    free = crypto.costs.model_copy(update={"commission": 0.0, "half_spread": 0.0, "slippage": 0.0})
    assert sharpe(costs=free) > sharpe() > sharpe(decision_lag=2) > sharpe(decision_lag=5)
    assert sharpe() > sharpe(PlantedTrends(TRENDS.drift, 2 * TRENDS.noise, TRENDS.turn))
    assert sharpe() > sharpe(PlantedTrends(TRENDS.drift, TRENDS.noise, 4 * TRENDS.turn))


def test_more_symbols_help_by_the_square_root(crypto: Universe) -> None:
    one, four = (planted_optimum(TRENDS, symbols, crypto).sharpe(crypto) for symbols in (1, 4))
    assert four == pytest.approx(2 * one)


def test_nothing_else_grows_faster(crypto: Universe) -> None:
    panel, rising = panel_of_trends(TRENDS, bars=1000)
    optimum = planted_optimum(TRENDS, SYMBOLS, crypto)
    weights = optimum.weights(rising)
    late = np.vstack([weights[:1].repeat(5, axis=0), weights[:-5]])
    others = {
        "always invested": np.full_like(weights, optimum.rising_weight),
        "half the size": weights / 2,
        "five bars late": late,
        "the other way round": optimum.weights(~rising),
    }
    rules = TradingRules.of(crypto)
    results = backtests(panel, {name: (plan, rules) for name, plan in {"optimum": weights, **others}.items()})
    assert all(results["optimum"].equity[-1] > 1.05 * results[name].equity[-1] for name in others)


def backtests(panel: Panel, plans: dict[str, tuple[NDArray[np.float64], TradingRules]]) -> dict[str, BacktestResult]:
    """Every plan by its rules, in one pass."""
    results = run_backtests(panel, [Entrant(name, Plan(plan), rules) for name, (plan, rules) in plans.items()])
    return dict(zip(plans, results, strict=True))


def test_what_the_derivation_does_not_cover_is_refused(crypto: Universe) -> None:
    with pytest.raises(ConfigError, match="would have to borrow"):
        planted_optimum(TRENDS, 6, crypto)
    dear = crypto.model_copy(update={"costs": crypto.costs.model_copy(update={"commission": 0.3})})
    with pytest.raises(ConfigError, match="does not pay"):
        planted_optimum(TRENDS, SYMBOLS, dear)
