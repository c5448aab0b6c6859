"""The rules of `toto_ops.simulation.portfolio` once more, for one account, in plain Python floats.

Slow and literal on purpose: it is the oracle that the batched step and the backtest are tested against, so it shares
no code with them and prefers loops over cleverness. Nothing else may use it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from toto_ops.simulation.rules import TradingRules

_ROUNDING = 2.0**-26


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

    def let_pass(self, days: float, rules: TradingRules) -> float:
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

    def features(self, rules: TradingRules, days_since_open: float) -> list[list[float]]:
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
    fees: float
    interest: float
    turnover: float
    trades: int
    weights: list[float]


@dataclass(frozen=True)
class ReferenceBar:
    """The open of one bar for one account."""

    open: Sequence[float]
    tradable: Sequence[bool]
    delisted: Sequence[bool]
    elapsed_days: float


def reference_step(
    account: ReferenceAccount, weight: Sequence[float], hold: Sequence[bool], bar: ReferenceBar, rules: TradingRules
) -> ReferenceStep:
    """Carry one account over to the next open and trade there; the account is changed in place."""
    interest = account.let_pass(bar.elapsed_days, rules)
    account.mark_to(bar.open, bar.tradable)
    equity = account.equity()
    values = account.values()
    base = equity if equity > 0 else account.initial
    drifted = [value / base for value in values]

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
    _close_beyond_max_positions(target, drifted, movable, rules)
    for a, wanted in enumerate(target):
        if wanted is not None and wanted != 0 and abs(wanted - drifted[a]) < rules.rebalancing_band:
            target[a] = None

    wanted_values = _sized_after_costs(target, values, movable, equity, rules)
    fees, traded_value, trades = _trade(account, wanted_values, equity, rules)
    base_after = equity - fees if equity - fees > 0 else account.initial
    return ReferenceStep(
        equity_before=equity,
        equity_after=equity - fees,
        fees=fees,
        interest=interest,
        turnover=traded_value / base,
        trades=trades,
        weights=[value / base_after for value in wanted_values],
    )


def _breaker_keeps_flat(account: ReferenceAccount, equity: float, rules: TradingRules) -> bool:
    account.peak = max(account.peak, equity)
    if account.cooldown > 0:
        account.cooldown -= 1
    elif 1 - equity / account.peak >= rules.max_drawdown:
        account.cooldown = rules.breaker_cooldown - 1
    else:
        return False
    account.peak = equity
    return True


def _stopped(account: ReferenceAccount, a: int, rules: TradingRules) -> bool:
    if account.units[a] == 0:
        return False
    rise = account.mark[a] / account.entry[a] - 1
    return -rise >= rules.stop_loss if account.units[a] > 0 else rise >= rules.stop_loss


def _close_beyond_max_positions(
    target: list[float | None], drifted: list[float], movable: list[bool], rules: TradingRules
) -> None:
    assets = range(len(target))
    weights = [drifted[a] if wanted is None else wanted for a, wanted in enumerate(target)]
    stuck = [a for a in assets if not movable[a] and weights[a] != 0]
    candidates = sorted((a for a in assets if movable[a]), key=lambda a: (-abs(weights[a]), a))
    for a in candidates[max(0, rules.max_positions - len(stuck)) :]:
        target[a] = 0.0


def _sized_after_costs(
    target: list[float | None], values: list[float], movable: list[bool], equity: float, rules: TradingRules
) -> list[float]:
    """Values to hold; iterated until the equity they are sized on is the equity their costs leave."""
    left = equity
    for _ in range(100):
        wanted = [value if weight is None else weight * left for weight, value in zip(target, values, strict=True)]
        stuck = sum(abs(value) for value, moves in zip(wanted, movable, strict=True) if not moves)
        gross = sum(abs(value) for value, moves in zip(wanted, movable, strict=True) if moves)
        room = rules.gross_leverage * left - stuck
        room = room if room > _ROUNDING * abs(equity) else 0.0
        if gross > room:
            wanted = [value * room / gross if moves else value for value, moves in zip(wanted, movable, strict=True)]
        costs = rules.cost_rate * sum(abs(after - before) for after, before in zip(wanted, values, strict=True))
        settled = abs(equity - costs - left) <= 1e-16 * abs(equity)
        left = equity - costs
        if settled:
            break
    return wanted


def _trade(account: ReferenceAccount, wanted: list[float], equity: float, rules: TradingRules) -> tuple[float, float, int]:
    """Move every position to the value wanted; return fees, traded value and the number of symbols traded."""
    fees = traded_value = 0.0
    trades = 0
    for a, before in enumerate(account.values()):
        change = wanted[a] - before
        if change == 0:
            continue
        fees += rules.cost_rate * abs(change)
        traded_value += abs(change)
        account.cash -= change
        units = wanted[a] / account.mark[a]
        account.entry[a] = _entry_after(account, a, units)
        account.units[a] = units
        if abs(change) > _ROUNDING * abs(equity):
            trades += 1
            account.days_since_trade[a] = 0.0
    account.cash -= fees
    return fees, traded_value, trades


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
    """A decision for one symbol at one close; `weight` None is HOLD."""

    row: int
    weight: float | None


@dataclass(frozen=True)
class ReferenceRun:
    """Outcome of `reference_backtest`."""

    equity: list[float]
    steps: list[ReferenceStep]
    features: list[list[list[float]]]
    fill_row: list[list[int]]


def reference_backtest(
    prices: Sequence[ReferenceBar],
    close: Sequence[Sequence[float]],
    days_to_close: Sequence[float],
    weights: Sequence[Sequence[float | None]],
    rules: TradingRules,
) -> ReferenceRun:
    """Trade a table of decisions `[T][A]` (None is HOLD) by the timing rules of `toto_ops.simulation.backtest`.

    A decision exists only where the symbol has a bar. It is due `decision_lag` rows later and fills at the first
    tradable open from there on, unless a newer one has fallen due by then.
    """
    assets = len(prices[0].open)
    account = ReferenceAccount(assets)
    fill_row = [[-1] * assets for _ in prices]
    pending: list[list[ReferenceDecision]] = [[] for _ in range(assets)]
    equity: list[float] = []
    steps: list[ReferenceStep] = []
    features: list[list[list[float]]] = []
    for row, bar in enumerate(prices):
        if row == len(prices) - 1:
            account.let_pass(bar.elapsed_days, rules)
            account.mark_to(bar.open, bar.tradable)
            equity.append(account.equity())
        else:
            orders: list[float | None] = [None] * assets
            for a in range(assets):
                due = [decision for decision in pending[a] if decision.row + rules.decision_lag <= row]
                if due and bar.tradable[a]:
                    orders[a] = due[-1].weight
                    fill_row[due[-1].row][a] = row
                    pending[a] = [decision for decision in pending[a] if decision not in due]
            asked = [0.0 if order is None else order for order in orders]
            steps.append(reference_step(account, asked, [order is None for order in orders], bar, rules))
            equity.append(steps[-1].equity_before)
        account.mark_to(close[row], bar.tradable)
        features.append(account.features(rules, days_to_close[row]))
        for a in range(assets):
            if bar.tradable[a]:
                pending[a].append(ReferenceDecision(row, weights[row][a]))
    return ReferenceRun(equity=equity, steps=steps, features=features, fill_row=fill_row)
