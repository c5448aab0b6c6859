"""The four pictures of a judgement, drawn from the evidence alone: the same evidence gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from toto_ops.evaluation.findings.documents import Curve, Role
from toto_ops.evaluation.judgement.evidence import Evidence
from toto_ops.evaluation.reports.line_plots import COLOURS, SIZE, Line, Scale, Style, as_png, draw_lines, fallen, visible

_STYLES: Mapping[Role, Style] = {"challenger": "main", "benchmark": "benchmark"}


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
        equity=_over_time(evidence, "growth of 1", lambda curve: visible(curve.equity), "logarithmic"),
        drawdown=_over_time(evidence, "drawdown", lambda curve: fallen(curve.equity), "percent"),
        exposure=_over_time(evidence, "gross exposure", lambda curve: np.asarray(curve.exposure)),
        actions=_action_shares(evidence),
    )


def _over_time(evidence: Evidence, label: str, course: Callable[[Curve], NDArray[np.float64]], scale: Scale = "linear") -> bytes:
    lines = [
        Line(candidate.name, candidate.curve.open_time, course(candidate.curve), _STYLES.get(candidate.role, "other"))
        for candidate in evidence.candidates
    ]
    return draw_lines(lines, label, scale)


def _action_shares(evidence: Evidence) -> bytes:
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    chosen = [candidate for candidate in evidence.candidates if candidate.actions is not None]
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(len(chosen), 1)
    for position, candidate in enumerate(chosen):
        shares = candidate.actions
        if shares is None:
            continue
        heights = (shares.hold, shares.buy, shares.sell)
        bars = axes.bar(
            np.arange(3) + position * width,
            heights,
            width=width * 0.95,
            label=candidate.name,
            color=COLOURS[position % len(COLOURS)],
        )
        axes.bar_label(bars, labels=[f"{height:.0%}" for height in heights], fontsize=8)
    axes.set_xticks(np.arange(3) + width * (len(chosen) - 1) / 2, ("HOLD", "BUY", "SELL"))
    axes.set_ylim(0, 1.08)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("share of decisions")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return as_png(figure)
