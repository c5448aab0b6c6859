"""One step of a portfolio: the only place in the project where money is computed.

`portfolio_step` is a pure function of tensors: training, backtest, paper trading and serving all call it. It runs `B`
accounts over `A` symbols at once, in the dtype of the state (float32 in training, float64 wherever the result is
reported), and the equity it returns is differentiable with respect to the target weights. Rules that make a small change
of a weight a jump (number of positions, band, smallest trade, breaker) are straight-through: what happens obeys them, the
gradient is that of a step without them. Facts are not: what has no bar, is delisted, stopped out or bankrupt has none.

The order within one step, all at the open of a bar:

1. financing since the last open is paid, then positions are marked to the open;
2. an account at or below its bankruptcy floor is closed for good;
3. the drawdown circuit breaker and the stop-losses force positions to zero, delisted symbols are liquidated;
4. targets: HOLD keeps the units held, others are limited in sign, in size and in number;
5. changes within the rebalancing band or below the smallest trade are left alone, except those that close a position;
6. no trade takes more than its share of what is usually traded, except in a delisted symbol;
7. the whole portfolio is scaled down to the gross cap, as far as it can be closed;
8. what remains is traded, and costs are paid on the value traded.

`toto_ops.simulation.reference` says the same in plain scalar Python; a test holds the two together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from toto_ops.capital import checked_capital
from toto_ops.simulation.rules import DAYS_PER_YEAR, TradingRules, in_force, is_number
from toto_ops.simulation.sizing import Holdings, Sized, as_numbers, one_unless_zero, rounding, sized, total


class PortfolioState(NamedTuple):
    """`B` accounts over `A` symbols between two steps.

    Attributes
    ----------
    cash
        `[B]` money; negative when borrowed, and it holds the proceeds of shorts.
    units
        `[B, A]` units held; negative when short.
    mark
        `[B, A]` latest price seen; 1 until there is one.
    entry
        `[B, A]` average entry price of the open position; 0 when flat.
    days_since_trade
        `[B, A]` calendar days from the last trade to the last open; infinite before the first trade.
    initial
        `[B]` initial capital.
    peak
        `[B]` highest equity at an open since the start, or since the breaker last let go.
    cooldown
        `[B]` int64: further bars the breaker keeps the account flat.
    bankrupt
        `[B]` bool: closed for good.
    """

    cash: Tensor
    units: Tensor
    mark: Tensor
    entry: Tensor
    days_since_trade: Tensor
    initial: Tensor
    peak: Tensor
    cooldown: Tensor
    bankrupt: Tensor


class BarPrices(NamedTuple):
    """The open of one bar.

    Attributes
    ----------
    open
        `[B, A]` or `[A]` opening prices; ignored (NaN allowed) where not tradable.
    tradable
        Bool of the same shape: the symbol has a bar here.
    delisted
        Bool of the same shape: the feed of the symbol has ended; what is held is liquidated at its last close.
    elapsed_days
        `[B]` or `[1]` calendar days since the previous open.
    volatility
        `[B, A]` or `[A]` standard deviation of log returns per bar, as known before this open; NaN where unknown.
    traded_value
        `[B, A]` or `[A]` money usually traded in one bar, as known before this open; NaN where unknown.
    complete
        Every symbol is tradable and none delisted, and who made this bar knows it: then nothing has to be asked of each.
    """

    open: Tensor
    tradable: Tensor
    delisted: Tensor
    elapsed_days: Tensor
    volatility: Tensor
    traded_value: Tensor
    complete: bool = False

    @classmethod
    def of_prices(cls, open_: Tensor, tradable: Tensor, delisted: Tensor, elapsed_days: Tensor) -> BarPrices:
        """A bar of which neither volatility nor volume is known."""
        unknown = torch.full_like(open_, math.nan)
        return cls(open_, tradable, delisted, elapsed_days, unknown, unknown)


class StepResult(NamedTuple):
    """What one step did.

    Attributes
    ----------
    state
        The accounts after the trades.
    equity_before
        `[B]` at the open, after financing and before the trades.
    interest
        `[B]` financing paid since the last open; negative when idle cash earned more.
    costs
        `[B, A]` money that the trade in each symbol cost.
    traded
        `[B, A]` bool: more than rounding was traded.
    value_before, value_after
        `[B, A]` value of each position at the open, before and after the trades.
    """

    state: PortfolioState
    equity_before: Tensor
    interest: Tensor
    costs: Tensor
    traded: Tensor
    value_before: Tensor
    value_after: Tensor

    # What follows from the fields is worked out when asked for: training asks for little of it.

    @property
    def fees(self) -> Tensor:
        """`[B]` costs of all trades."""
        return total(self.costs)

    @property
    def equity_after(self) -> Tensor:
        """`[B]` equity after the costs of the trades."""
        return self.equity_before - self.fees

    @property
    def turnover(self) -> Tensor:
        """`[B]` traded value over the equity before."""
        return total((self.value_after - self.value_before).abs()) / _or_initial(self.equity_before, self.state)

    @property
    def trades(self) -> Tensor:
        """`[B]` int64: symbols traded."""
        return self.traded.sum(-1)

    @property
    def weights(self) -> Tensor:
        """`[B, A]` value over equity after the trades; over the initial capital once equity is not positive."""
        return self.value_after / _or_initial(self.equity_after, self.state).unsqueeze(-1)


def initial_state(
    batch: int,
    assets: int,
    capital: float = 1.0,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> PortfolioState:
    """`batch` accounts that hold `capital` in cash and nothing else.

    Raises
    ------
    ValueError
        If there is no account.
    ConfigError
        If no account can begin with such a capital (`checked_capital`).
    """
    if batch < 1:
        raise ValueError(f"at least one account is needed, got {batch}")
    money = torch.full((batch,), checked_capital(capital), dtype=dtype, device=device)
    flat = torch.zeros((batch, assets), dtype=dtype, device=device)
    return PortfolioState(
        cash=money,
        units=flat,
        mark=torch.ones_like(flat),
        entry=flat,
        days_since_trade=torch.full_like(flat, math.inf),
        initial=money,
        peak=money,
        cooldown=torch.zeros((batch,), dtype=torch.int64, device=device),
        bankrupt=torch.zeros((batch,), dtype=torch.bool, device=device),
    )


def equity(state: PortfolioState) -> Tensor:
    """`[B]` cash plus the value of all positions at their marks."""
    return state.cash + total(state.units * state.mark)


def mark_to_close(state: PortfolioState, close: Tensor, mask: Tensor) -> PortfolioState:
    """Mark positions to the closes where there is a bar, so that a symbol that pauses or ends is valued at its last close."""
    return state._replace(mark=torch.where(mask, close, state.mark))


def mark_to_open(state: PortfolioState, bar: BarPrices, rules: TradingRules) -> tuple[PortfolioState, Tensor]:
    """Pay financing since the last open, then mark to this one.

    Returns
    -------
    state
        Before any trade.
    interest
        `[B]` paid; negative when earned.
    """
    short = total((state.units * state.mark).clamp(max=0.0))  # zero or negative
    # Equity less long value, since equity is cash plus long value less short value: idle if positive, borrowed if not.
    idle = state.cash + short
    earned = idle.clamp(max=0.0) * rules.margin_rate + short * rules.short_rate
    if not (is_number(rules.cash_rate) and rules.cash_rate == 0):
        earned = earned + idle.clamp(min=0.0) * rules.cash_rate
    interest = earned * (bar.elapsed_days / -DAYS_PER_YEAR)
    marked = state._replace(
        cash=state.cash - interest,
        mark=bar.open.expand_as(state.mark).contiguous() if bar.complete else torch.where(bar.tradable, bar.open, state.mark),
        days_since_trade=state.days_since_trade + bar.elapsed_days.unsqueeze(-1),
    )
    return marked, interest


def portfolio_step(state: PortfolioState, weight: Tensor, hold: Tensor, bar: BarPrices, rules: TradingRules) -> StepResult:
    """Carry accounts over to the next open and trade there.

    Parameters
    ----------
    state
        After the previous step, marked to the close in between (`mark_to_close`).
    weight
        `[B, A]` target weights as fractions of equity; ignored (NaN allowed) where `hold`.
    hold
        `[B, A]` bool: keep the units held.
    bar
        The open to trade at.
    rules
        Costs, rates and limits.
    """
    state, interest = mark_to_open(state, bar, rules)
    value = state.units * state.mark
    worth = state.cash + total(value)
    bankrupt = state.bankrupt | (worth <= state.initial * rules.bankruptcy_floor)
    peak, cooldown, flat = _breaker(state, worth.detach(), bankrupt, rules)
    holdings = Holdings(
        value=value,
        worth=worth.unsqueeze(-1),
        initial=state.initial,
        movable=None if bar.complete else bar.tradable | bar.delisted,
        delisted=bar.delisted,
        volatility=bar.volatility,
        traded_value=bar.traded_value,
    )
    stopped = _stopped(state, value, rules)
    weight, forced = weight.to(value.dtype), stopped if bar.complete else stopped | bar.delisted

    def traded_for(closed: Tensor, rules: TradingRules) -> Sized:
        return sized(weight, hold, forced | closed.unsqueeze(-1), holdings, rules)

    wanted, costs = traded_for(bankrupt | flat, rules)
    if wanted.requires_grad and rules.without_jumps is not rules:
        smooth = traded_for(bankrupt, rules.without_jumps)
        wanted, costs = straight_through(wanted, smooth.wanted), straight_through(costs, smooth.costs)

    change = wanted - value
    traded = change.abs() > rounding(holdings.worth)
    bought = wanted / state.mark
    # Without a trade the very same units, whatever value over price is rounded to.
    units = straight_through(torch.lerp(state.units, bought, one_unless_zero(change)), bought)
    after = state._replace(
        cash=state.cash - total(change + costs),
        units=units,
        entry=_average_entry(state, units.detach()),
        # Not a choice but a product, for speed; before the first trade it is infinity times zero.
        days_since_trade=(state.days_since_trade * as_numbers(~traded, value.dtype)).nan_to_num(nan=0.0, posinf=math.inf),
        peak=peak,
        cooldown=cooldown,
        bankrupt=bankrupt,
    )
    return StepResult(
        state=after,
        equity_before=worth,
        interest=interest,
        costs=costs,
        traded=traded,
        value_before=value,
        value_after=wanted,
    )


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of `hard` with the gradient of `soft`: the straight-through estimator.

    Bengio, Leonard and Courville, "Estimating or propagating gradients through stochastic neurons for conditional
    computation" (2013), section 5.
    """
    return hard.detach() + (soft - soft.detach()) if soft.requires_grad else hard


def _breaker(state: PortfolioState, worth: Tensor, bankrupt: Tensor, rules: TradingRules) -> tuple[Tensor, Tensor, Tensor]:
    """Peak, cooldown and whether each account must be flat at this bar, all `[B]`."""
    peak = torch.maximum(state.peak, worth)
    if not in_force(rules.max_drawdown):
        return peak, state.cooldown, torch.zeros_like(state.bankrupt)
    cooling = state.cooldown.bool()
    # Of less than nothing there is no drawdown.
    fell = (worth <= peak * (1.0 - rules.max_drawdown)) & ~bankrupt
    flat = cooling | fell
    # Looking costs less than changing nothing.
    if not bool(flat.any()):
        return peak, state.cooldown, flat
    left = torch.where(cooling, state.cooldown - 1, fell * (rules.breaker_cooldown - 1))
    # A new peak starts where the breaker lets go: measured from the old one it would trip again at once.
    return torch.where(flat, worth, peak), left, flat


def _stopped(state: PortfolioState, value: Tensor, rules: TradingRules) -> Tensor:
    """`[B, A]` bool: the mark is further than `stop_loss` against the average entry price."""
    if not in_force(rules.stop_loss):
        return torch.zeros_like(state.units, dtype=torch.bool)
    paid = state.units * state.entry
    return value - paid < paid.abs() * -rules.stop_loss


def _average_entry(state: PortfolioState, units: Tensor) -> Tensor:
    """Average entry price `[B, A]` once `units` are held: moved by additions, kept by reductions, new after a flip."""
    held = one_unless_zero(units)
    # The share of the position bought at this price: all of a new or flipped one, none of one that was reduced.
    new = ((units - state.units.detach()) / (units + (1.0 - held))).clamp(0.0, 1.0)
    return torch.lerp(state.entry, state.mark, new) * held


def _or_initial(worth: Tensor, state: PortfolioState) -> Tensor:
    return torch.where(worth > 0, worth, state.initial)
