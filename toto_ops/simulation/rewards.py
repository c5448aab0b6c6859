"""What a policy is rewarded for: terms that are pure functions of one step, added up by the weights of a configuration.

Every term is `[B]`, differentiable in the weights held, and 0 for an account that stays flat and never moves. What a term
must remember from earlier steps is explicit (`RewardMemory`), so that thousands of accounts restart independently.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from toto_ops.configuration import StrictModel


class RewardConfig(StrictModel):
    """How much each term counts; a term of weight 0 is not computed."""

    model_config = ConfigDict(allow_inf_nan=False)

    log_return: float = Field(default=1.0, description="of equity, from close to close")
    differential_sharpe: float = Field(default=0.0, ge=0.0, description="Moody and Saffell's differential Sharpe ratio")
    drawdown: float = Field(default=0.0, ge=0.0, description="penalty on the drawdown from the highest close of the episode")
    turnover: float = Field(default=0.0, ge=0.0, description="penalty on traded value over equity")
    concentration: float = Field(default=0.0, ge=0.0, description="penalty on the sum of squared weights")
    diversification: float = Field(default=0.0, ge=0.0, description="bonus for the share of volatility diversified away")
    sharpe_adaptation: float = Field(
        default=0.01, gt=0.0, lt=1.0, description="weight of the newest return in the moments of the differential Sharpe ratio"
    )
    sharpe_least_deviation: float = Field(
        default=1e-3, gt=0.0, description="standard deviation per bar below which the ratio is not amplified any further"
    )


LOG_RETURN = RewardConfig()
"""Growth of equity and nothing else."""


class RewardMemory(NamedTuple):
    """What the terms remember of `B` accounts.

    Attributes
    ----------
    mean, second
        `[B]` moving first and second moment of the returns of equity.
    peak
        `[B]` highest equity at a close of the episode.
    """

    mean: Tensor
    second: Tensor
    peak: Tensor


class Traded(Protocol):
    """What was traded at the open within a step, worked out when asked for: `StepResult` is one."""

    @property
    def turnover(self) -> Tensor:
        """`[B]` traded value over equity."""

    @property
    def weights(self) -> Tensor:
        """`[B, A]` held after the trades."""


class StepFacts(NamedTuple):
    """What one step did to `B` accounts over `A` symbols, as far as rewards look at it.

    Attributes
    ----------
    log_return
        `[B]` log growth of equity from the close before to this one; the sum over an episode is the log of its growth.
    worth
        `[B]` equity at this close; positive.
    traded
        At the open in between.
    recent_returns
        `[B, A, 20]` log returns of each symbol up to this close; 0 where there is none.
    """

    log_return: Tensor
    worth: Tensor
    traded: Traded
    recent_returns: Tensor


def fresh_memory(worth: Tensor) -> RewardMemory:
    """Nothing seen yet by accounts of equity `worth` `[B]`."""
    nothing = torch.zeros_like(worth)
    return RewardMemory(nothing, nothing, worth)


def reward(config: RewardConfig, memory: RewardMemory, facts: StepFacts) -> tuple[Tensor, RewardMemory]:
    """The sum of all terms `[B]`, and what to remember for the next step."""
    total = config.log_return * facts.log_return
    if config.differential_sharpe:
        ratio, memory = differential_sharpe(config, memory, facts)
        total = total + config.differential_sharpe * ratio
    if config.drawdown:
        loss, memory = drawdown(memory, facts)
        total = total - config.drawdown * loss
    if config.turnover:
        total = total - config.turnover * facts.traded.turnover
    if config.concentration:
        total = total - config.concentration * concentration(facts.traded.weights)
    if config.diversification:
        total = total + config.diversification * diversification(facts.traded.weights, facts.recent_returns)
    return total, memory


def differential_sharpe(config: RewardConfig, memory: RewardMemory, facts: StepFacts) -> tuple[Tensor, RewardMemory]:
    """Differential Sharpe ratio `[B]`: what this return adds to the exponentially weighted Sharpe ratio, per unit of adaptation.

    With the moving moments `A` and `B` of the return `R`, `D = (B dA - A dB / 2) / (B - A^2)^(3/2)`, where
    `dA = R - A` and `dB = R^2 - B` (Moody and Saffell, "Learning to trade via direct reinforcement", IEEE Transactions on
    Neural Networks 12(4), 2001, section II.D). 0 at the first step, when there are no moments yet; the deviation in the
    denominator is bounded below, since an account that hardly moved would otherwise be rewarded without bound.
    """
    return_ = facts.log_return.expm1()
    mean_change, second_change = return_ - memory.mean, return_.square() - memory.second
    variance = (memory.second - memory.mean.square()).clamp(min=config.sharpe_least_deviation**2)
    ratio = (memory.second * mean_change - 0.5 * memory.mean * second_change) / variance.pow(1.5)
    moved = memory._replace(
        mean=memory.mean + config.sharpe_adaptation * mean_change,
        second=memory.second + config.sharpe_adaptation * second_change,
    )
    return ratio, moved


def drawdown(memory: RewardMemory, facts: StepFacts) -> tuple[Tensor, RewardMemory]:
    """Drawdown `[B]` in [0, 1) at this close; its mean over an episode is the average drawdown (pain index)."""
    peak = torch.maximum(memory.peak, facts.worth)
    return 1.0 - facts.worth / peak, memory._replace(peak=peak)


def concentration(weights: Tensor) -> Tensor:
    """Herfindahl-Hirschman index `[B]` of weights `[B, A]`.

    Of the weights as fractions of equity, not of each other: cash counts as spread out, so that the index is 0 when flat
    and smooth there.
    """
    return weights.square().sum(-1)


def diversification(weights: Tensor, recent_returns: Tensor) -> Tensor:
    """Share of the volatility that diversification takes away `[B]`, in [0, 1]; 0 when flat.

    `1 - s / sum(|w_i| s_i)` with the standard deviation `s` of the portfolio held over the window and those of its
    symbols: one less the inverse of the diversification ratio (Choueifaty and Coignard, "Toward maximum diversification",
    Journal of Portfolio Management 35(1), 2008). All from the window of returns: no `A x A` matrix is needed.

    Parameters
    ----------
    weights
        `[B, A]`.
    recent_returns
        `[B, A, L]` returns of the symbols in the window.
    """
    alone = (weights.abs() * recent_returns.std(dim=-1, correction=0)).sum(-1)
    together = (weights.unsqueeze(-1) * recent_returns).sum(-2).var(dim=-1, correction=0)
    tiny = torch.finfo(weights.dtype).tiny
    # The root of nothing has no slope: a flat account takes no gradient from it.
    held = alone > torch.finfo(weights.dtype).eps
    volatility = together.clamp(min=tiny).sqrt()
    return torch.where(held, 1.0 - volatility / torch.where(held, alone, 1.0), 0.0)
