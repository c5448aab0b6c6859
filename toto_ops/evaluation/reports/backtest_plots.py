"""The two pictures of a backtest, drawn from its document alone: the same document gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from toto_ops.evaluation.backtests.document import BacktestReport
from toto_ops.evaluation.reports.line_plots import Line, Style, draw_lines, fallen, visible


@dataclass(frozen=True)
class Plots:
    """PNG images: growth of one unit of money, and the fall from its running peak."""

    equity: bytes
    drawdown: bytes


@lru_cache(maxsize=2)
def draw_plots(report: BacktestReport) -> Plots:
    """Draw the plots of a report; once per process, since page and run metadata both show them."""
    return Plots(
        equity=draw_lines(_lines(report, visible), "growth of 1", "logarithmic"),
        drawdown=draw_lines(_lines(report, fallen), "drawdown", "percent"),
    )


def _lines(report: BacktestReport, course: Callable[[Sequence[float]], NDArray[np.float64]]) -> list[Line]:
    return [
        Line(one.name, one.curve.open_time, course(one.curve.equity), _style(one.role, position))
        for position, one in enumerate(report.contestants)
    ]


def _style(role: str, position: int) -> Style:
    if role == "benchmark":
        return "benchmark"
    return "main" if position == 0 else "other"
