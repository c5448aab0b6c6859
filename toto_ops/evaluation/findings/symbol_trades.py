"""Round trips summed up symbol by symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from toto_ops.evaluation.findings.documents import SymbolTrades
from toto_ops.evaluation.statistics.metrics import profit_factor, win_rate

if TYPE_CHECKING:
    from toto_ops.simulation.backtest import BacktestResult
    from toto_ops.simulation.trades import Trades


def symbol_trades(result: BacktestResult) -> tuple[SymbolTrades, ...]:
    """One row per symbol that was traded, in the order of the panel; money as shares of the initial capital."""
    trades, capital = result.trades_made, float(result.equity[0])
    rows = (_of_one(name, trades.take(trades.symbol == name), capital) for name in result.symbols)
    return tuple(row for row in rows if row.trades)


def _of_one(symbol: str, trades: Trades, capital: float) -> SymbolTrades:
    factor = float(profit_factor(trades.net_profit))
    return SymbolTrades(
        symbol=symbol,
        trades=len(trades),
        open=len(trades.open),
        win_rate=float(win_rate(trades.net_profit)) if len(trades) else None,
        profit_factor=factor if np.isfinite(factor) else None,
        holding_days=float(trades.holding_days.mean()) if len(trades) else None,
        best=float(trades.returns.max()) if len(trades) else None,
        worst=float(trades.returns.min()) if len(trades) else None,
        fees=float(trades.fees.sum()) / capital,
        net_profit=float(trades.net_profit.sum()) / capital,
    )
