"""The report: one self-contained HTML page, drawn from the evidence alone."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toto_ops.evaluation.bootstrap import Estimate
from toto_ops.evaluation.evidence import Evidence
from toto_ops.evaluation.figures import (
    FIGURES,
    WRITERS,
    Figure,
    aim,
    cell,
    fine_percent,
    interval,
    measured,
    measured_interval,
    optional,
    percent,
    ratio,
    required,
)
from toto_ops.evaluation.findings import Target
from toto_ops.evaluation.plots import draw_plots
from toto_ops.evaluation.statements import accuracy_statements, belief_statements, verdict_statement

if TYPE_CHECKING:
    from jinja2 import Environment

REPORT_FILE = "report.html"

_FOLDER = Path(__file__).parent
_TEMPLATE = "report.html.jinja"


def render_report(evidence: Evidence) -> str:
    """Render the page; its plots are inside."""
    template = page_environment(_FOLDER).get_template(_TEMPLATE)
    return template.render(
        evidence=evidence,
        figures=FIGURES,
        plots=draw_plots(evidence),
        verdict=verdict_statement(evidence),
        accuracy=accuracy_statements(evidence),
        beliefs=belief_statements(evidence),
    )


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
    environment.filters |= _FILTERS
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
        + " | ".join(cell(figure.of(candidate.performance), figure.write) for candidate in evidence.candidates)
        + " |"
        for figure in FIGURES
    )
    return "\n".join((header, "|---" * (len(evidence.candidates) + 1) + "|", *rows))


def _value(estimate: Estimate, figure: Figure) -> str:
    return optional(figure.write)(estimate.value)


def _interval(estimate: Estimate, figure: Figure) -> str:
    return interval(estimate.low, estimate.high, figure.write)


def _bounds(estimate: Estimate, written_as: str) -> str:
    """The interval of an estimate that is no figure of a performance."""
    return interval(estimate.low, estimate.high, percent if written_as == "percent" else ratio)


def _target_value(target: Target) -> str:
    return optional(WRITERS[target.unit])(target.measured.value)


def _target_interval(target: Target) -> str:
    return interval(target.measured.low, target.measured.high, WRITERS[target.unit])


def _embedded(image: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(image).decode("ascii")


_FILTERS: dict[str, Callable[..., Any]] = {
    "value": _value,
    "interval": _interval,
    "bounds": _bounds,
    "percent": optional(percent),
    "fine_percent": optional(fine_percent),
    "ratio": optional(ratio),
    "measured": measured,
    "measured_interval": measured_interval,
    "required": required,
    "aim": aim,
    "target_value": _target_value,
    "target_interval": _target_interval,
    "embedded": _embedded,
}
