"""Backtest: decisions at closes, fills at later opens, profit from open to open, for many accounts in one pass.

A decision fills at the `decision_lag`-th open of its symbol after the close it was taken at (`toto_ops.simulation.orders`).
The last open marks the end: nothing is traded there.

The accounts share the bars and nothing else: each has what it would have had alone, up to rounding in the last digits
of float64. A function that answers several accounts in float32 may round otherwise for more of them at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toto_ops.errors import InsufficientDataError
from toto_ops.features.panel import Panel
from toto_ops.simulation.deciding import DecisionDesk, Decisions
from toto_ops.simulation.entrants import Act, Entrant, Stackable
from toto_ops.simulation.fills import fill_rows
from toto_ops.simulation.market_tensors import MarketTensors
from toto_ops.simulation.observe import observe
from toto_ops.simulation.orders import fill, no_orders, place
from toto_ops.simulation.portfolio import PortfolioState, StepResult, initial_state, mark_to_close, mark_to_open, portfolio_step
from toto_ops.simulation.rules import TradingRules
from toto_ops.simulation.trades import Trades, trades_made

MONEY = torch.float64
"""float32 money flips stop-outs and loses cents over thousands of bars; what is reported is float64."""


@dataclass(frozen=True)
class BacktestResult:
    """What a policy decided and what became of it, over `T` bars and `A` symbols.

    Attributes
    ----------
    symbols
        `A` names.
    open_time, close_time
        `[T]` `datetime64[us]`, UTC.
    equity
        `[T]` at each open, after financing and before the trades there; `equity[0]` is the initial capital.
    returns
        `[T - 1]` of equity from open to open; 0 once equity is gone.
    weights
        `[T, A]` after the trades at the open; drifted weights at the last.
    exposure
        `[T]` sum of absolute weights.
    fees, interest
        `[T]` money paid at each open; interest is negative when earned.
    costs
        `[T, A]` money paid for the trades in each symbol; `fees` is their sum.
    turnover
        `[T]` traded value over equity.
    trades
        `[T]` int64: symbols traded at each open.
    trades_made
        Every round trip, closed or open.
    profits, open_profits
        Net profit of each closed round trip in order of closing, and of those still open, marked at the end.
    decided
        `[T, A]` bool: the policy was asked about this symbol at this close.
    actions, strength, probabilities
        `[T, A]` int64, `[T, A]` and `[T, A, 3]` float64 decisions at each close; HOLD, 0 and 0 where not decided, and
        for a plan, which names weights alone.
    target
        `[T, A]` float64 target weights asked for; NaN where held or not decided.
    account
        `[T, A, 4]` float32 account features as the policy saw them; 0 for a plan, which sees none.
    fill_row
        `[T, A]` int64: row at whose open the decision took effect; -1 if it never did.
    bankrupt
        `[T]` bool: trading has ended.
    breaker
        `[T]` bool: the drawdown circuit breaker keeps the account flat at the next open.
    """

    symbols: tuple[str, ...]
    open_time: NDArray[np.datetime64]
    close_time: NDArray[np.datetime64]
    equity: NDArray[np.float64]
    returns: NDArray[np.float64]
    weights: NDArray[np.float64]
    exposure: NDArray[np.float64]
    fees: NDArray[np.float64]
    costs: NDArray[np.float64]
    interest: NDArray[np.float64]
    turnover: NDArray[np.float64]
    trades: NDArray[np.int64]
    trades_made: Trades
    profits: NDArray[np.float64]
    open_profits: NDArray[np.float64]
    decided: NDArray[np.bool_]
    actions: NDArray[np.int64]
    strength: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    target: NDArray[np.float64]
    account: NDArray[np.float32]
    fill_row: NDArray[np.int64]
    bankrupt: NDArray[np.bool_]
    breaker: NDArray[np.bool_]

    @property
    def total_return(self) -> float:
        """Growth of equity over the whole span."""
        return float(self.equity[-1] / self.equity[0] - 1.0)


def backtest(
    panel: Panel,
    act: Act | Stackable,
    rules: TradingRules,
    *,
    initial_capital: float = 1.0,
    account_override: NDArray[np.float32] | None = None,
) -> BacktestResult:
    """Let one policy decide at every close of a panel and trade at the opens that follow.

    Parameters
    ----------
    panel
        Bars to trade on; the account is flat at its first open.
    act
        A policy, or any function from an `Observation` to a `Decision`.
    rules
        Costs, rates, limits and decision lag.
    initial_capital
        Money at the start.
    account_override
        `[T, A, 4]` account features to show the policy in place of its real ones; None shows the real ones.

    Raises
    ------
    InsufficientDataError
        If the panel has fewer than two bars: there is no open to open return.
    ValueError
        If the override has another shape, or the policy answers with weights that are not finite.
    """
    entrant = Entrant("policy", act, rules, account_override=account_override)
    return run_backtests(panel, (entrant,), initial_capital=initial_capital)[0]


def run_backtests(panel: Panel, entrants: Sequence[Entrant], *, initial_capital: float = 1.0) -> tuple[BacktestResult, ...]:
    """Run every entrant in an account of its own over the same bars, all accounts in one pass.

    Parameters
    ----------
    panel
        Bars to trade on; every account is flat at its first open.
    entrants
        Policies and plans, each with its rules.
    initial_capital
        Money in each account at the start.

    Returns
    -------
    tuple[BacktestResult, ...]
        In the order of the entrants; of each what `backtest` would say of it alone.

    Raises
    ------
    InsufficientDataError
        If the panel has fewer than two bars: there is no open to open return.
    ValueError
        If a plan or an override has another shape than the panel, or a policy answers with weights that are not finite.
    """
    if panel.rows < 2:
        raise InsufficientDataError(f"{panel.rows} bar(s) make no return", remedy="give the backtest at least two bars")
    if not entrants:
        return ()
    market = MarketTensors.of(panel, MONEY)
    desk = DecisionDesk(panel, entrants)
    seated = [entrants[index] for index in desk.order]
    with torch.inference_mode():
        record = _run(market, desk, TradingRules.stacked([entrant.rules for entrant in seated]), initial_capital)
    accounts, decisions = record.accounts(), desk.written()
    results = {
        index: _result(panel, entrants[index], account, decided)
        for index, account, decided in zip(desk.order, accounts, decisions, strict=True)
    }
    return tuple(results[index] for index in range(len(entrants)))


def _run(market: MarketTensors, desk: DecisionDesk, rules: TradingRules, capital: float) -> _Record:
    """Carry all accounts from the first open to the last close."""
    batch, last = len(desk.order), market.rows - 1
    lag = rules.decision_lag
    longest = int(lag.max()) if isinstance(lag, Tensor) else lag
    state = initial_state(batch, market.assets, capital, dtype=MONEY)
    orders = no_orders(batch, market.assets, longest, dtype=MONEY)
    record = _Record.empty()
    for row in range(market.rows):
        if row < last:
            weight, hold, orders = fill(orders, market.tradable[row])
            step = portfolio_step(state, weight, hold, market.bar(row), rules)
            record.add(step)
            state = step.state
        else:
            state, interest = mark_to_open(state, market.bar(row), rules)
            record.close(state, interest)
        state = mark_to_close(state, market.close[row], market.mask[row])
        decided = desk.decide(row, observe(market, row, state, rules, desk.fields) if desk.fields else None)
        if decided is not None:
            orders = place(orders, *decided, market.mask[row], lag)
    return record


@dataclass(frozen=True)
class _Account:
    """What became of one account: the columns of `_Record`, `[T]` or `[T, A]`."""

    equity: NDArray[np.float64]
    fees: NDArray[np.float64]
    interest: NDArray[np.float64]
    turnover: NDArray[np.float64]
    trades: NDArray[np.int64]
    weights: NDArray[np.float64]
    value_before: NDArray[np.float64]
    value_after: NDArray[np.float64]
    costs: NDArray[np.float64]
    mark: NDArray[np.float64]
    bankrupt: NDArray[np.bool_]
    cooldown: NDArray[np.int64]


@dataclass(frozen=True)
class _Record:
    """What the steps did to `B` accounts, one entry per open, each `[B]` or `[B, A]`."""

    equity: list[Tensor]
    fees: list[Tensor]
    interest: list[Tensor]
    turnover: list[Tensor]
    trades: list[Tensor]
    weights: list[Tensor]
    value_before: list[Tensor]
    value_after: list[Tensor]
    costs: list[Tensor]
    mark: list[Tensor]
    bankrupt: list[Tensor]
    cooldown: list[Tensor]

    @classmethod
    def empty(cls) -> _Record:
        return cls(*([] for _ in fields(cls)))

    def add(self, step: StepResult) -> None:
        """One open at which was traded."""
        self.equity.append(step.equity_before)
        self.fees.append(step.fees)
        self.interest.append(step.interest)
        self.turnover.append(step.turnover)
        self.trades.append(step.trades)
        self.weights.append(step.weights)
        self.value_before.append(step.value_before)
        self.value_after.append(step.value_after)
        self.costs.append(step.costs)
        self.mark.append(step.state.mark)
        self.bankrupt.append(step.state.bankrupt)
        self.cooldown.append(step.state.cooldown)

    def close(self, state: PortfolioState, interest: Tensor) -> None:
        """The last open: marked and financed, not traded at."""
        value = state.units * state.mark
        equity = state.cash + value.sum(-1)
        nothing = torch.zeros_like(equity)
        self.equity.append(equity)
        self.fees.append(nothing)
        self.interest.append(interest)
        self.turnover.append(nothing)
        self.trades.append(nothing.long())
        self.weights.append(value / torch.where(equity > 0, equity, state.initial).unsqueeze(-1))
        self.value_before.append(value)
        self.value_after.append(value)
        self.costs.append(torch.zeros_like(value))
        self.mark.append(state.mark)
        self.bankrupt.append(state.bankrupt)
        self.cooldown.append(state.cooldown)

    def accounts(self) -> list[_Account]:
        """One for each of the `B` accounts."""
        columns = [torch.stack(getattr(self, column.name), dim=1).numpy() for column in fields(self)]
        return [_Account(*account) for account in zip(*columns, strict=True)]


def _result(panel: Panel, entrant: Entrant, account: _Account, decisions: Decisions) -> BacktestResult:
    equity = account.equity
    if not np.isfinite(equity).all():
        bad = panel.open_time[int(np.flatnonzero(~np.isfinite(equity))[0])]
        raise ValueError(f"equity of {entrant.name!r} is not finite from {bad} on: the policy or the prices gave NaN or infinity")
    alive = equity[:-1] > 0
    trades = trades_made(
        panel.symbols,
        panel.open_time,
        price=account.mark,
        value_before=account.value_before,
        value_after=account.value_after,
        costs=account.costs,
    )
    return BacktestResult(
        symbols=panel.symbols,
        open_time=panel.open_time,
        close_time=panel.close_time,
        equity=equity,
        returns=np.where(alive, equity[1:] / np.where(alive, equity[:-1], 1.0) - 1.0, 0.0),
        weights=account.weights,
        exposure=np.abs(account.weights).sum(axis=1),
        fees=account.fees,
        costs=account.costs,
        interest=account.interest,
        turnover=account.turnover,
        trades=account.trades,
        trades_made=trades,
        profits=trades.closed.net_profit,
        open_profits=trades.open.net_profit,
        decided=panel.mask.copy(),
        actions=decisions.actions,
        strength=decisions.strength,
        probabilities=decisions.probabilities,
        target=decisions.target,
        account=decisions.account,
        fill_row=fill_rows(panel.mask, panel.tradable, entrant.rules.decision_lag),
        bankrupt=account.bankrupt,
        breaker=account.cooldown > 0,
    )
