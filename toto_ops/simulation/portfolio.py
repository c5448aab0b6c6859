"""One step of a portfolio: the only place in the project where money is computed.

`portfolio_step` is a pure function of tensors: training, backtest, paper trading and serving all call it. It runs `B`
accounts over `A` symbols at once, in the dtype of the state (float32 in training, float64 wherever the result is
reported), and the equity it returns is differentiable with respect to the target weights.

The order within one step, all at the open of a bar:

1. financing since the last open is paid, then positions are marked to the open;
2. an account at or below its bankruptcy floor is closed for good;
3. the drawdown circuit breaker and the stop-losses force positions to zero, delisted symbols are liquidated;
4. targets: HOLD keeps the units held, others are limited in sign, in size and in number;
5. changes within the rebalancing band are left alone, except those that close a position;
6. the whole portfolio is scaled down to the gross cap;
7. what remains is traded, and costs are paid on the value traded.

`toto_ops.simulation.reference` says the same in plain scalar Python; a test holds the two together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from toto_ops.simulation.rules import DAYS_PER_YEAR, TradingRules

SETTLING_ROUNDS = 4
"""Rounds in which the costs of a trade and the equity it is sized on are brought to agree."""


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
    """

    open: Tensor
    tradable: Tensor
    delisted: Tensor
    elapsed_days: Tensor
    volatility: Tensor
    traded_value: Tensor

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
    equity_before, equity_after
        `[B]` at the open, after financing: before the trades and after their costs.
    fees
        `[B]` costs of the trades.
    interest
        `[B]` financing paid since the last open; negative when idle cash earned more.
    turnover
        `[B]` traded value over `equity_before`.
    trades
        `[B]` int64: symbols traded.
    weights
        `[B, A]` value over equity after the trades; over the initial capital once equity is not positive.
    value_before, value_after
        `[B, A]` value of each position at the open, before and after the trades.
    """

    state: PortfolioState
    equity_before: Tensor
    equity_after: Tensor
    fees: Tensor
    interest: Tensor
    turnover: Tensor
    trades: Tensor
    weights: Tensor
    value_before: Tensor
    value_after: Tensor


def initial_state(
    batch: int,
    assets: int,
    capital: float = 1.0,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> PortfolioState:
    """`batch` accounts that hold `capital` in cash and nothing else."""
    if capital <= 0:
        raise ValueError(f"the initial capital must be positive, got {capital}")
    money = torch.full((batch,), capital, dtype=dtype, device=device)
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
    return state.cash + (state.units * state.mark).sum(-1)


def mark_to_close(state: PortfolioState, close: Tensor, tradable: Tensor) -> PortfolioState:
    """Mark positions to the close of a bar, so that a symbol that pauses or ends is valued at its last close."""
    return state._replace(mark=torch.where(tradable, close, state.mark))


def mark_to_open(state: PortfolioState, bar: BarPrices, rules: TradingRules) -> tuple[PortfolioState, Tensor]:
    """Pay financing since the last open, then mark to this one.

    Returns
    -------
    state
        Before any trade.
    interest
        `[B]` paid; negative when earned.
    """
    short = (state.units * state.mark).clamp(max=0.0).sum(-1).neg()
    # Long value less equity, since equity is cash plus long value less short value: borrowed if positive, idle if not.
    uncovered = short - state.cash
    yearly = uncovered.clamp(min=0.0) * rules.margin_rate + uncovered.clamp(max=0.0) * rules.cash_rate + short * rules.short_rate
    interest = yearly * (bar.elapsed_days / DAYS_PER_YEAR)
    marked = state._replace(
        cash=state.cash - interest,
        mark=torch.where(bar.tradable, bar.open, state.mark),
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
    worth = state.cash + value.sum(-1)
    bankrupt = state.bankrupt | (worth <= rules.bankruptcy_floor * state.initial)
    peak, cooldown, flat = _breaker(state, worth.detach(), rules)

    movable = bar.tradable | bar.delisted
    must_close = bar.delisted | (bankrupt | flat).unsqueeze(-1) | _stopped(state, rules)
    drifted = value / torch.where(worth > 0, worth, state.initial).unsqueeze(-1)
    target, trade = _targets(weight.to(value.dtype), hold, drifted=drifted, movable=movable, must_close=must_close, rules=rules)
    wanted = _settled(target, trade, value=value, movable=movable, worth=worth, rules=rules)

    change = wanted - value
    traded_value = change.abs()
    fees = rules.cost_rate * traded_value.sum(-1)
    worth_after = worth - fees
    units = torch.where(change == 0, state.units, wanted / state.mark)
    traded = traded_value.detach() > _rounding(worth).unsqueeze(-1)
    after = state._replace(
        cash=state.cash - change.sum(-1) - fees,
        units=units,
        entry=_average_entry(state, units.detach()),
        days_since_trade=state.days_since_trade.masked_fill(traded, 0.0),
        peak=peak,
        cooldown=cooldown,
        bankrupt=bankrupt,
    )
    return StepResult(
        state=after,
        equity_before=worth,
        equity_after=worth_after,
        fees=fees,
        interest=interest,
        turnover=traded_value.sum(-1) / torch.where(worth > 0, worth, state.initial),
        trades=traded.sum(-1),
        weights=wanted / torch.where(worth_after > 0, worth_after, state.initial).unsqueeze(-1),
        value_before=value,
        value_after=wanted,
    )


def _breaker(state: PortfolioState, worth: Tensor, rules: TradingRules) -> tuple[Tensor, Tensor, Tensor]:
    """Peak, cooldown and whether each account must be flat at this bar, all `[B]`."""
    peak = torch.maximum(state.peak, worth)
    if math.isinf(rules.max_drawdown):
        return peak, state.cooldown, torch.zeros_like(state.bankrupt)
    cooling = state.cooldown > 0
    tripped = ~cooling & (worth <= peak * (1.0 - rules.max_drawdown))
    flat = cooling | tripped
    cooldown = (state.cooldown - 1).clamp(min=0).masked_fill(tripped, rules.breaker_cooldown - 1)
    # A new peak starts where the breaker lets go: measured from the old one it would trip again at once.
    return torch.where(flat, worth, peak), cooldown, flat


def _stopped(state: PortfolioState, rules: TradingRules) -> Tensor:
    """`[B, A]` bool: the mark is at least `stop_loss` against the average entry price."""
    if math.isinf(rules.stop_loss):
        return torch.zeros_like(state.units, dtype=torch.bool)
    loss = torch.sign(state.units) * (state.entry - state.mark)
    return (state.units != 0) & (loss >= rules.stop_loss * state.entry)


def _targets(
    weight: Tensor, hold: Tensor, *, drifted: Tensor, movable: Tensor, must_close: Tensor, rules: TradingRules
) -> tuple[Tensor, Tensor]:
    """Weights to hold `[B, A]`, and which of them are to be traded for `[B, A]`; the gross cap is still to come."""
    # A held symbol's weight may be anything, NaN included: drop it before arithmetic or its gradient sees it.
    asked = weight.masked_fill(hold, 0.0)
    low = -rules.symbol_cap if rules.may_short else 0.0
    target = torch.where(hold, drifted, asked.clamp(min=low, max=rules.symbol_cap))
    target = torch.where(movable, target.masked_fill(must_close, 0.0), drifted)
    keep = (hold & ~must_close) | ~movable
    if target.shape[-1] > rules.max_positions:
        stays = _largest(target, movable, rules.max_positions)
        target = target.masked_fill(~stays, 0.0)
        keep = keep & stays
    beyond_band = (target - drifted).abs() >= rules.rebalancing_band
    return target, ~keep & (beyond_band | (target == 0))


def _largest(target: Tensor, movable: Tensor, count: int) -> Tensor:
    """`[B, A]` bool: the `count` largest absolute targets, earlier symbols first among equals.

    Positions that cannot be traded now take their places first: they stay whatever is decided.
    """
    stuck = ~movable & (target != 0)
    size = target.detach().abs().masked_fill(stuck, math.inf)
    order = torch.argsort(size, dim=-1, descending=True, stable=True)
    chosen = torch.zeros_like(target, dtype=torch.bool).scatter(-1, order[..., :count], value=True)
    return chosen | stuck


def _settled(target: Tensor, trade: Tensor, *, value: Tensor, movable: Tensor, worth: Tensor, rules: TradingRules) -> Tensor:
    """Values `[B, A]` to hold so that targets and gross cap are met by the equity that is left after costs.

    Costs depend on the trade, and the trade on the equity that the costs leave. Substituting one into the other
    contracts by cost rate x gross exposure (0.3 % at 0.15 % and 2x), so a few rounds settle it beyond doubt.
    """
    stuck = value.masked_fill(movable, 0.0)
    stuck_gross = stuck.abs().sum(-1)
    # What is traded for grows with the equity that is left, what is held does not.
    variable = target.masked_fill(~trade, 0.0)
    fixed = (value - stuck).masked_fill(trade, 0.0)
    before = value - stuck
    rounding = _rounding(worth)
    tiny = torch.finfo(worth.dtype).tiny

    def sized(left: Tensor) -> Tensor:
        wanted = variable * left.unsqueeze(-1) + fixed
        if math.isinf(rules.gross_leverage):
            return wanted
        room = rules.gross_leverage * left - stuck_gross
        room = room * (room > rounding)
        gross = wanted.abs().sum(-1)
        return wanted * (room / torch.maximum(gross, room).clamp(min=tiny)).unsqueeze(-1)

    left = worth
    for _ in range(SETTLING_ROUNDS):
        left = worth - rules.cost_rate * (sized(left) - before).abs().sum(-1)
    return sized(left) + stuck


def _rounding(worth: Tensor) -> Tensor:
    """`[B]` money too small to be a trade or room for one: half the digits of the dtype (1.5e-8 of equity in float64)."""
    return math.sqrt(torch.finfo(worth.dtype).eps) * worth.detach().abs()


def _average_entry(state: PortfolioState, units: Tensor) -> Tensor:
    """Average entry price `[B, A]` once `units` are held: moved by additions, kept by reductions, new after a flip."""
    held, flat = state.units.detach(), units == 0
    same_side = held * units > 0
    added = (units - held).abs() * (units.abs() > held.abs())
    size = units.abs().masked_fill(flat, 1.0)
    averaged = state.entry + (state.mark - state.entry) * (added / size)
    return torch.where(same_side, averaged, state.mark).masked_fill(flat, 0.0).detach()
