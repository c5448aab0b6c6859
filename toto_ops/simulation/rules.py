"""The rules money moves by, as plain numbers: what `portfolio_step` needs to know of a universe."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from toto_ops.universes import Universe

DAYS_PER_YEAR = 365.0
"""ACT/365."""


@dataclass(frozen=True)
class TradingRules:
    """Costs, rates and limits of one simulation.

    Attributes
    ----------
    cost_rate
        Commission + half spread + slippage, as a fraction of traded value.
    margin_rate, short_rate, cash_rate
        Annual, ACT/365: on borrowed cash, on short notional, on idle cash.
    gross_leverage
        Cap on the sum of absolute weights, enforced by scaling; `inf` for none.
    symbol_cap
        Cap on one target's absolute weight; `inf` for none.
    max_positions
        At most this many symbols with a non-zero target; the largest absolute weights stay.
    rebalancing_band
        Weight changes smaller than this are not traded, unless they close a position.
    stop_loss
        Close a position whose price is this far against its average entry; `inf` for none.
    max_drawdown, breaker_cooldown
        Go flat at this drawdown from the peak, for this many bars; `inf` for none.
    bankruptcy_floor
        Share of initial capital at or below which everything is closed and trading ends.
    decision_lag
        Bars between the close of a decision and the open it fills at.
    """

    cost_rate: float
    margin_rate: float
    short_rate: float
    cash_rate: float
    gross_leverage: float
    symbol_cap: float
    max_positions: int
    w_max: float
    may_short: bool
    rebalancing_band: float
    stop_loss: float
    max_drawdown: float
    breaker_cooldown: int
    bankruptcy_floor: float
    decision_lag: int

    @classmethod
    def of(cls, universe: Universe) -> TradingRules:
        """The rules of a universe."""
        limits, rates = universe.limits, universe.rates
        return cls(
            cost_rate=universe.costs.rate,
            margin_rate=rates.margin,
            short_rate=rates.short_borrow,
            cash_rate=rates.cash,
            gross_leverage=limits.gross_leverage,
            symbol_cap=limits.symbol_cap,
            max_positions=limits.max_positions,
            w_max=limits.w_max,
            may_short=limits.may_short,
            rebalancing_band=limits.rebalancing_band,
            stop_loss=limits.stop_loss if limits.stop_loss is not None else math.inf,
            max_drawdown=limits.max_drawdown if limits.max_drawdown is not None else math.inf,
            breaker_cooldown=limits.breaker_cooldown,
            bankruptcy_floor=limits.bankruptcy_floor,
            decision_lag=universe.decision_lag,
        )

    def without_breaker(self) -> TradingRules:
        """Drawdown is gated with the breaker off, so that a breaker cannot hide a bad policy."""
        return replace(self, max_drawdown=math.inf)

    def for_baselines(self) -> TradingRules:
        """Baselines pay the same costs but have no cap, stop, breaker or band."""
        return replace(
            self,
            gross_leverage=math.inf,
            symbol_cap=math.inf,
            max_positions=2**31,
            rebalancing_band=0.0,
            stop_loss=math.inf,
            max_drawdown=math.inf,
        )

    def with_costs(self, multiple: float) -> TradingRules:
        return replace(self, cost_rate=self.cost_rate * multiple)

    def with_lag(self, bars: int) -> TradingRules:
        return replace(self, decision_lag=bars)
