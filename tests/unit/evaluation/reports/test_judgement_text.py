"""The text says what the page says, in lines a terminal can show."""

from __future__ import annotations

import re

import pytest

from toto_ops.evaluation.judgement.evidence import Evidence
from toto_ops.evaluation.reports.figures import FIGURES, count, fine_percent, measured, percent, ratio, required
from toto_ops.evaluation.reports.judgement_text import TEXT_REPORT_FILE, render_text, write_text_report
from toto_ops.evaluation.reports.statements import belief_statements


@pytest.fixture(scope="module")
def evidence(judged, candidate, splits, trials_of) -> Evidence:
    return judged(
        trials=trials_of(3),
        challenger=candidate("bc", accuracy="imitation"),
        champion=candidate("champion", knows_until=splits.validation.until),
    )


def test_the_first_line_is_the_verdict(evidence):
    assert render_text(evidence).splitlines()[0] == f"controls: bc is {evidence.verdict}"


def test_a_quarantine_says_what_raised_it_and_what_to_look_for(judged, candidate):
    text = render_text(judged(challenger=candidate("bc", clairvoyant=True)))
    assert text.startswith("controls: bc is quarantined")
    assert "look for leakage of the future before anything else" in text
    assert "Raised by: share of the Sharpe ratio of perfect foresight" in text


def test_every_criterion_is_a_line_with_what_was_required_and_measured(evidence):
    lines = render_text(evidence).splitlines()
    for row in evidence.criteria:
        (line,) = [line for line in lines if re.match(re.escape(row.name) + r"  ", line) and line.endswith(row.verdict)]
        assert required(row) in line
        assert measured(row) in line


def test_every_contestant_figure_pair_and_belief_is_there(evidence):
    text = render_text(evidence)
    unwrapped = re.sub(r"\s+", " ", text)
    assert all(shown.name in text for shown in evidence.candidates)
    assert all(figure.title in text for figure in FIGURES)
    assert all(re.search(rf"^{re.escape(pair.against)} +{pair.bars} ", text, re.MULTILINE) for pair in evidence.pairs)
    assert evidence.pairs[0].against == "champion champion"
    assert all(re.sub(r"\s+", " ", statement) in unwrapped for statement in belief_statements(evidence))


def test_tables_are_narrow_enough_for_a_terminal_of_140_characters(evidence):
    assert max(len(line) for line in render_text(evidence).splitlines()) <= 140


def test_nothing_is_less_than_nothing():
    assert [write(-1e-9) for write in (percent, fine_percent, ratio, count)] == ["0.0%", "0.00%", "0.00", "0"]


def test_nothing_undefined_is_written_as_a_number(judged, candidate):
    text = render_text(judged(challenger=candidate("bc", idle=True)))
    assert "n/a" in text
    assert not re.search(r"\b(None|nan|inf)\b", text)


def test_it_is_written_beside_the_evidence(evidence, tmp_path):
    assert write_text_report(evidence, tmp_path) == tmp_path / TEXT_REPORT_FILE
    assert (tmp_path / TEXT_REPORT_FILE).read_text(encoding="utf-8") == render_text(evidence)
