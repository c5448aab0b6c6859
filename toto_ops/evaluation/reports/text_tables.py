"""The tables in plain text that the reports of judgements and of backtests share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from toto_ops.evaluation.findings.documents import SymbolTrades
from toto_ops.evaluation.reports.figures import COMPARED, COMPARED_WITH_INTERVAL, cell, fine_percent, optional, percent, ratio
from toto_ops.evaluation.reports.text_layout import text_table
from toto_ops.evaluation.statistics.paired import PairedDifference
from toto_ops.evaluation.statistics.performance import Performance


def performance_table(performances: Mapping[str, Performance]) -> str:
    """One row per contestant: return and Sharpe ratio with their intervals, and what else is compared first."""
    header = ("contestant", *(figure.title for figure in (*COMPARED_WITH_INTERVAL, *COMPARED)))
    rows = [
        (
            name,
            *(cell(figure.of(one), figure.write) for figure in COMPARED_WITH_INTERVAL),
            *(optional(figure.write)(figure.of(one).value) for figure in COMPARED),
        )
        for name, one in performances.items()
    ]
    return text_table(header, rows)


def paired_table(pairs: Sequence[PairedDifference]) -> str:
    """Each difference with its interval."""
    if not pairs:
        return ""
    rows = [(pair.against, str(pair.bars), cell(pair.mean_log_return, percent), cell(pair.sharpe, ratio)) for pair in pairs]
    return text_table(("minus", "bars", "log return a year", "Sharpe ratio"), rows)


def trades_table(trades: Sequence[SymbolTrades]) -> str:
    """Round trips per symbol."""
    if not trades:
        return ""
    header = ("symbol", "trades", "open", "won", "profit factor", "mean days", "best", "worst", "fees", "net profit")
    rows = [
        (
            one.symbol,
            str(one.trades),
            str(one.open),
            optional(percent)(one.win_rate),
            optional(ratio)(one.profit_factor),
            optional(ratio)(one.holding_days),
            optional(percent)(one.best),
            optional(percent)(one.worst),
            fine_percent(one.fees),
            fine_percent(one.net_profit),
        )
        for one in trades
    ]
    return f"{text_table(header, rows)}\nfees and net profit are shares of the initial capital"
