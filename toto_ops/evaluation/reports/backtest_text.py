"""The report of a backtest as plain text, drawn from the same document as the page."""

from __future__ import annotations

from toto_ops.evaluation.backtests.document import BacktestReport, MonthlyReturns, SelectionFindings, SubjectTrades
from toto_ops.evaluation.reports.figures import MONTHS, Writer, day, moment, money, optional, percent, price, ratio
from toto_ops.evaluation.reports.statements import backtest_statements
from toto_ops.evaluation.reports.text_layout import bullets, document, section, text_table
from toto_ops.evaluation.reports.text_tables import paired_table, performance_table, trades_table
from toto_ops.evaluation.statistics.performance import Performance

SHOWN_TRADES = 20
"""Trades per subject that the text shows, the newest; the CSV has all of them."""


def render_text(report: BacktestReport) -> str:
    """The report as plain text, for terminals and logs."""
    subject = report.contestants[0].name
    stresses: dict[str, Performance] = {stress.name: stress.performance for stress in report.stresses}
    return document(
        _title(report),
        section("Left out", bullets([f"{one.name}: {one.why}" for one in report.left_out])),
        section("Results (intervals by block bootstrap)", _results(report)),
        section(f"{subject} minus each other, on the same resampled bars", paired_table(report.paired)),
        section(f"{subject} under stress", performance_table(stresses)),
        *(section(f"Returns by month: {one.name}", _months(one)) for one in report.monthly),
        *(section(f"Trades by symbol: {one.name}", trades_table(one.by_symbol)) for one in report.traded),
        *(section(f"Newest trades: {one.name}", _newest(one, money(report.initial_capital))) for one in report.traded),
        section("Choice of symbols", *(() if report.selection is None else _selection(report.selection))),
        section("How much to believe", bullets(backtest_statements(report))),
    )


def _title(report: BacktestReport) -> str:
    bars = f"{report.bars} bars, closing {moment(report.first_close)} to {moment(report.last_close)} UTC"
    lines = (
        f"{report.universe}: backtest of {' and '.join(subject.origin for subject in report.subjects)}",
        f"{bars}, from {report.market}",
        f"{len(report.symbols)} symbols: {', '.join(report.symbols)}",
        f"initial capital {money(report.initial_capital)(report.initial_capital)}",
    )
    return "\n".join(lines)


def _results(report: BacktestReport) -> str:
    write = money(report.initial_capital)
    equity = text_table(
        ("contestant", "role", "final equity"), [(one.name, one.role, write(one.final_equity)) for one in report.contestants]
    )
    return f"{equity}\n\n{performance_table({one.name: one.performance for one in report.contestants})}"


def _months(returns: MonthlyReturns) -> str:
    rows = [
        (
            str(year),
            *("" if value is None else percent(value) for value in returns.year(year)),
            percent(returns.whole_year(year)),
        )
        for year in returns.years
    ]
    return text_table(("", *MONTHS, "year"), rows)


def _newest(traded: SubjectTrades, write: Writer) -> str:
    if not traded.trades:
        return "it never traded"
    header = ("symbol", "side", "entry", "exit", "days", "entry price", "exit price", "value", "fees", "net profit", "return")
    rows = [
        (
            one.symbol,
            one.side,
            moment(one.entry_time),
            "open" if one.exit_time is None else moment(one.exit_time),
            ratio(one.holding_days),
            price(one.entry_price),
            price(one.exit_price),
            write(one.value),
            write(one.fees),
            write(one.net_profit),
            percent(one.return_on_value),
        )
        for one in reversed(traded.trades[-SHOWN_TRADES:])
    ]
    total = len(traded.trades)
    return text_table(header, rows) + (f"\n{len(rows)} of {total}" if total > len(rows) else "")


def _selection(selection: SelectionFindings) -> tuple[str, str]:
    span = selection.validation
    grown = "all there are" if selection.method == "exhaustive" else "grown one symbol at a time"
    told = (
        f"{selection.tried} combinations tried on the validation span alone ({day(span.after)} to {day(span.until)}), {grown}, "
        f"of {len(selection.candidates)} symbols; each is a trial in the ledger"
    )
    rows = [(", ".join(one.symbols), optional(ratio)(one.sharpe), percent(one.total_return)) for one in selection.best]
    return told, text_table(("combination", "Sharpe", "return"), rows)
