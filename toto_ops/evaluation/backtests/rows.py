"""From results to the tables of a backtest report: contestants, months and trades."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toto_ops.evaluation.backtests.document import (
    Contestant,
    MonthlyReturns,
    MonthReturn,
    SubjectIdentity,
    SubjectTrades,
    TradeRow,
)
from toto_ops.evaluation.findings.documents import Curve
from toto_ops.evaluation.findings.symbol_trades import symbol_trades
from toto_ops.features.moments import to_aware

if TYPE_CHECKING:
    from typing import Literal

    from toto_ops.evaluation.backtests.subject import Subject
    from toto_ops.evaluation.statistics.performance import Performance
    from toto_ops.simulation.backtest import BacktestResult
    from toto_ops.simulation.trades import Trades


def contestant(name: str, role: Literal["subject", "benchmark"], result: BacktestResult, performance: Performance) -> Contestant:
    """One account with its figures and its course."""
    return Contestant(
        name=name,
        role=role,
        performance=performance,
        final_equity=float(result.equity[-1]),
        curve=Curve.of(result),
    )


def identity(subject: Subject) -> SubjectIdentity:
    """Which policy it is."""
    manifest = subject.manifest
    return SubjectIdentity(
        name=subject.name,
        origin=subject.origin,
        line=manifest.line,
        inputs_hash=manifest.inputs_hash,
        code_version=manifest.code_version,
        knows_until=manifest.knows_until,
        selected_until=subject.selected_until,
    )


def defined(value: NDArray[np.float64]) -> float | None:
    """A figure as a document has it: None where it is not defined."""
    return float(value) if np.isfinite(value) else None


def monthly_returns(name: str, result: BacktestResult) -> MonthlyReturns:
    """Compound the returns of each calendar month, UTC; a return belongs to the month of the open that earned it."""
    months = result.open_time[1:].astype("datetime64[M]")
    found, first = np.unique(months, return_index=True)
    growth = np.multiply.reduceat(1.0 + result.returns, first)
    return MonthlyReturns(
        name=name,
        months=tuple(
            MonthReturn(year=month.year, month=month.month, value=value)
            for month, value in zip(found.tolist(), (growth - 1.0).tolist(), strict=True)
        ),
    )


def subject_trades(name: str, result: BacktestResult) -> SubjectTrades:
    """Every round trip in the order of entry, and their sums per symbol."""
    trades = result.trades_made
    trades = trades.take(np.lexsort((trades.symbol, trades.entry_time)))
    return SubjectTrades(
        name=name,
        by_symbol=symbol_trades(result),
        trades=tuple(_row(trades, number) for number in range(len(trades))),
    )


def _row(trades: Trades, number: int) -> TradeRow:
    (entered,) = to_aware(trades.entry_time[number : number + 1])
    left = trades.exit_time[number]
    return TradeRow(
        symbol=str(trades.symbol[number]),
        side="long" if trades.side[number] > 0 else "short",
        entry_time=entered,
        exit_time=None if np.isnat(left) else to_aware(trades.exit_time[number : number + 1])[0],
        holding_days=float(trades.holding_days[number]),
        entry_price=float(trades.entry_price[number]),
        exit_price=float(trades.exit_price[number]),
        units=float(trades.largest_units[number]),
        value=float(trades.largest_value[number]),
        fees=float(trades.fees[number]),
        net_profit=float(trades.net_profit[number]),
        return_on_value=float(trades.returns[number]),
    )
