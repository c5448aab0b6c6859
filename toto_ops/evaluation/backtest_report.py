"""The report of a backtest: one self-contained HTML page, the same as plain text, and the trades as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np

from toto_ops.evaluation.backtest_document import BacktestReport, MonthlyReturns, SelectionFindings, SubjectTrades, TradeRow
from toto_ops.evaluation.figures import COMPARED, COMPARED_WITH_INTERVAL, FIGURES, Writer, cell, money, optional, percent, ratio
from toto_ops.evaluation.line_plots import Line, Style, draw_lines
from toto_ops.evaluation.performance import Performance
from toto_ops.evaluation.report import page_environment
from toto_ops.evaluation.text_report import paired_table, performance_table, trades_table
from toto_ops.evaluation.text_tables import bullets, document, section, text_table

_FOLDER = Path(__file__).parent
_TEMPLATE = "backtest_report.html.jinja"

SHOWN_TRADES = 200
"""Trades per subject that the page shows, the newest; the CSV has all of them."""

SHOWN_TRADES_IN_TEXT = 20

TRADE_COLUMNS = ("contestant", *TradeRow.model_fields)

OVERVIEW = frozenset({"total_return", "sharpe", "max_drawdown", "trades", "fees"})
"""Figures of the overview; the report has all."""

LEAST_EQUITY = 1e-3
"""Share of the initial capital below which a logarithmic axis shows no more."""

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Plots:
    """PNG images: growth of one unit of money, and the fall from its running peak."""

    equity: bytes
    drawdown: bytes


def render_html(report: BacktestReport) -> str:
    """Render the page; its plots are inside."""
    environment = page_environment(_FOLDER)
    environment.filters |= {"money": money(report.initial_capital), "day": _day, "moment": _moment, "price": _price}
    return environment.get_template(_TEMPLATE).render(
        report=report,
        figures=FIGURES,
        compared=(*COMPARED_WITH_INTERVAL, *COMPARED),
        plots=draw_plots(report),
        beliefs=belief(report),
        months=MONTHS,
        shown_trades=SHOWN_TRADES,
    )


@lru_cache(maxsize=2)
def draw_plots(report: BacktestReport) -> Plots:
    """Draw the plots of a report; once per process, since page and run metadata both show them."""
    lines = [
        Line(one.name, one.curve.open_time, np.asarray(one.curve.equity), _style(one.role, position))
        for position, one in enumerate(report.contestants)
    ]
    fallen = [replace(line, values=line.values / np.maximum.accumulate(line.values) - 1.0) for line in lines]
    visible = [replace(line, values=np.maximum(line.values, LEAST_EQUITY)) for line in lines]
    return Plots(equity=draw_lines(visible, "growth of 1", "logarithmic"), drawdown=draw_lines(fallen, "drawdown", "percent"))


def _style(role: str, position: int) -> Style:
    if role == "benchmark":
        return "benchmark"
    return "main" if position == 0 else "other"


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
        section("How much to believe", bullets(belief(report))),
    )


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


def belief(report: BacktestReport) -> tuple[str, ...]:
    """What speaks for luck, in sentences."""
    found, name = report.significance, report.contestants[0].name
    defined = report.contestants[0].performance.sharpe.value is not None
    tried = (
        f"{name}: the true Sharpe ratio is positive with a confidence of {percent(found.probabilistic_sharpe)}, and above "
        f"{ratio(found.expected_maximum_sharpe)} with one of {percent(found.deflated_sharpe)}: so much would the best of "
        f"{found.effective_trials} effective trials ({found.trials} in the ledger) and {found.earlier_openings} earlier looks at "
        "these bars show without any skill."
        if defined
        else f"{name}: its returns do not vary, so that there is no Sharpe ratio to be believed or doubted."
    )
    power = (
        f"{found.bars} returns show a true Sharpe ratio of {ratio(found.minimum_detectable_sharpe)} or more (5 % significance, "
        "80 % power); smaller ones pass for luck."
    )
    lines = [tried, power]
    if report.oracle_sharpe is not None:
        lines.append(
            f"Perfect foresight of every next open, at the same costs, lag and limits, has a Sharpe ratio of "
            f"{ratio(report.oracle_sharpe)}: whoever comes near it has seen the future."
        )
    if report.test_span is not None:
        look = report.test_span.looked_at
        lines.append(
            f"This was a look at the test span ({_day(look.after)} to {_day(look.until)}), one of {report.test_span.openings} in "
            "the ledger: the next challenger is judged the more strictly."
        )
    return (*lines, *report.caveats)


def _title(report: BacktestReport) -> str:
    bars = f"{report.bars} bars, closing {_moment(report.first_close)} to {_moment(report.last_close)} UTC"
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
            _moment(one.entry_time),
            "open" if one.exit_time is None else _moment(one.exit_time),
            ratio(one.holding_days),
            _price(one.entry_price),
            _price(one.exit_price),
            write(one.value),
            write(one.fees),
            write(one.net_profit),
            percent(one.return_on_value),
        )
        for one in reversed(traded.trades[-SHOWN_TRADES_IN_TEXT:])
    ]
    total = len(traded.trades)
    return text_table(header, rows) + (f"\n{len(rows)} of {total}" if total > len(rows) else "")


def _selection(selection: SelectionFindings) -> tuple[str, str]:
    span = selection.validation
    grown = "all there are" if selection.method == "exhaustive" else "grown one symbol at a time"
    told = (
        f"{selection.tried} combinations tried on the validation span alone ({_day(span.after)} to {_day(span.until)}), {grown}, "
        f"of {len(selection.candidates)} symbols; each is a trial in the ledger"
    )
    rows = [(", ".join(one.symbols), optional(ratio)(one.sharpe), percent(one.total_return)) for one in selection.best]
    return told, text_table(("combination", "Sharpe", "return"), rows)


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _price(price: float) -> str:
    return f"{price:,.6g}"
