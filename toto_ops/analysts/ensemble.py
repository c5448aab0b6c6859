"""The analysts' ensemble as a policy: teacher of behaviour cloning, fallback and first incumbent of every universe.

It sees nothing but the 34-feature state, so that a pupil can learn all it knows, and it fits nothing to data. The vote
is turned into an action in closed loop with the account: it buys in steps towards the size it wants and holds what is
close to it, sells while the vote is against the symbol, and holds in between.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from toto_ops.analysts.news import news_opinion
from toto_ops.analysts.opinion import Opinion, feature
from toto_ops.analysts.risk import exposure_limit, risk_opinion
from toto_ops.analysts.strategy import StrategyConfig
from toto_ops.analysts.technical import technical_opinion
from toto_ops.analysts.voting import weighted_vote
from toto_ops.policies.contract import Policy
from toto_ops.simulation.account import DAYS_SCALE
from toto_ops.simulation.observation import Action, decide, state_vector
from toto_ops.simulation.rules import TradingRules


class Opinions(NamedTuple):
    """What each analyst says, in the order they vote."""

    technical: Opinion
    risk: Opinion
    news: Opinion


class EnsemblePolicy(Policy):
    """Weighted vote of the technical, risk and news analysts.

    Parameters
    ----------
    strategy
        A `StrategyConfig` as JSON-like mapping.
    w_max
        Weight of a decision of strength 1.
    may_short
        Whether SELL opens shorts.
    """

    kind: ClassVar[str] = "analysts"

    def __init__(self, strategy: Mapping[str, Any], w_max: float, may_short: bool) -> None:  # noqa: FBT001 - JSON argument
        super().__init__()
        self.strategy = StrategyConfig.model_validate(strategy)
        self.w_max = w_max
        self.may_short = may_short

    @classmethod
    def of(cls, strategy: StrategyConfig, rules: TradingRules) -> Self:
        """The ensemble of a strategy under a universe's rules."""
        return cls(strategy.model_dump(mode="json"), rules.w_max, rules.may_short)

    @property
    def architecture(self) -> dict[str, Any]:
        """The strategy and the rules its sizes depend on."""
        return {"strategy": self.strategy.model_dump(mode="json"), "w_max": self.w_max, "may_short": self.may_short}

    def opinions(self, state: Tensor) -> Opinions:
        """Each analyst's opinion on states `[..., 34]`."""
        return Opinions(
            technical_opinion(state, self.strategy.technical),
            risk_opinion(state, self.strategy.risk),
            news_opinion(state, self.strategy.news),
        )

    def vote(self, opinions: Opinions) -> Tensor:
        """The weighted vote `[...]` in [-1, 1]."""
        weights = self.strategy.weights
        return weighted_vote(opinions, (weights.technical, weights.risk, weights.news))

    def forward(self, market: Tensor, account: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Decide on `[B, A]` symbols; shapes as in `Observation` and `Decision`."""
        state = state_vector(market, account)
        vote = self.vote(self.opinions(state))
        limit = exposure_limit(state, self.strategy.risk.exposure)
        long_size, short_size = self._wanted_sizes(feature(state, "position"), vote, limit)
        scores = self._scores(state, vote, long_size, short_size) / self.strategy.decision.temperature
        action = scores.argmax(dim=-1)
        strength = torch.where(action == int(Action.SELL), short_size, long_size)
        decision = decide(action, strength, scores.softmax(dim=-1), mask, w_max=self.w_max, may_short=self.may_short)
        return decision.weight, decision.hold, decision.action, decision.strength, decision.probabilities

    def _wanted_sizes(self, position: Tensor, vote: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
        """Long and short size `[...]` in [0, 1] to hold after the next fill.

        A position grows by one entry step at most, and only towards the size the conviction asks for; it is cut
        where it exceeds the limit of the risk analyst, not where conviction merely wanes.
        """
        rules = self.strategy.decision
        bullish = ((vote - rules.buy_above) / (rules.full_size_at - rules.buy_above)).clamp(0.0, 1.0)
        bearish = ((rules.sell_below - vote) / (rules.full_size_at + rules.sell_below)).clamp(0.0, 1.0)
        long_size = _step_towards(torch.relu(position), bullish * limit, limit, rules.entry_step)
        short_size = _step_towards(torch.relu(-position), bearish * limit, limit, rules.entry_step)
        return long_size, short_size if self.may_short else bearish

    def _scores(self, state: Tensor, vote: Tensor, long_size: Tensor, short_size: Tensor) -> Tensor:
        """Scores `[..., 3]` of HOLD, BUY and SELL: HOLD is 0, the others are the least margin by which they are due.

        A SELL that takes no short is due on the vote alone, held or not: staying out is an action the pupil must know
        from any position. Neither exits nor cuts wait for the minimum days.
        """
        rules = self.strategy.decision
        position = feature(state, "position")
        rested = DAYS_SCALE * (feature(state, "days_since_trade") - math.tanh(rules.min_days_between_entries / DAYS_SCALE))
        buy = _margin(vote - rules.buy_above, long_size, position, rules.resize_band, rested)
        sell = rules.sell_below - vote
        if self.may_short:
            sell = _margin(sell, short_size, -position, rules.resize_band, rested)
        return torch.stack((torch.zeros_like(vote), buy, sell), dim=-1)


def _step_towards(size: Tensor, wanted: Tensor, limit: Tensor, step: float) -> Tensor:
    """The size after one step up towards `wanted`, or down to `limit`."""
    grown = torch.minimum(torch.maximum(size, wanted), size + step)
    return torch.minimum(grown, limit)


def _margin(opinion: Tensor, size: Tensor, held: Tensor, band: float, rested: Tensor) -> Tensor:
    """By how much taking `size` of one side is due, where `held` is the present position on that side.

    Leaving the other side (`held` negative) needs the opinion alone. On this side the change must also exceed the
    band, and growth must have rested since the last trade.
    """
    change = size - held
    resize = torch.where(change > 0, torch.minimum(change - band, rested), -change - band)
    return torch.minimum(opinion, torch.where(held < 0, opinion, resize))
