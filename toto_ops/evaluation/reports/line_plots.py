"""Courses over time as one picture: the same values give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

COLOURS = ("#0b6e4f", "#d1495b", "#30638e", "#edae49", "#8d96a3", "#7b4b94", "#b3752b", "#3c3c3b", "#5fa8d3", "#a3b18a")
SIZE = (9.0, 3.4)

LEAST_EQUITY = 1e-3
"""Share of the initial capital below which a logarithmic axis shows no more."""


Scale = Literal["linear", "logarithmic", "percent"]
Style = Literal["main", "other", "benchmark"]


def visible(equity: Sequence[float]) -> NDArray[np.float64]:
    """Equity as a logarithmic axis can show it, also of an account that lost everything."""
    return np.asarray(np.maximum(equity, LEAST_EQUITY))


def fallen(equity: Sequence[float]) -> NDArray[np.float64]:
    """Fall from the running peak at each moment, as a negative fraction of the peak."""
    values = np.asarray(equity)
    return np.asarray(values / np.maximum.accumulate(values) - 1.0)


@dataclass(frozen=True)
class Line:
    """One course.

    Attributes
    ----------
    moments, values
        `[T]` each, UTC.
    style
        `main` stands out, `benchmark` is dashed.
    """

    name: str
    moments: Sequence[datetime]
    values: NDArray[np.float64]
    style: Style


def draw_lines(lines: Sequence[Line], label: str, scale: Scale = "linear") -> bytes:
    """Draw courses over one another as PNG.

    Parameters
    ----------
    label
        Of the vertical axis.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    for position, line in enumerate(lines):
        axes.plot(
            np.array([moment.replace(tzinfo=None) for moment in line.moments], dtype="datetime64[us]"),
            line.values,
            label=line.name,
            color=COLOURS[position % len(COLOURS)],
            linewidth=2.0 if line.style == "main" else 1.1,
            linestyle="--" if line.style == "benchmark" else "-",
            zorder=3 if line.style == "main" else 2,
        )
    if scale == "logarithmic":
        axes.set_yscale("log")
        if _within_a_decade(axes):  # ticks at powers of ten would be one or none
            axes.yaxis.set_major_locator(MaxNLocator(8))
            axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if scale == "percent":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    dates = AutoDateLocator(maxticks=10)  # type: ignore[no-untyped-call] # matplotlib has few annotations
    axes.xaxis.set_major_locator(dates)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(dates))  # type: ignore[no-untyped-call]
    axes.set_ylabel(label)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return as_png(figure)


def as_png(figure: Any) -> bytes:
    """A matplotlib figure as PNG, without a display and without the time of drawing in it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _within_a_decade(axes: Any) -> bool:
    low, high = axes.get_ylim()
    return bool(high / low < 10)
