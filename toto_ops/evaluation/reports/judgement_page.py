"""The report of a judgement: one self-contained HTML page, drawn from the evidence alone."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from toto_ops.evaluation.judgement.evidence import Evidence
from toto_ops.evaluation.reports.figures import FIGURES, cell
from toto_ops.evaluation.reports.forecast_tables import shown_forecasts
from toto_ops.evaluation.reports.judgement_plots import draw_plots
from toto_ops.evaluation.reports.pages import page_environment
from toto_ops.evaluation.reports.statements import accuracy_statements, belief_statements, verdict_statement

REPORT_FILE = "report.html"

_TEMPLATE = "judgement_page.html.jinja"


def render_page(evidence: Evidence) -> str:
    """Render the page; its plots are inside."""
    template = page_environment().get_template(_TEMPLATE)
    return template.render(
        evidence=evidence,
        figures=FIGURES,
        plots=draw_plots(evidence),
        verdict=verdict_statement(evidence),
        accuracy=accuracy_statements(evidence),
        forecasts=[shown_forecasts(evaluation) for evaluation in evidence.forecasts],
        beliefs=belief_statements(evidence),
    )


def plot_evidence(evidence: Evidence) -> dict[str, bytes]:
    """The plots of the page as PNG by title, for run metadata."""
    return asdict(draw_plots(evidence))


def write_report(evidence: Evidence, folder: Path) -> Path:
    """Write `report.html` into an existing folder and return its path."""
    path = folder / REPORT_FILE
    path.write_text(render_page(evidence), encoding="utf-8")
    return path


def performance_markdown(evidence: Evidence) -> str:
    """The contestants' figures as a Markdown table, for run metadata."""
    header = "| figure | " + " | ".join(candidate.name for candidate in evidence.candidates) + " |"
    rows = (
        f"| {figure.title} | "
        + " | ".join(cell(figure.of(candidate.performance), figure.write) for candidate in evidence.candidates)
        + " |"
        for figure in FIGURES
    )
    return "\n".join((header, "|---" * (len(evidence.candidates) + 1) + "|", *rows))
