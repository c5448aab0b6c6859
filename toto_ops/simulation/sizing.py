"""What is traded: from the weights asked for to values on which limits, costs and the equity they leave agree.

Masks become numbers where they meet money: a product with 0 or 1 is several times faster than a choice between two.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from toto_ops.simulation.rules import Limit, TradingRules, in_force, is_number


class Holdings(NamedTuple):
    """What `B` accounts hold at an open, and what is known of the market they would trade in.

    Attributes
    ----------
    value
        `[B, A]` money in each symbol.
    worth, initial
        `[B]` equity before any trade, and initial capital.
    movable
        `[B, A]` or `[A]` bool: can be traded or is liquidated as delisted.
    delisted, volatility, traded_value
        `[B, A]` or `[A]`, as in `BarPrices`.
    """

    value: Tensor
    worth: Tensor
    initial: Tensor
    movable: Tensor
    delisted: Tensor
    volatility: Tensor
    traded_value: Tensor


class Sized(NamedTuple):
    """Values to hold and what it costs to get there: `[B, A]` money each."""

    wanted: Tensor
    costs: Tensor


class _Frictions(NamedTuple):
    """A trade of `x` costs `rate * x`, and if there is an `impact` a further `min(impact * sqrt(x), 1) * x`.

    It moves a value by `most`; all `[B, A]` or what broadcasts to it, None where there is no such rule.
    """

    rate: Limit
    impact: Tensor | None
    most: Tensor | None


def total(values: Tensor) -> Tensor:
    """`[B]` sum of `[B, A]` over the symbols."""
    # A product with ones is several times faster than a sum over a short last axis.
    return values.squeeze(-1) if values.shape[-1] == 1 else values.mv(values.new_ones(values.shape[-1]))


def rounding(worth: Tensor) -> Tensor:
    """`[B]` money too small to be a trade: half the digits of the dtype (1.5e-8 of equity in float64)."""
    return worth.abs() * math.sqrt(torch.finfo(worth.dtype).eps)


def sized(weight: Tensor, hold: Tensor, must_close: Tensor, holdings: Holdings, rules: TradingRules) -> Sized:
    """Bring targets, limits and costs to agree.

    Parameters
    ----------
    weight
        `[B, A]` target weights; ignored (NaN allowed) where `hold`.
    hold, must_close
        `[B, A]` bool: keep the units held; go to zero whatever is asked.
    holdings
        What is held.
    rules
        Costs and limits.
    """
    frictions = _frictions(holdings, rules)
    target, traded = _targets(weight, hold, must_close, holdings, rules)
    wanted = _settled(target, traded, holdings, frictions, rules)
    return Sized(wanted, _costs((wanted - holdings.value).abs(), frictions))


def _frictions(holdings: Holdings, rules: TradingRules) -> _Frictions:
    rate, impact, most = rules.cost_rate, None, None
    if _is_there(rules.slippage):
        slippage = holdings.volatility * (rules.slippage / rules.slippage_volatility)
        as_stated = rules.slippage
        filled = slippage.nan_to_num(nan=as_stated) if is_number(as_stated) else slippage.where(~slippage.isnan(), as_stated)
        rate = filled + rate
    if _is_there(rules.impact) or in_force(rules.participation):
        usual = holdings.traded_value * (holdings.initial / rules.capital).unsqueeze(-1)
        # No volume means that none was reported, as for an index or a currency pair.
        usual = torch.where(usual > 0, usual, math.inf)
        if _is_there(rules.impact):
            impact = rules.impact * holdings.volatility.nan_to_num(nan=0.0) / usual.sqrt()
        if in_force(rules.participation):
            most = torch.where(holdings.delisted, math.inf, rules.participation * usual)
            most = torch.where(holdings.movable, most, 0.0)
    return _Frictions(rate, impact, most)


def _targets(weight: Tensor, hold: Tensor, must_close: Tensor, holdings: Holdings, rules: TradingRules) -> tuple[Tensor, Tensor]:
    """Weights to hold, zero where nothing is asked for, and 1 where they are traded for, else 0: `[B, A]` each."""
    value, movable, dtype = holdings.value, holdings.movable, holdings.value.dtype
    worth = holdings.worth.unsqueeze(-1)
    asked = ~(hold | must_close) & movable
    # What is not asked for may be anything, NaN included: drop it before arithmetic or its gradient sees it.
    target = _clamped(torch.where(asked, weight, 0.0), *rules.weight_range)
    trade = asked | (must_close & movable)
    if not is_number(rules.max_positions) or target.shape[-1] > rules.max_positions:
        intended = torch.lerp(value, target * worth, _as_numbers(trade, dtype))
        stays = _largest(intended.abs(), ~movable & intended.bool(), rules.max_positions)
        target = target * _as_numbers(stays, dtype)
        trade = trade | (movable & ~stays)
    if _is_there(rules.rebalancing_band) or _is_there(rules.minimum_trade):
        least = worth * rules.rebalancing_band
        if _is_there(rules.minimum_trade):
            least = torch.maximum(least, rules.minimum_trade * (holdings.initial / rules.capital).unsqueeze(-1))
        large_enough = (target * worth - value).abs() >= least
        trade = trade & (large_enough | ~target.bool())
    traded = _as_numbers(trade, dtype)
    return target * traded, traded


def _largest(size: Tensor, stuck: Tensor, count: int | Tensor) -> Tensor:
    """`[B, A]` bool: the `count` largest of `size`, earlier symbols first among equals.

    Positions that cannot be traded now take their places first: they stay whatever is decided.
    """
    order = torch.argsort(size.masked_fill(stuck, math.inf), dim=-1, descending=True, stable=True)
    has_place = torch.arange(size.shape[-1], device=size.device) < count
    return stuck.scatter(-1, order, has_place.expand_as(order)) | stuck


def _settled(target: Tensor, traded: Tensor, holdings: Holdings, frictions: _Frictions, rules: TradingRules) -> Tensor:
    """Values `[B, A]` to hold so that targets and gross cap are met by the equity that is left after costs.

    Costs depend on the trade, and the trade on the equity that costs leave. Newton's method finds that equity: costs are
    linear in it but for the kinks where a trade changes sides, positions held under the gross cap, and impact.
    """
    value, worth = holdings.value, holdings.worth
    # What is traded for grows with the equity that is left, what is held does not.
    fixed = torch.addcmul(value, value, traded, value=-1)
    cap = _GrossCap.of(holdings, frictions, rules) if in_force(rules.gross_leverage) else None

    def uncapped(left: Tensor) -> tuple[Tensor, Tensor]:
        """Values where equity is `left`, and what one more unit of equity changes about them."""
        wanted = torch.addcmul(fixed, target, left.unsqueeze(-1))
        if frictions.most is None:
            return wanted, target
        low, high = value - frictions.most, value + frictions.most
        return wanted.clamp(low, high), target * _as_numbers((wanted > low) & (wanted < high), target.dtype)

    left = worth
    for _ in range(0 if rules.costs_nothing else _newton_steps(worth.dtype, frictions)):
        wanted, slope = uncapped(left)
        if cap is not None:
            wanted, slope = cap.cut_with_slope(wanted, slope, left)
        change = wanted - value
        costs = total(_costs(change.abs(), frictions))
        growth = total(_marginal_cost(change, frictions) * slope)
        left = torch.addcmul(worth - costs, growth, left) / (1.0 + growth).clamp(min=0.5)
    wanted, _ = uncapped(left)
    return wanted if cap is None else cap.cut(wanted, left)


def _newton_steps(dtype: torch.dtype, frictions: _Frictions) -> int:
    """Steps to 1e-12 of equity in float64 and 1e-5 in float32; on random markets the first is nearly always exact."""
    smooth = frictions.impact is None and frictions.most is None
    return (1 if smooth else 2) * (1 if dtype == torch.float32 else 2)


class _GrossCap(NamedTuple):
    """The cap on gross exposure: all values are scaled down alike, as far as they can be closed.

    `stuck` `[B, A]` is what cannot be closed, `taken` `[B]` the room it takes, `leverage` the cap.
    """

    stuck: Tensor
    taken: Tensor
    leverage: Limit

    @classmethod
    def of(cls, holdings: Holdings, frictions: _Frictions, rules: TradingRules) -> _GrossCap:
        value = holdings.value
        if frictions.most is None:
            stuck = value * _as_numbers(~holdings.movable, value.dtype)
        else:
            stuck = value - value.clamp(-frictions.most, frictions.most)
        # A little more than is stuck: what rounding leaves of a cap that is used up is no room for a trade.
        taken = total(stuck.abs()) * (1.0 + 64.0 * torch.finfo(value.dtype).eps)
        return cls(stuck, taken, rules.gross_leverage)

    def cut(self, wanted: Tensor, left: Tensor) -> Tensor:
        """Values under the cap where equity is `left` `[B]`."""
        free, _, share = self._excess(wanted, left)
        # Taken off rather than scaled: where nothing is cut, units held stay exactly as they are.
        return torch.addcmul(wanted, free, share.unsqueeze(-1), value=-1)

    def cut_with_slope(self, wanted: Tensor, slope: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and what one more unit of equity changes about them if it changes `slope` about `wanted`."""
        free, gross, share = self._excess(wanted, left)
        kept = 1.0 - share
        # Only where the cap cuts something but not all does it move with equity.
        binds = (share * kept).sign()
        growth = (binds * (total(free.sign() * slope) * kept - self.leverage) / gross).unsqueeze(-1)
        cut = torch.addcmul(wanted, free, share.unsqueeze(-1), value=-1)
        return cut, torch.addcmul(slope * kept.unsqueeze(-1), free, growth, value=-1)

    def _excess(self, wanted: Tensor, left: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What can be cut `[B, A]`, its gross `[B]`, and the share of it that is beyond the cap `[B]`."""
        free = wanted - self.stuck
        gross = total(free.abs()).clamp(min=torch.finfo(free.dtype).tiny)
        room = (self.leverage * left - self.taken).clamp(min=0.0)
        return free, gross, (gross - room).clamp(min=0.0) / gross


def _costs(size: Tensor, frictions: _Frictions) -> Tensor:
    """`[B, A]` money for trades of absolute values `size` `[B, A]`."""
    if frictions.impact is None:
        return size * frictions.rate
    return size * (frictions.rate + _pressure(size, frictions.impact))


def _marginal_cost(change: Tensor, frictions: _Frictions) -> Tensor:
    """`[B, A]` what the costs grow by if the change grows by one."""
    if frictions.impact is None:
        rate = frictions.rate
        return torch.copysign(rate, change) if isinstance(rate, Tensor) else change.sign() * rate
    return change.sign() * (frictions.rate + 1.5 * _pressure(change.detach().abs(), frictions.impact))


def _pressure(size: Tensor, impact: Tensor) -> Tensor:
    """`[B, A]` fraction of a trade that market impact costs."""
    # The smallest of numbers keeps the gradient of size * sqrt(size) finite where nothing is traded.
    return (impact * (size + torch.finfo(size.dtype).tiny).sqrt()).clamp(max=1.0)


def _is_there(rule: Limit) -> bool:
    """Whether a rule that is 0 where there is none applies to anyone."""
    return not is_number(rule) or rule != 0


def _as_numbers(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 and 1 for a bool mask."""
    # Bytes are converted several times faster than truth values, and a mask is stored as bytes of 0 and 1.
    return mask.view(torch.uint8).to(dtype)


def _clamped(weight: Tensor, low: Limit, high: Limit) -> Tensor:
    if is_number(low) and is_number(high):
        return weight.clamp(low, high)
    return weight.clamp(torch.as_tensor(low), torch.as_tensor(high))
