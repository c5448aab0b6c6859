"""The four pictures of a report, drawn from the evidence alone: the same evidence gives the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np

from toto_ops.evaluation.evidence import CandidateResult, Evidence

_COLOURS = ("#0b6e4f", "#d1495b", "#30638e", "#edae49", "#8d96a3", "#7b4b94", "#b3752b", "#3c3c3b")
_SIZE = (9.0, 3.4)


@dataclass(frozen=True)
class Plots:
    """PNG images.

    Attributes
    ----------
    equity
        Growth of one unit of money, logarithmic.
    drawdown
        Fall from the running peak.
    exposure
        Gross exposure after the trades of each open.
    actions
        Shares of HOLD, BUY and SELL.
    """

    equity: bytes
    drawdown: bytes
    exposure: bytes
    actions: bytes


@lru_cache(maxsize=4)
def draw_plots(evidence: Evidence) -> Plots:
    """Draw all plots of a judgement; once per process, since its report, run metadata and lineage page all show them."""
    return Plots(
        equity=_over_time(evidence, "growth of 1", _equity, logarithmic=True),
        drawdown=_over_time(evidence, "drawdown", _drawdown, percent=True),
        exposure=_over_time(evidence, "gross exposure", _exposure),
        actions=_action_shares(evidence),
    )


def _equity(candidate: CandidateResult) -> Any:
    return np.maximum(np.asarray(candidate.curve.equity), 1e-3)


def _drawdown(candidate: CandidateResult) -> Any:
    equity = np.asarray(candidate.curve.equity)
    return equity / np.maximum.accumulate(equity) - 1.0


def _exposure(candidate: CandidateResult) -> Any:
    return np.asarray(candidate.curve.exposure)


def _over_time(evidence: Evidence, label: str, series: Any, *, logarithmic: bool = False, percent: bool = False) -> bytes:
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    for position, candidate in enumerate(evidence.candidates):
        axes.plot(
            np.array([moment.replace(tzinfo=None) for moment in candidate.curve.open_time], dtype="datetime64[us]"),
            series(candidate),
            label=candidate.name,
            color=_COLOURS[position % len(_COLOURS)],
            linewidth=2.0 if candidate.role == "challenger" else 1.1,
            linestyle="--" if candidate.role == "benchmark" else "-",
            zorder=3 if candidate.role == "challenger" else 2,
        )
    if logarithmic:
        axes.set_yscale("log")
        if _within_a_decade(axes):  # ticks at powers of ten would be one or none
            axes.yaxis.set_major_locator(MaxNLocator(8))
            axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel(label)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return _png(figure)


def _within_a_decade(axes: Any) -> bool:
    low, high = axes.get_ylim()
    return bool(high / low < 10)


def _action_shares(evidence: Evidence) -> bytes:
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    chosen = [candidate for candidate in evidence.candidates if candidate.actions is not None]
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(len(chosen), 1)
    for position, candidate in enumerate(chosen):
        shares = candidate.actions
        if shares is None:
            continue
        heights = (shares.hold, shares.buy, shares.sell)
        bars = axes.bar(
            np.arange(3) + position * width, heights, width=width * 0.95, label=candidate.name, color=_COLOURS[position]
        )
        axes.bar_label(bars, labels=[f"{height:.0%}" for height in heights], fontsize=8)
    axes.set_xticks(np.arange(3) + width * (len(chosen) - 1) / 2, ("HOLD", "BUY", "SELL"))
    axes.set_ylim(0, 1.08)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("share of decisions")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return _png(figure)


def _png(figure: Any) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
