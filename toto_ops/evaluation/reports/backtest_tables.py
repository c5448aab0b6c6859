"""What is looked at first in a backtest, and all its trades, as tables for run metadata and for spreadsheets."""

from __future__ import annotations

import csv
import io

from toto_ops.evaluation.backtests.document import BacktestReport, TradeRow
from toto_ops.evaluation.reports.figures import FIGURES, cell, money

TRADE_COLUMNS = ("contestant", *TradeRow.model_fields)

OVERVIEW = frozenset({"total_return", "sharpe", "max_drawdown", "trades", "fees"})
"""Figures of the overview; the report has all."""


def overview(report: BacktestReport) -> list[dict[str, str]]:
    """One row per contestant with the figures looked at first, for run metadata."""
    first = [figure for figure in FIGURES if figure.field in OVERVIEW]
    return [
        {
            "contestant": one.name,
            "final equity": money(report.initial_capital)(one.final_equity),
            **{figure.title: cell(figure.of(one.performance), figure.write) for figure in first},
        }
        for one in report.contestants
    ]


def trades_csv(report: BacktestReport) -> str:
    """Every trade of every subject, one per row under a header, ISO moments, money in that of the initial capital."""
    out = io.StringIO()
    table = csv.DictWriter(out, TRADE_COLUMNS, lineterminator="\n")
    table.writeheader()
    for traded in report.traded:
        for trade in traded.trades:
            table.writerow({"contestant": traded.name, **trade.model_dump(mode="json")})
    return out.getvalue()
