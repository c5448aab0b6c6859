r"""The optimum of planted trends, as a plan that knows the direction of each trend and in closed form.

**The market.** A symbol rises or falls by the log drift `d` per bar, with normal noise of deviation `n`, and turns with
probability `q` per bar, so that half of all bars rise. Every bar opens at the last close.

**What can be known.** Nothing but the present direction says anything about later bars. With a decision lag of `L` bars,
what is decided at the close of bar `t` is held from the open of bar `t + L` to the next open, and earns the return of bar
`t + L`, whose direction is still that of bar `t` with probability

.. math:: s = (1 + (1 - 2q)^L) / 2.

**The optimum.** Given a rising trend the return to be earned has mean `a > 0`, given a falling one `b < 0`. Growth of
capital asks for the Kelly fraction, mean over variance, which for the trends planted here is several times the largest
weight `w` that the rules allow: the cap binds, and the optimum is to hold `w` of every rising symbol and, of a falling one,
`-w` where shorts are allowed and nothing elsewhere. To trade at every turn is right as long as a trend is expected to
earn more than the way in and out costs, `|mean| / q > 2c`. `planted_optimum` checks these conditions.

**Its Sharpe ratio.** One symbol contributes, per bar, the return `p r` of its weight `p` less costs. Over both directions

.. math::
    \mu = \tfrac12 (p_+ a + p_- b) - q\,c\,|p_+ - p_-|, \qquad
    \sigma^2 = \tfrac12 \bigl(p_+^2 E[r^2 | +] + p_-^2 E[r^2 | -]\bigr) - \bigl(\tfrac12 (p_+ a + p_- b)\bigr)^2,

where the moments of the return given a direction mix those of both log-normal returns with the weights `s` and `1 - s`.
Symbols are independent, so `N` of them have the annualised Sharpe ratio :math:`\sqrt{N P}\,\mu / \sigma` at `P` bars a
year. Left out are the variance of the costs, the trades that keep weights at `w`, and stops and breaker, which the optimum
all but never meets; a test compares the result with backtests of the plan under the rules of a universe, all of them on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toto_ops.errors import ConfigError
from toto_ops.evaluation.controls.markets import PlantedTrends
from toto_ops.features.panel import Panel
from toto_ops.market.calendars import periods_per_year
from toto_ops.universes import Costs, Universe


@dataclass(frozen=True)
class PlantedOptimum:
    """What knowing the directions of planted trends is worth.

    Attributes
    ----------
    rising_weight, falling_weight
        Weight of one symbol, by the direction of its trend.
    mean, deviation
        Of the portfolio's return per bar, costs paid.
    """

    rising_weight: float
    falling_weight: float
    mean: float
    deviation: float

    def sharpe(self, universe: Universe) -> float:
        """Annualised Sharpe ratio to expect."""
        return self.mean / self.deviation * math.sqrt(periods_per_year(universe))

    def traded_sharpe(self, panel: Panel, rising: NDArray[np.bool_], universe: Universe) -> float:
        """Annualised Sharpe ratio of the optimum in a backtest under all rules of the universe.

        Parameters
        ----------
        panel
            `[T, A]` bars of a planted market, or of some span of it.
        rising
            `[T, A]` the direction during each of these bars.
        """
        from toto_ops.evaluation.statistics.metrics import sharpe_ratio
        from toto_ops.simulation.backtest import run_backtests
        from toto_ops.simulation.entrants import Entrant, Plan
        from toto_ops.simulation.rules import TradingRules

        knowing = Entrant("knows the trends", Plan(self.weights(rising)), TradingRules.of(universe))
        (result,) = run_backtests(panel, (knowing,))
        return float(sharpe_ratio(result.returns, periods_per_year(universe)))

    def weights(self, rising: NDArray[np.bool_]) -> NDArray[np.float64]:
        """`[T, A]` target weights decided at each close by who knows the direction of the bar that just closed."""
        return np.where(rising, self.rising_weight, self.falling_weight)


def planted_optimum(trends: PlantedTrends, symbols: int, universe: Universe) -> PlantedOptimum:
    """The optimum under a universe's costs, limits and decision lag, and its closed form.

    Parameters
    ----------
    symbols
        Independent symbols traded at once.

    Raises
    ------
    ConfigError
        If the rules leave the conditions of the derivation: they would make all symbols together borrow, or costs eat
        what a trend earns.
    """
    held, cost = universe.limits.w_max, _cost(universe.costs, trends.noise)
    falling = -held if universe.limits.may_short else 0.0
    up, down = _moments(trends.drift, trends.noise), _moments(-trends.drift, trends.noise)
    stays = (1 + (1 - 2 * trends.turn) ** universe.decision_lag) / 2
    rise = _mixed(up, down, stays)
    fall = _mixed(down, up, stays)
    if symbols * held > 1 + 1e-9 or symbols > universe.limits.max_positions:
        raise ConfigError(
            f"{symbols} planted symbols of {held:.0%} each would have to borrow, or exceed the number of positions allowed",
            where=universe.name,
            remedy="plant fewer symbols",
        )
    if min(rise[0], -fall[0]) / trends.turn <= 2 * cost:
        raise ConfigError(
            f"a trade costs {cost:.2%}: following a planted trend does not pay",
            where=universe.name,
            remedy="run the controls on a universe that can be traded",
        )
    gross = (held * rise[0] + falling * fall[0]) / 2
    second = (held**2 * rise[1] + falling**2 * fall[1]) / 2
    net = gross - trends.turn * cost * abs(held - falling)
    return PlantedOptimum(held, falling, symbols * net, math.sqrt(symbols * (second - gross**2)))


def _cost(costs: Costs, volatility: float) -> float:
    """Fraction of the traded value that a trade costs at this volatility per bar; trades are too small to have an impact."""
    if costs.slippage_at_volatility is None:
        return costs.rate
    return costs.flat_rate + costs.slippage * volatility / costs.slippage_at_volatility


def _moments(drift: float, noise: float) -> tuple[float, float]:
    """Mean and mean square of the simple return whose log is normal."""
    growth = math.exp(drift + noise**2 / 2)
    return growth - 1, math.exp(2 * drift + 2 * noise**2) - 2 * growth + 1


def _mixed(one: tuple[float, float], other: tuple[float, float], share: float) -> tuple[float, float]:
    return share * one[0] + (1 - share) * other[0], share * one[1] + (1 - share) * other[1]
