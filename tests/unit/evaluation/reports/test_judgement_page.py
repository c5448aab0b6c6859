from __future__ import annotations

import base64
import re

import pytest

from toto_ops.evaluation.judgement.evidence import Evidence
from toto_ops.evaluation.reports.figures import FIGURES, measured_interval
from toto_ops.evaluation.reports.judgement_page import (
    REPORT_FILE,
    performance_markdown,
    plot_evidence,
    render_page,
    write_report,
)
from toto_ops.evaluation.statistics.performance import Performance

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def evidence(judged, candidate, splits, trials_of) -> Evidence:
    return judged(
        trials=trials_of(3),
        challenger=candidate("bc", accuracy="imitation"),
        champion=candidate("champion", knows_until=splits.validation.until),
        ineligible=[candidate("ppo <b>", contrary=True)],
    )


def test_the_page_stands_alone_and_holds_the_four_plots(evidence):
    html = render_page(evidence)
    embedded = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    images = list(plot_evidence(evidence).values())
    assert [base64.b64decode(image) for image in embedded] == images
    assert all(image.startswith(PNG_SIGNATURE) for image in images)
    assert len(set(images)) == 4
    assert not re.search(r'(src|href)="(?!data:)', html)


def test_the_same_evidence_gives_the_same_page(evidence):
    copy = Evidence.model_validate_json(evidence.model_dump_json())
    assert render_page(copy) == render_page(evidence)


def test_the_page_names_every_contestant_gate_and_caveat(evidence):
    html = render_page(evidence)
    for text in (
        *(criterion.name for criterion in evidence.criteria),
        *(shown.name for shown in evidence.others if shown.role == "benchmark"),
        *("fallback", "costs x2", "decision lag 2", "breaker off", "profit factor", "most volatile quarter"),
        *("hindsight", "without adjustment", "trial ledger holds 3 trials", evidence.inputs_hash, evidence.data_hash),
    ):
        assert text in html, text


def test_every_measured_criterion_with_an_interval_shows_it(evidence):
    html = render_page(evidence)
    with_interval = [row for row in evidence.criteria if row.low is not None]
    assert len(with_interval) > 5
    for row in with_interval:
        assert f"<small>{measured_interval(row)}</small>" in html, row.name


def test_a_quarantine_says_what_to_look_for(judged, candidate):
    html = render_page(judged(challenger=candidate("bc", clairvoyant=True)))
    assert '<span class="badge quarantined">quarantined</span>' in html
    assert "look for leakage of the future before anything else" in html


def test_evidence_of_the_previous_version_has_a_page_without_what_it_lacks(evidence):
    empty = dict.fromkeys(("paired", "stress_spans", "targets", "trades"), ())
    lacking = dict.fromkeys(("comparison", "significance", "overfitting", "plausibility"))
    html = render_page(evidence.model_copy(update=empty | lacking))
    assert "Pair by pair" in render_page(evidence)
    assert not any(title in html for title in ("Pair by pair", "Targets", "Parts of the test span", "Round trips"))


def test_names_from_outside_cannot_become_markup(evidence):
    html = render_page(evidence)
    assert "ppo &lt;b&gt;" in html
    assert "ppo <b>" not in html


def test_the_page_of_an_idle_policy_shows_what_is_undefined_as_such(judged, candidate):
    evidence = judged(challenger=candidate("bc", idle=True))
    html = render_page(evidence)
    assert "n/a" in html
    assert "None" not in html
    assert not re.search(r">\s*-?(nan|inf)", html)


def test_every_figure_of_a_performance_has_its_row():
    assert [figure.field for figure in FIGURES] == list(Performance.model_fields)


def test_the_report_is_written_beside_the_evidence(evidence, tmp_path):
    assert write_report(evidence, tmp_path) == tmp_path / REPORT_FILE
    assert (tmp_path / REPORT_FILE).read_text(encoding="utf-8") == render_page(evidence)


def test_the_table_for_run_metadata_has_a_row_per_figure(evidence):
    lines = performance_markdown(evidence).splitlines()
    assert len(lines) == 2 + len(FIGURES)
    assert {line.count("|") for line in lines} == {len(evidence.candidates) + 2}
