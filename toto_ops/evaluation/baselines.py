"""What any model must be better than: cash, equal weight, and equal weight at the model's own volatility.

Baselines are decided and filled like any policy, at the same lag and the same costs, through the same simulator; only
the limits of the universe (caps, band, stop, breaker) do not bind them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from toto_ops.evaluation.metrics import volatility
from toto_ops.features.panel import Panel
from toto_ops.simulation.backtest import BacktestResult, backtest
from toto_ops.simulation.observation import Action, Decision, Observation
from toto_ops.simulation.rules import TradingRules

Act = Callable[[Observation], Decision]

VOLATILITY_TOLERANCE = 1e-3
"""Relative difference at which two volatilities count as matched."""

_ITERATIONS = 20


def cash() -> Act:
    """Never trade."""

    def act(observation: Observation) -> Decision:
        return _all_symbols(observation, torch.zeros_like(observation.account[..., 0]), Action.HOLD)

    return act


def equal_weight(scale: float = 1.0) -> Act:
    """Hold `scale / n` in each of the `n` symbols that have a bar, rebalanced at every bar.

    Rebalancing at every bar keeps the exposure at `scale`; the turnover that takes is paid for. A symbol without a bar
    keeps its units, and the others share the weight meanwhile.

    Parameters
    ----------
    scale
        Gross exposure: below 1 the rest is cash, above 1 it is borrowed and financed.
    """

    def act(observation: Observation) -> Decision:
        tradable = observation.mask.to(observation.account.dtype)
        weight = scale * tradable / tradable.sum(dim=-1, keepdim=True).clamp(min=1.0)
        return _all_symbols(observation, weight, Action.BUY)

    return act


@dataclass(frozen=True)
class VolatilityMatch:
    """Equal weight scaled until it was as volatile as what it is compared with.

    Attributes
    ----------
    scale
        Gross exposure of the scaled benchmark.
    target, realised
        Annualised volatility asked for and reached.
    matched
        Whether they agree within `VOLATILITY_TOLERANCE`.
    result
        Backtest of the benchmark at `scale`.
    """

    scale: float
    target: float
    realised: float
    matched: bool
    result: BacktestResult


def match_volatility(
    panel: Panel, rules: TradingRules, unscaled: BacktestResult, *, target: float, periods_per_year: float
) -> VolatilityMatch:
    """Scale equal weight with cash or leverage to a realised volatility, then judge it like any other policy.

    The scale is one number for the whole span, found ex post: the benchmark knows how volatile the span was going to
    be. That is deliberate. Nobody trades it; it answers what the same risk would have earned without any skill, and
    knowing the volatility gives the benchmark, not the model, the benefit of hindsight. Costs, margin interest on what
    it borrows and interest on idle cash are all paid. Volatility is nearly proportional to the scale, so scaling by the
    ratio of target to realised converges within a few backtests; where it does not (the benchmark goes bankrupt, or
    prices never move) the result says so in `matched`.

    Parameters
    ----------
    panel
        The span to be matched on.
    rules
        Of a baseline: costs and rates, no limits (`TradingRules.for_baselines`).
    unscaled
        Backtest of `equal_weight(1.0)` on the same panel by the same rules: the first guess.
    target
        Annualised volatility to reach, per `periods_per_year` bars.
    """
    if target <= 0:
        return VolatilityMatch(0.0, target, 0.0, matched=True, result=backtest(panel, cash(), rules))
    scale, result = 1.0, unscaled
    realised = float(volatility(result.returns, periods_per_year))
    for _ in range(_ITERATIONS):
        if _agree(realised, target) or not realised > 0:
            break
        scale *= target / realised
        result = backtest(panel, equal_weight(scale), rules)
        realised = float(volatility(result.returns, periods_per_year))
    return VolatilityMatch(scale, target, realised, matched=_agree(realised, target), result=result)


def _agree(realised: float, target: float) -> bool:
    return abs(realised - target) <= VOLATILITY_TOLERANCE * target


def _all_symbols(observation: Observation, weight: torch.Tensor, action: Action) -> Decision:
    mask = observation.mask
    chosen = torch.where(mask, int(action), int(Action.HOLD))
    return Decision(
        weight=weight,
        hold=chosen == int(Action.HOLD),
        action=chosen,
        strength=torch.ones_like(weight),
        probabilities=torch.nn.functional.one_hot(chosen, len(Action)).to(weight.dtype),
    )
