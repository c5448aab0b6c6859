"""The report of a backtest: one self-contained HTML page, drawn from its document alone."""

from __future__ import annotations

from toto_ops.evaluation.backtests.document import BacktestReport
from toto_ops.evaluation.reports.backtest_plots import draw_plots
from toto_ops.evaluation.reports.figures import COMPARED, COMPARED_WITH_INTERVAL, FIGURES, MONTHS, money
from toto_ops.evaluation.reports.pages import page_environment
from toto_ops.evaluation.reports.statements import backtest_statements

_TEMPLATE = "backtest_page.html.jinja"

SHOWN_TRADES = 200
"""Trades per subject that the page shows, the newest; the CSV has all of them."""


def render_page(report: BacktestReport) -> str:
    """Render the page; its plots are inside."""
    environment = page_environment()
    environment.filters["money"] = money(report.initial_capital)
    return environment.get_template(_TEMPLATE).render(
        report=report,
        figures=FIGURES,
        compared=(*COMPARED_WITH_INTERVAL, *COMPARED),
        plots=draw_plots(report),
        beliefs=backtest_statements(report),
        months=MONTHS,
        shown_trades=SHOWN_TRADES,
    )
