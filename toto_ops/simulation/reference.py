"""The rules of `toto_ops.simulation.portfolio` once more, for one account, in plain Python floats.

Slow and literal on purpose: it is the oracle that the batched step and the backtest are tested against, so it shares
no code with them and prefers loops over cleverness. Nothing else may use it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

_ROUNDING = 2.0**-26


class PlainRules(Protocol):
    """`TradingRules` of one account: plain numbers, nothing stacked."""

    cost_rate: float
    slippage: float
    slippage_volatility: float
    impact: float
    margin_rate: float
    short_rate: float
    cash_rate: float
    gross_leverage: float
    symbol_cap: float
    max_positions: int
    w_max: float
    may_short: bool
    rebalancing_band: float
    minimum_trade: float
    participation: float
    stop_loss: float
    max_drawdown: float
    breaker_cooldown: int
    bankruptcy_floor: float
    decision_lag: int
    capital: float


@dataclass
class ReferenceAccount:
    """One account over `A` symbols; fields as in `PortfolioState`."""

    assets: int
    initial: float = 1.0
    cash: float = field(init=False)
    peak: float = field(init=False)
    cooldown: int = 0
    bankrupt: bool = False
    units: list[float] = field(init=False)
    mark: list[float] = field(init=False)
    entry: list[float] = field(init=False)
    days_since_trade: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.cash = self.peak = self.initial
        self.units = [0.0] * self.assets
        self.mark = [1.0] * self.assets
        self.entry = [0.0] * self.assets
        self.days_since_trade = [math.inf] * self.assets

    def values(self) -> list[float]:
        """Value of each position at its mark."""
        return [units * mark for units, mark in zip(self.units, self.mark, strict=True)]

    def equity(self) -> float:
        """Cash plus the value of all positions."""
        return self.cash + sum(self.values())

    def let_pass(self, days: float, rules: PlainRules) -> float:
        """Let `days` calendar days pass; charge interest for them, ACT/365, and return it."""
        self.days_since_trade = [idle + days for idle in self.days_since_trade]
        long = sum(value for value in self.values() if value > 0)
        short = -sum(value for value in self.values() if value < 0)
        borrowed = max(0.0, long - self.equity())
        idle = max(0.0, self.equity() - long)
        yearly = borrowed * rules.margin_rate + short * rules.short_rate - idle * rules.cash_rate
        interest = yearly * days / 365
        self.cash -= interest
        return interest

    def mark_to(self, prices: Sequence[float], tradable: Sequence[bool]) -> None:
        """Take over the prices of the symbols that have a bar."""
        for a in range(self.assets):
            if tradable[a]:
                self.mark[a] = prices[a]

    def features(self, rules: PlainRules, days_since_open: float) -> list[list[float]]:
        """`[A][4]` account features."""
        base = self.equity() if self.equity() > 0 else self.initial
        gross = sum(abs(value) for value in self.values())
        return [
            [
                max(-1.0, min(1.0, value / base / rules.w_max)),
                gross / base,
                self.cash / base,
                math.tanh((idle + days_since_open) / 30),
            ]
            for value, idle in zip(self.values(), self.days_since_trade, strict=True)
        ]


@dataclass(frozen=True)
class ReferenceStep:
    """What one step did to one account."""

    equity_before: float
    equity_after: float
    costs: list[float]
    fees: float
    interest: float
    turnover: float
    trades: int
    weights: list[float]


@dataclass(frozen=True)
class ReferenceBar:
    """One row for one account: what opens at its start, what closes in it, and what was known before; NaN where unknown."""

    open: Sequence[float]
    tradable: Sequence[bool]
    delisted: Sequence[bool]
    elapsed_days: float
    volatility: Sequence[float]
    traded_value: Sequence[float]
    closes: Sequence[bool]


def reference_step(
    account: ReferenceAccount, weight: Sequence[float], hold: Sequence[bool], bar: ReferenceBar, rules: PlainRules
) -> ReferenceStep:
    """Carry one account over to the next open and trade there; the account is changed in place."""
    interest = account.let_pass(bar.elapsed_days, rules)
    account.mark_to(bar.open, bar.tradable)
    equity = account.equity()
    values = account.values()
    base = equity if equity > 0 else account.initial

    account.bankrupt = account.bankrupt or equity <= rules.bankruptcy_floor * account.initial
    flat = _breaker_keeps_flat(account, equity, rules) or account.bankrupt

    movable = [bar.tradable[a] or bar.delisted[a] for a in range(account.assets)]
    target: list[float | None] = []  # None: leave the units as they are
    for a in range(account.assets):
        if not movable[a]:
            target.append(None)
        elif flat or bar.delisted[a] or _stopped(account, a, rules):
            target.append(0.0)
        elif hold[a]:
            target.append(None)
        else:
            floor = -rules.symbol_cap if rules.may_short else 0.0
            target.append(max(floor, min(rules.symbol_cap, weight[a])))
    _close_beyond_max_positions(target, [value / base for value in values], movable, rules)
    for a, wanted in enumerate(target):
        if wanted is not None and wanted != 0 and _too_small(wanted * base - values[a], base, account, rules):
            target[a] = None

    desk = _Desk(account, bar, rules)
    wanted_values = _sized_after_costs(target, values, desk, equity)
    costs = [desk.cost(a, wanted_values[a] - before) for a, before in enumerate(values)]
    traded_value = sum(abs(after - before) for after, before in zip(wanted_values, values, strict=True))
    trades = _trade(account, wanted_values, equity)
    account.cash -= sum(costs)
    left = equity - sum(costs)
    return ReferenceStep(
        equity_before=equity,
        equity_after=left,
        costs=costs,
        fees=sum(costs),
        interest=interest,
        turnover=traded_value / base,
        trades=trades,
        weights=[value / (left if left > 0 else account.initial) for value in wanted_values],
    )


@dataclass(frozen=True)
class _Desk:
    """Where trades are made: what they cost and how large they can be. An account of `initial` trades as `capital`."""

    account: ReferenceAccount
    bar: ReferenceBar
    rules: PlainRules

    def cost(self, a: int, change: float) -> float:
        """Money that moving the value of symbol `a` by `change` costs."""
        rules, volatility = self.rules, self.bar.volatility[a]
        fraction = rules.cost_rate
        fraction += min(1.0, rules.slippage * (1.0 if math.isnan(volatility) else volatility / rules.slippage_volatility))
        usual = self.usual_trade(a)
        if usual is not None and not math.isnan(volatility):
            money = abs(change) * rules.capital / self.account.initial
            fraction += min(1.0, rules.impact * volatility * math.sqrt(money / usual))
        return fraction * abs(change)

    def usual_trade(self, a: int) -> float | None:
        """Money usually traded in one bar, None where nothing is known of it."""
        usual = self.bar.traded_value[a]
        return usual if usual > 0 else None

    def largest_change(self, a: int) -> float:
        """How far the value of symbol `a` can be moved at this open."""
        if self.bar.delisted[a]:
            return math.inf
        if not self.bar.tradable[a]:
            return 0.0
        usual = self.usual_trade(a)
        return math.inf if usual is None else self.rules.participation * usual * self.account.initial / self.rules.capital


def _too_small(change: float, base: float, account: ReferenceAccount, rules: PlainRules) -> bool:
    money = abs(change) * rules.capital / account.initial
    return abs(change) / base < rules.rebalancing_band or money < rules.minimum_trade


def _breaker_keeps_flat(account: ReferenceAccount, equity: float, rules: PlainRules) -> bool:
    account.peak = max(account.peak, equity)
    if account.cooldown > 0:
        account.cooldown -= 1
    elif not account.bankrupt and 1 - equity / account.peak >= rules.max_drawdown:
        account.cooldown = rules.breaker_cooldown - 1
    else:
        return False
    account.peak = equity
    return True


def _stopped(account: ReferenceAccount, a: int, rules: PlainRules) -> bool:
    if account.units[a] == 0:
        return False
    rise = account.mark[a] / account.entry[a] - 1
    return -rise > rules.stop_loss if account.units[a] > 0 else rise > rules.stop_loss


def _close_beyond_max_positions(target: list[float | None], drifted: list[float], movable: list[bool], rules: PlainRules) -> None:
    assets = range(len(target))
    weights = [drifted[a] if wanted is None else wanted for a, wanted in enumerate(target)]
    stuck = [a for a in assets if not movable[a] and weights[a] != 0]
    candidates = sorted((a for a in assets if movable[a]), key=lambda a: (-abs(weights[a]), a))
    for a in candidates[max(0, rules.max_positions - len(stuck)) :]:
        target[a] = 0.0


def _sized_after_costs(target: list[float | None], values: list[float], desk: _Desk, equity: float) -> list[float]:
    """Values to hold, sized on the very equity that their costs leave."""
    from scipy.optimize import brentq

    def too_much(left: float) -> float:
        wanted = _sized_on(left, target, values, desk, equity)
        costs = sum(desk.cost(a, after - before) for a, (after, before) in enumerate(zip(wanted, values, strict=True)))
        return left + costs - equity

    span = abs(equity) + sum(abs(value) for value in values)
    while too_much(equity - span) > 0:
        span *= 2
    return _sized_on(brentq(too_much, equity - span, equity, xtol=1e-300, rtol=1e-15), target, values, desk, equity)


def _sized_on(left: float, target: list[float | None], values: list[float], desk: _Desk, equity: float) -> list[float]:
    wanted, stuck = [], []
    for a, (weight, value) in enumerate(zip(target, values, strict=True)):
        most = desk.largest_change(a)
        asked = value if weight is None else weight * left
        wanted.append(max(value - most, min(value + most, asked)))
        stuck.append(math.copysign(max(0.0, abs(value) - most), value))
    room = desk.rules.gross_leverage * left - sum(abs(value) for value in stuck)
    room = room if room > _ROUNDING * abs(equity) else 0.0
    gross = sum(abs(value - rest) for value, rest in zip(wanted, stuck, strict=True))
    if gross > room:
        wanted = [rest + (value - rest) * room / gross for value, rest in zip(wanted, stuck, strict=True)]
    return wanted


def _trade(account: ReferenceAccount, wanted: list[float], equity: float) -> int:
    """Move every position to the value wanted; return the number of symbols traded."""
    trades = 0
    for a, before in enumerate(account.values()):
        change = wanted[a] - before
        if change == 0:
            continue
        account.cash -= change
        units = wanted[a] / account.mark[a]
        account.entry[a] = _entry_after(account, a, units)
        account.units[a] = units
        if abs(change) > _ROUNDING * abs(equity):
            trades += 1
            account.days_since_trade[a] = 0.0
    return trades


def _entry_after(account: ReferenceAccount, a: int, units: float) -> float:
    held, entry, price = account.units[a], account.entry[a], account.mark[a]
    if units == 0:
        return 0.0
    if held * units <= 0:
        return price
    if abs(units) <= abs(held):
        return entry
    return (held * entry + (units - held) * price) / units


@dataclass(frozen=True)
class ReferenceDecision:
    """A decision for one symbol at one close; `weight` None is HOLD, `opens` how often the symbol has opened since."""

    row: int
    weight: float | None
    opens: int = 0


@dataclass(frozen=True)
class ReferenceRun:
    """Outcome of `reference_backtest`."""

    equity: list[float]
    steps: list[ReferenceStep]
    features: list[list[list[float]]]
    fill_row: list[list[int]]


def reference_backtest(
    bars: Sequence[ReferenceBar],
    close: Sequence[Sequence[float]],
    days_to_close: Sequence[float],
    weights: Sequence[Sequence[float | None]],
    rules: PlainRules,
) -> ReferenceRun:
    """Trade a table of decisions `[T][A]` (None is HOLD) by the timing rules of `toto_ops.simulation.backtest`.

    A decision exists only where a bar of the symbol closes. It fills at the `decision_lag`-th open of the symbol from there
    on; a newer one replaces it as long as the symbol has not opened since.
    """
    assets = len(bars[0].open)
    account = ReferenceAccount(assets)
    fill_row = [[-1] * assets for _ in bars]
    pending: list[list[ReferenceDecision]] = [[] for _ in range(assets)]
    equity: list[float] = []
    steps: list[ReferenceStep] = []
    features: list[list[list[float]]] = []
    for row, bar in enumerate(bars):
        if row == len(bars) - 1:
            account.let_pass(bar.elapsed_days, rules)
            account.mark_to(bar.open, bar.tradable)
            equity.append(account.equity())
        else:
            orders: list[float | None] = [None] * assets
            for a in range(assets):
                if not bar.tradable[a]:
                    continue
                pending[a] = [replace(decision, opens=decision.opens + 1) for decision in pending[a]]
                if pending[a] and pending[a][0].opens == rules.decision_lag:
                    orders[a] = pending[a][0].weight
                    fill_row[pending[a][0].row][a] = row
                    pending[a] = pending[a][1:]
            asked = [0.0 if order is None else order for order in orders]
            steps.append(reference_step(account, asked, [order is None for order in orders], bar, rules))
            equity.append(steps[-1].equity_before)
        account.mark_to(close[row], bar.closes)
        features.append(account.features(rules, days_to_close[row]))
        for a in range(assets):
            if bar.closes[a]:
                pending[a] = [decision for decision in pending[a] if decision.opens > 0]
                pending[a].append(ReferenceDecision(row, weights[row][a]))
    return ReferenceRun(equity=equity, steps=steps, features=features, fill_row=fill_row)
