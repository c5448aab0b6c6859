"""The report of a judgement as plain text, drawn from the same evidence as the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toto_ops.evaluation.findings.documents import StressSpanResult, Target
from toto_ops.evaluation.judgement.evidence import Criterion, Evidence
from toto_ops.evaluation.reports.figures import (
    FIGURES,
    WRITERS,
    aim,
    cell,
    interval,
    measured,
    measured_interval,
    optional,
    percent,
    ratio,
    required,
)
from toto_ops.evaluation.reports.forecast_tables import forecast_section
from toto_ops.evaluation.reports.statements import accuracy_statements, belief_statements, verdict_statement
from toto_ops.evaluation.reports.text_layout import bullets, document, section, text_table
from toto_ops.evaluation.reports.text_tables import paired_table, performance_table, trades_table
from toto_ops.evaluation.statistics.performance import Performance

TEXT_REPORT_FILE = "report.txt"


def render_text(evidence: Evidence) -> str:
    """Render the whole report for a terminal."""
    test = evidence.splits.test
    title = (
        f"{evidence.universe}: {evidence.line} is {evidence.verdict}\n"
        f"test span {test.after:%Y-%m-%d} to {test.until:%Y-%m-%d}, {evidence.test_bars} bars, {len(evidence.symbols)} symbols; "
        f"judged as of {evidence.as_of:%Y-%m-%d %H:%M %Z} in retraining {evidence.retrain_id}"
    )
    return document(
        title,
        verdict_statement(evidence),
        section("Criteria", criteria_table(evidence.criteria), notes(evidence.criteria)),
        section(
            "Contestants on the test span (intervals by block bootstrap)",
            performance_table({candidate.name: candidate.performance for candidate in evidence.candidates}),
        ),
        section("The challenger in full", figure_table(evidence.challenger.performance)),
        section(
            "The challenger under stress", performance_table({stress.name: stress.performance for stress in evidence.stresses})
        ),
        section("Parts of the test span", stress_span_table(evidence.stress_spans)),
        section("Challenger minus contestant, on the same resampled bars", paired_table(evidence.pairs)),
        section("Targets", target_table(evidence.targets)),
        section("Round trips of the challenger", trades_table(evidence.trades)),
        section("Accuracy", bullets(accuracy_statements(evidence))),
        *(forecast_section(evaluation) for evaluation in evidence.forecasts),
        section("How much to believe", bullets(belief_statements(evidence))),
    )


def write_text_report(evidence: Evidence, folder: Path) -> Path:
    """Write `report.txt` into an existing folder and return its path."""
    path = folder / TEXT_REPORT_FILE
    path.write_text(render_text(evidence), encoding="utf-8")
    return path


def criteria_table(criteria: Sequence[Criterion]) -> str:
    """Every criterion: required, measured, interval, verdict."""
    rows = [(row.name, required(row), measured(row), measured_interval(row), row.verdict) for row in criteria]
    return text_table(("criterion", "required", "measured", "interval", "verdict"), rows)


def notes(criteria: Sequence[Criterion]) -> str:
    """What is to be said about single criteria."""
    return bullets([f"{row.name}: {row.note}" for row in criteria if row.note])


def figure_table(performance: Performance) -> str:
    """Every figure of one contestant with its interval."""
    rows = []
    for figure in FIGURES:
        estimate = figure.of(performance)
        bounds = interval(estimate.low, estimate.high, figure.write)
        rows.append((figure.title, optional(figure.write)(estimate.value), bounds))
    return text_table(("figure", "value", "interval"), rows)


def stress_span_table(spans: Sequence[StressSpanResult]) -> str:
    """The challenger on the bars of each kind, beside the equal-weight market."""
    if not spans:
        return ""
    header = ("bars of the test span", "labelled", "bars", "return", "market", "Sharpe", "max drawdown")
    rows = [
        (
            span.name,
            span.labelled,
            str(span.bars),
            cell(span.total_return, percent),
            optional(percent)(span.market_return),
            cell(span.sharpe, ratio),
            optional(percent)(span.max_drawdown),
        )
        for span in spans
    ]
    return text_table(header, rows)


def target_table(targets: Sequence[Target]) -> str:
    """Each target with what was measured."""
    if not targets:
        return ""
    rows = [(one.name, aim(one), cell(one.measured, WRITERS[one.unit]), one.standing) for one in targets]
    return text_table(("target", "range", "measured", ""), rows)
