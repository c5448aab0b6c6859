"""What is traded: from the weights asked for to values on which limits, costs and the equity they leave agree.

Masks become numbers where they meet money: a product with 0 or 1 is several times faster than a choice between two.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from toto_ops.simulation.rules import Limit, TradingRules, in_force, is_number


class Holdings(NamedTuple):
    """What `B` accounts hold at an open, and what is known of the market they would trade in.

    Attributes
    ----------
    value
        `[B, A]` money in each symbol.
    worth
        `[B, 1]` equity before any trade.
    initial
        `[B]` initial capital.
    movable
        `[B, A]` or `[A]` bool: can be traded or is liquidated as delisted; None: every symbol can be traded.
    delisted, volatility, traded_value
        `[B, A]` or `[A]`, as in `BarPrices`.
    """

    value: Tensor
    worth: Tensor
    initial: Tensor
    movable: Tensor | None
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


def as_numbers(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 and 1 for a bool mask."""
    # Bytes are converted several times faster than truth values, and a mask is stored as bytes of 0 and 1.
    return mask.view(torch.uint8).to(dtype)


def one_unless_zero(values: Tensor) -> Tensor:
    """0 where a value is 0, 1 elsewhere, without a gradient."""
    return values.detach().sign().abs()


def rounding(worth: Tensor) -> Tensor:
    """Money too small to be a trade, in the shape of `worth`: half the digits of the dtype (1.5e-8 of it in float64)."""
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
    size = (wanted - holdings.value).abs()
    return Sized(wanted, size * _cost_rate(size, frictions))


def _frictions(holdings: Holdings, rules: TradingRules) -> _Frictions:
    rate, impact, most = rules.cost_rate, None, None
    if _is_there(rules.slippage):
        as_stated = rules.slippage
        slippage = holdings.volatility * (as_stated / rules.slippage_volatility)
        known = slippage.nan_to_num(nan=as_stated) if is_number(as_stated) else slippage.where(~slippage.isnan(), as_stated)
        rate = known.clamp(max=1.0) + rate
    if _is_there(rules.impact) or in_force(rules.participation):
        usual = holdings.traded_value * (holdings.initial / rules.capital).unsqueeze(-1)
        # No volume means that none was reported, as for an index or a currency pair.
        usual = torch.where(usual > 0, usual, math.inf)
        if _is_there(rules.impact):
            impact = rules.impact * holdings.volatility.nan_to_num(nan=0.0) / usual.sqrt()
        if in_force(rules.participation):
            most = torch.where(holdings.delisted, math.inf, rules.participation * usual)
            most = most if holdings.movable is None else torch.where(holdings.movable, most, 0.0)
    return _Frictions(rate, impact, most)


def _targets(weight: Tensor, hold: Tensor, must_close: Tensor, holdings: Holdings, rules: TradingRules) -> tuple[Tensor, Tensor]:
    """Weights to hold, zero where nothing is asked for, and 1 where they are traded for, else 0: `[B, A]` each."""
    value, worth, movable = holdings.value, holdings.worth, holdings.movable
    asked = ~(hold | must_close)
    trade = asked | must_close
    if movable is not None:
        asked, trade = asked & movable, trade & movable
    # What is not asked for may be anything, NaN included: drop it before arithmetic or its gradient sees it.
    target = _clamped(torch.where(asked, weight, 0.0), *rules.weight_range)
    if not is_number(rules.max_positions) or target.shape[-1] > rules.max_positions:
        intended = torch.lerp(value, target * worth, as_numbers(trade, value.dtype))
        stuck = None if movable is None else ~movable & intended.bool()
        stays = largest_positions(intended.abs(), stuck, rules.max_positions)
        target = target * as_numbers(stays, value.dtype)
        trade = trade | (~stays if movable is None else movable & ~stays)
    if _is_there(rules.rebalancing_band) or _is_there(rules.minimum_trade):
        least = worth * rules.rebalancing_band
        if _is_there(rules.minimum_trade):
            least = torch.maximum(least, rules.minimum_trade * (holdings.initial / rules.capital).unsqueeze(-1))
        large_enough = (target * worth - value).abs() >= least
        trade = trade & (large_enough | ~target.bool())
    traded = as_numbers(trade, value.dtype)
    return target * traded, traded


def largest_positions(size: Tensor, stuck: Tensor | None, count: int | Tensor) -> Tensor:
    """`[B, A]` bool: the `count` largest of `size`, earlier symbols first among equals; nothing that is 0 matters.

    Positions that are `stuck`, which cannot be traded now, take their places first: they stay whatever is decided.
    """
    size = size.detach()
    if not bool((_column(one_unless_zero(size)) > count).any()):
        return torch.ones_like(size, dtype=torch.bool)
    if stuck is not None:
        size = size.masked_fill(stuck, math.inf)
    least = _largest_but(size, count - 1)
    stays = size >= least
    # Looking for equals of the least costs less than placing them.
    if bool((_column(as_numbers(stays, size.dtype)) > count).any()):
        above, equal = size > least, size == least
        stays = above | equal & (above.sum(-1, keepdim=True) + equal.cumsum(-1) <= count)
    return stays if stuck is None else stays | stuck


def _largest_but(size: Tensor, larger: int | Tensor) -> Tensor:
    """`[B, 1]` the value of each row of `size` `[B, A]` that `larger` others come before, or the smallest."""
    try:
        # NumPy sorts short rows of numbers with vector instructions, several times faster than torch does.
        ascending = torch.from_numpy(np.sort(size.numpy()))
    except (RuntimeError, TypeError):
        # On another device, in a dtype NumPy lacks, or inside a transform of `torch.func`.
        ascending = size.sort().values
    last = size.shape[-1] - 1
    place = (last - torch.as_tensor(larger, device=size.device)).clamp(min=0)
    return ascending.gather(-1, place.expand(size.shape[0], 1))


def _settled(target: Tensor, traded: Tensor, holdings: Holdings, frictions: _Frictions, rules: TradingRules) -> Tensor:
    """Values `[B, A]` to hold so that targets and gross cap are met by the equity that is left after costs.

    Costs depend on the trade, and the trade on the equity that costs leave. Newton's method finds that equity: costs are
    linear in it but for the kinks where a trade changes sides, positions held under the gross cap, and impact.
    """
    value, worth = holdings.value, holdings.worth
    # What is traded for grows with the equity that is left, what is held does not.
    fixed = torch.addcmul(value, value, traded, value=-1)
    cap = _GrossCap.of(holdings, frictions, rules) if in_force(rules.gross_leverage) else None

    def reached(left: Tensor) -> tuple[Tensor, Tensor]:
        """Values where equity is `left`, and what one more unit of equity changes about them."""
        wanted, slope = torch.addcmul(fixed, target, left), target
        if frictions.most is not None:
            low, high = value - frictions.most, value + frictions.most
            slope = target * as_numbers((wanted > low) & (wanted < high), target.dtype)
            wanted = wanted.clamp(low, high)
        return (wanted, slope) if cap is None else cap.cut(wanted, slope, left)

    left = worth
    for _ in range(0 if rules.costs_nothing else _newton_steps(worth.dtype, frictions)):
        wanted, slope = reached(left)
        costs, growth = _costs_and_growth(wanted - value, slope, frictions)
        left = torch.addcmul(worth - costs, growth, left) / (1.0 + growth)
    return reached(left)[0]


def _newton_steps(dtype: torch.dtype, frictions: _Frictions) -> int:
    """Steps to 1e-12 of equity in float64 and 1e-5 in float32; on random markets the first is nearly always exact."""
    smooth = frictions.impact is None and frictions.most is None
    return (1 if smooth else 2) * (1 if dtype == torch.float32 else 2)


class _GrossCap(NamedTuple):
    """The cap on gross exposure: all values are scaled down alike, as far as they can be closed.

    `stuck` `[B, A]` is what cannot be closed, `taken` `[B, 1]` the room it takes (None: nothing is stuck), `leverage` the cap.
    """

    stuck: Tensor | None
    taken: Tensor | None
    leverage: Limit

    @classmethod
    def of(cls, holdings: Holdings, frictions: _Frictions, rules: TradingRules) -> _GrossCap:
        value, leverage = holdings.value, _as_column(rules.gross_leverage)
        if frictions.most is not None:
            stuck = value - value.clamp(-frictions.most, frictions.most)
        elif holdings.movable is not None:
            stuck = value * as_numbers(~holdings.movable, value.dtype)
        else:
            return cls(None, None, leverage)
        # A little more than is stuck: what rounding leaves of a cap that is used up is no room for a trade.
        return cls(stuck, _column(stuck.abs()) * (1.0 + 64.0 * torch.finfo(value.dtype).eps), leverage)

    def cut(self, wanted: Tensor, slope: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """Values under the cap where equity is `left` `[B, 1]`, and what one more unit of equity changes about them.

        Without the cap, they are `wanted` and change by `slope`.
        """
        free = wanted if self.stuck is None else wanted - self.stuck
        gross = _column(free.abs())
        room = left * self.leverage if self.taken is None else left * self.leverage - self.taken
        # Looking costs less than cutting nothing: most often no account is above its cap.
        if not bool((gross > room).any()):
            return wanted, slope
        gross = gross.clamp(min=torch.finfo(gross.dtype).tiny)
        share = (gross - room.clamp(min=0.0)).clamp(min=0.0) / gross
        kept = 1.0 - share
        # Only where the cap cuts something but not all does it move with equity.
        binds = (share * kept).sign()
        growth = binds * (_column(free.sign() * slope) * kept - self.leverage) / gross
        # Taken off rather than scaled: where nothing is cut, units held stay exactly as they are.
        return torch.addcmul(wanted, free, share, value=-1), torch.addcmul(slope * kept, free, growth, value=-1)


def _costs_and_growth(change: Tensor, slope: Tensor, frictions: _Frictions) -> tuple[Tensor, Tensor]:
    """`[B, 1]` costs of trades, and what they grow by with one more unit of equity, if that changes them by `slope`."""
    if frictions.impact is None:
        rate = frictions.rate
        signed = torch.copysign(rate, change) if isinstance(rate, Tensor) else change.sign() * rate
        return _column(signed * change), _column(signed * slope)
    size = change.abs()
    marginal = change.sign() * (frictions.rate + 1.5 * _pressure(size.detach(), frictions.impact))
    # A market so thin that the last unit costs half of itself is nothing to extrapolate from.
    return _column(size * _cost_rate(size, frictions)), _column(marginal * slope).clamp(min=-0.5)


def _cost_rate(size: Tensor, frictions: _Frictions) -> Limit:
    """What trades of absolute values `size` `[B, A]` cost, as a fraction of them."""
    return frictions.rate if frictions.impact is None else frictions.rate + _pressure(size, frictions.impact)


def _pressure(size: Tensor, impact: Tensor) -> Tensor:
    """`[B, A]` fraction of a trade that market impact costs."""
    # The smallest of numbers keeps the gradient of size * sqrt(size) finite where nothing is traded.
    return (impact * (size + torch.finfo(size.dtype).tiny).sqrt()).clamp(max=1.0)


def _column(values: Tensor) -> Tensor:
    """`[B, 1]` sum of `[B, A]` over the symbols."""
    return values if values.shape[-1] == 1 else total(values).unsqueeze(-1)


def _as_column(rule: Limit) -> Limit:
    """A figure of accounts, one for all or `[B]`, beside figures of symbols."""
    return rule.unsqueeze(-1) if isinstance(rule, Tensor) and rule.ndim == 1 else rule


def _is_there(rule: Limit) -> bool:
    """Whether a rule that is 0 where there is none applies to anyone."""
    return not is_number(rule) or rule != 0


def _clamped(weight: Tensor, low: Limit, high: Limit) -> Tensor:
    if is_number(low) and is_number(high):
        return weight.clamp(low, high)
    return weight.clamp(torch.as_tensor(low), torch.as_tensor(high))
