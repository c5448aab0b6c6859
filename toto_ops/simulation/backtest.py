"""Backtest of a policy: decisions at closes, fills at later opens, profit from open to open.

A decision at the close of row `t` is due at row `t + decision_lag` and fills at the first tradable open from there on;
a newer decision that falls due in the meantime replaces it. The last open marks the end: nothing is traded there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from toto_ops.errors import InsufficientDataError
from toto_ops.features.panel import Panel
from toto_ops.features.state import ACCOUNT_FEATURES
from toto_ops.simulation.account import account_features
from toto_ops.simulation.observation import Action, Decision, Observation
from toto_ops.simulation.portfolio import BarPrices, StepResult, initial_state, mark_to_close, mark_to_open, portfolio_step
from toto_ops.simulation.round_trips import round_trips
from toto_ops.simulation.rules import TradingRules

MONEY = torch.float64
"""float32 money flips stop-outs and loses cents over thousands of bars; what is reported is float64."""

_DAY = np.timedelta64(1, "D")


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
    turnover
        `[T]` traded value over equity.
    trades
        `[T]` int64: symbols traded at each open.
    profits, open_profits
        Net profit of each closed round trip in order of closing, and of those still open, marked at the end.
    decided
        `[T, A]` bool: the policy was asked about this symbol at this close.
    actions, strength, probabilities
        `[T, A]` int64, `[T, A]` and `[T, A, 3]` float64 decisions at each close; HOLD, 0 and 0 where not decided.
    target
        `[T, A]` float64 target weights asked for; NaN where held or not decided.
    account
        `[T, A, 4]` float32 account features as the policy saw them.
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
    interest: NDArray[np.float64]
    turnover: NDArray[np.float64]
    trades: NDArray[np.int64]
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
    act: Callable[[Observation], Decision],
    rules: TradingRules,
    *,
    initial_capital: float = 1.0,
    account_override: NDArray[np.float32] | None = None,
) -> BacktestResult:
    """Let a policy decide at every close of a panel and trade at the opens that follow.

    Parameters
    ----------
    panel
        Bars to trade on; the account is flat at its first open.
    act
        `Policy.act` or any function from an `Observation` (with `B = 1`) to a `Decision`.
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
    if panel.rows < 2:
        raise InsufficientDataError(f"{panel.rows} bar(s) make no return", remedy="give the backtest at least two bars")
    book = _DecisionBook(panel, rules.decision_lag, account_override)
    clock = _PanelTensors.of(panel)
    state = initial_state(1, len(panel.symbols), initial_capital, dtype=MONEY)
    steps: list[StepResult] = []
    with torch.inference_mode():
        for row in range(panel.rows - 1):
            weight, hold = book.orders(row)
            step = portfolio_step(state, weight, hold, clock.bar(row), rules)
            steps.append(step)
            state = mark_to_close(step.state, clock.close[row], clock.mask[row])
            book.decide(row, act, clock, account_features(state, rules, clock.days_to_close[row]))
        final, interest = mark_to_open(state, clock.bar(panel.rows - 1), rules)
        value_end = final.units * final.mark
        equity_end = final.cash + value_end.sum(-1)
        closed = mark_to_close(final, clock.close[-1], clock.mask[-1])
        book.decide(panel.rows - 1, act, clock, account_features(closed, rules, clock.days_to_close[-1]))
    weights_end = value_end / torch.where(equity_end > 0, equity_end, final.initial).unsqueeze(-1)

    def per_open(name: str, last: torch.Tensor) -> NDArray[np.float64]:
        return np.asarray(torch.cat([*(getattr(step, name) for step in steps), last]).numpy())

    nothing = torch.zeros(1, dtype=MONEY)
    equity = per_open("equity_before", equity_end)
    if not np.isfinite(equity).all():
        bad = int(np.flatnonzero(~np.isfinite(equity))[0])
        raise ValueError(f"equity is not finite from {panel.open_time[bad]} on: the policy or the prices gave NaN or infinity")
    weights = per_open("weights", weights_end)
    trips = round_trips(
        per_open("value_before", value_end), per_open("value_after", value_end), value_end[0].numpy(), rules.cost_rate
    )
    alive = equity[:-1] > 0
    return BacktestResult(
        symbols=panel.symbols,
        open_time=panel.open_time,
        close_time=panel.close_time,
        equity=equity,
        returns=np.where(alive, equity[1:] / np.where(alive, equity[:-1], 1.0) - 1.0, 0.0),
        weights=weights,
        exposure=np.abs(weights).sum(axis=1),
        fees=per_open("fees", nothing),
        interest=per_open("interest", interest),
        turnover=per_open("turnover", nothing),
        trades=per_open("trades", torch.zeros(1, dtype=torch.int64)).astype(np.int64),
        profits=trips.closed,
        open_profits=trips.open,
        decided=book.decided,
        actions=book.actions,
        strength=book.strength,
        probabilities=book.probabilities,
        target=book.target,
        account=book.account,
        fill_row=book.fill_row,
        bankrupt=np.array([bool(step.state.bankrupt) for step in steps] + [bool(final.bankrupt)]),
        breaker=np.array([int(step.state.cooldown) > 0 for step in steps] + [int(final.cooldown) > 0]),
    )


@dataclass(frozen=True)
class _PanelTensors:
    """The panel as tensors, made once: row access must cost no conversion."""

    open: torch.Tensor
    close: torch.Tensor
    mask: torch.Tensor
    delisted: torch.Tensor
    elapsed_days: torch.Tensor
    days_to_close: torch.Tensor
    market: torch.Tensor

    @classmethod
    def of(cls, panel: Panel) -> _PanelTensors:
        rows = np.arange(panel.rows)[:, None]
        last_bar = np.where(panel.mask, rows, -1).max(axis=0)
        elapsed = np.diff(panel.open_time, prepend=panel.open_time[:1]) / _DAY
        return cls(
            open=torch.from_numpy(panel.open).to(MONEY),
            close=torch.from_numpy(panel.close).to(MONEY),
            mask=torch.from_numpy(panel.mask),
            delisted=torch.from_numpy(panel.ended & (rows > last_bar)),
            elapsed_days=torch.from_numpy(elapsed).to(MONEY).unsqueeze(-1),
            days_to_close=torch.from_numpy((panel.close_time - panel.open_time) / _DAY).to(MONEY).unsqueeze(-1),
            market=torch.from_numpy(np.require(panel.features, requirements=["W"])),
        )

    def bar(self, row: int) -> BarPrices:
        return BarPrices.of_prices(self.open[row], self.mask[row], self.delisted[row], self.elapsed_days[row])


class _DecisionBook:
    """Decisions taken, decisions waiting for a tradable open, and when each took effect."""

    def __init__(self, panel: Panel, lag: int, account_override: NDArray[np.float32] | None) -> None:
        shape = panel.mask.shape
        if account_override is not None and account_override.shape != (*shape, len(ACCOUNT_FEATURES)):
            raise ValueError(f"account_override must be {(*shape, len(ACCOUNT_FEATURES))}, got {account_override.shape}")
        self.lag = lag
        self.override = account_override
        self.mask = panel.mask
        self.decided = panel.mask.copy()
        self.actions = np.full(shape, int(Action.HOLD), dtype=np.int64)
        self.strength = np.zeros(shape)
        self.probabilities = np.zeros((*shape, len(Action)))
        self.target = np.full(shape, np.nan)
        self.account = np.zeros((*shape, len(ACCOUNT_FEATURES)), dtype=np.float32)
        self.fill_row = np.full(shape, -1, dtype=np.int64)
        self._waiting = np.full(shape[1], -1, dtype=np.int64)
        self._columns = np.arange(shape[1])

    def orders(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights and holds `[1, A]` that take effect at the open of `row`."""
        due = row - self.lag
        if due >= 0:
            self._waiting[self.decided[due]] = due
        fills = self.mask[row] & (self._waiting >= 0)
        weight = np.full(self._waiting.shape, np.nan)
        origin, column = self._waiting[fills], self._columns[fills]
        weight[column] = self.target[origin, column]
        self.fill_row[origin, column] = row
        self._waiting[fills] = -1
        return torch.from_numpy(weight).unsqueeze(0), torch.from_numpy(np.isnan(weight)).unsqueeze(0)

    def decide(self, row: int, act: Callable[[Observation], Decision], clock: _PanelTensors, account: torch.Tensor) -> None:
        """Ask the policy at the close of `row` and write down its answer."""
        seen = account[0].numpy().astype(np.float32) if self.override is None else self.override[row]
        self.account[row] = seen
        asked = self.decided[row]
        if not asked.any():
            return
        market, mask = clock.market[row].unsqueeze(0), clock.mask[row].unsqueeze(0)
        decision = act(Observation(market, torch.from_numpy(seen).unsqueeze(0), mask))
        weight, hold = decision.weight[0].numpy(), decision.hold[0].numpy() | ~asked
        if not np.isfinite(weight[~hold]).all():
            raise ValueError(f"the policy asked for weights that are not finite at {self.where(row, weight, hold)}")
        self.actions[row] = np.where(asked, decision.action[0].numpy(), int(Action.HOLD))
        self.strength[row] = np.where(asked, decision.strength[0].numpy(), 0.0)
        self.probabilities[row] = np.where(asked[:, None], decision.probabilities[0].numpy(), 0.0)
        self.target[row] = np.where(hold, np.nan, weight)

    @staticmethod
    def where(row: int, weight: NDArray[np.float64], hold: NDArray[np.bool_]) -> str:
        """Name the bar and columns of weights that are not finite."""
        return f"row {row}, columns {np.flatnonzero(~hold & ~np.isfinite(weight)).tolist()}"
