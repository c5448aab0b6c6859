"""The report: one self-contained HTML page, drawn from the evidence alone."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toto_ops.evaluation.bootstrap import Estimate
from toto_ops.evaluation.evidence import Criterion, Evidence
from toto_ops.evaluation.metrics import Performance
from toto_ops.evaluation.plots import draw_plots

if TYPE_CHECKING:
    from jinja2 import Environment

REPORT_FILE = "report.html"

_FOLDER = Path(__file__).parent
_TEMPLATE = "report.html.jinja"

UNDEFINED = "n/a"


@dataclass(frozen=True)
class Figure:
    """How one field of `Performance` is called and written."""

    field: str
    title: str
    write: Callable[[float], str]

    def of(self, performance: Performance) -> Estimate:
        """The estimate it stands for."""
        estimate: Estimate = getattr(performance, self.field)
        return estimate


def _percent(value: float) -> str:
    return f"{value:,.1%}"


def _fine_percent(value: float) -> str:
    return f"{value:,.2%}"


def _ratio(value: float) -> str:
    return f"{value:,.2f}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


FIGURES = (
    Figure("total_return", "Total return", _percent),
    Figure("sharpe", "Sharpe", _ratio),
    Figure("sortino", "Sortino", _ratio),
    Figure("volatility", "Volatility p.a.", _percent),
    Figure("max_drawdown", "Max drawdown", _percent),
    Figure("win_rate", "Win rate", _percent),
    Figure("profit_factor", "Profit factor", _ratio),
    Figure("trades", "Trades", _count),
    Figure("fees", "Fees", _fine_percent),
    Figure("interest", "Interest", _fine_percent),
    Figure("turnover", "Turnover p.a.", _ratio),
    Figure("exposure", "Mean exposure", _ratio),
)
"""Every field of `Performance`, in the order of the tables."""


def render_report(evidence: Evidence) -> str:
    """Render the page; its plots are inside."""
    template = page_environment(_FOLDER).get_template(_TEMPLATE)
    return template.render(evidence=evidence, figures=FIGURES, plots=draw_plots(evidence))


def page_environment(folder: Path) -> Environment:
    """Where the templates of `folder` are rendered: they may include the parts of the report and use its filters."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader((folder, _FOLDER)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"value": _value, "interval": _interval, "percent": _optional(_percent), "ratio": _optional(_ratio)}
    environment.filters |= {"measured": _measured, "required": _required, "embedded": _embedded}
    return environment


def plot_evidence(evidence: Evidence) -> dict[str, bytes]:
    """The plots of the page as PNG by title, for run metadata."""
    return asdict(draw_plots(evidence))


def write_report(evidence: Evidence, folder: Path) -> Path:
    """Write `report.html` into an existing folder and return its path."""
    path = folder / REPORT_FILE
    path.write_text(render_report(evidence), encoding="utf-8")
    return path


def performance_table(evidence: Evidence) -> str:
    """The contestants' figures as a Markdown table, for run metadata."""
    header = "| figure | " + " | ".join(candidate.name for candidate in evidence.candidates) + " |"
    rows = (
        f"| {figure.title} | "
        + " | ".join(_cell(figure.of(candidate.performance), figure) for candidate in evidence.candidates)
        + " |"
        for figure in FIGURES
    )
    return "\n".join((header, "|---" * (len(evidence.candidates) + 1) + "|", *rows))


_PLAIN_GATES = {"test bars": _count, "Sharpe ratio": _ratio, "imitation macro-F1": _ratio}


def _writer(criterion: Criterion) -> Callable[[float], str]:
    if criterion.name.startswith("Sharpe ratio"):
        return _ratio
    return _PLAIN_GATES.get(criterion.name, _percent)


def _measured(criterion: Criterion) -> str:
    return _optional(_writer(criterion))(criterion.measured)


def _required(criterion: Criterion) -> str:
    if criterion.required is None:
        return UNDEFINED
    relation = {">=": "≥", "<=": "≤", ">": ">"}[criterion.relation]
    return f"{relation} {_writer(criterion)(criterion.required)}"


def _optional(write: Callable[[float], str]) -> Callable[[float | None], str]:
    return lambda value: UNDEFINED if value is None else write(value)


def _value(estimate: Estimate, figure: Figure) -> str:
    return _optional(figure.write)(estimate.value)


def _interval(estimate: Estimate, figure: Figure) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{figure.write(estimate.low)} … {figure.write(estimate.high)}"


def _cell(estimate: Estimate, figure: Figure) -> str:
    interval = _interval(estimate, figure)
    return _value(estimate, figure) + (f" [{interval}]" if interval else "")


def _embedded(image: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")
