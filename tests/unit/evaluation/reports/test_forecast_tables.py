"""Tables of forecasts: one set of rows, written as text, Markdown and HTML."""

from __future__ import annotations

import re

import pytest

from tests.unit.evaluation.reports.forecast_report_samples import ALL_BETTER, BETTER, UNDEFINED, UNSURE, WORSE, at, evaluation
from toto_ops.evaluation.forecasts.documents import SymbolEvaluation
from toto_ops.evaluation.reports.forecast_statements import forecast_statements
from toto_ops.evaluation.reports.forecast_tables import (
    SYMBOLS_IN_TEXT,
    comparisons_table,
    forecast_section,
    leads_table,
    scores_table,
    symbols_table,
)
from toto_ops.evaluation.reports.judgement_page import render_page
from toto_ops.evaluation.reports.judgement_text import render_text


def test_every_contestant_has_a_line_at_every_horizon():
    table = scores_table(evaluation())
    assert [row[:2] for row in table.rows] == [
        (name, bars) for bars in ("1", "5") for name in ("forecaster", "seasonal naive", "drift", "EWMA")
    ]
    assert table.rows[0] == ("forecaster", "1", "2,100", "0.450", "1.12%", "0.773", "52.1%", "53.0%", "0.021", "1.0%")
    assert table.rows[3][6:8] == ("n/a", "n/a")


def test_a_comparison_counts_the_symbols_that_are_surely_better_and_worse():
    pooled = (at(5, {"ewma": BETTER}),)
    symbols = [
        SymbolEvaluation(symbol=f"S{number}", horizons=(at(5, {"ewma": skill}),))
        for number, skill in enumerate((BETTER, BETTER, UNSURE, WORSE))
    ]
    found = evaluation(*pooled, symbols=0).model_copy(update={"symbols": tuple(symbols)})
    (row,) = comparisons_table(found).rows
    assert row == ("EWMA", "5", "3.1%", "1.0% … 5.0%", "better", "2/4", "1/4")
    (row,) = comparisons_table(found.pooled_only()).rows
    assert row[5:] == ("n/a", "n/a")


def test_a_lead_is_that_over_the_best_baseline_of_the_symbol_and_marked_where_it_is_sure():
    skills = [ALL_BETTER | {"ewma": UNSURE}, ALL_BETTER, ALL_BETTER | {"drift": WORSE}, {"ewma": UNDEFINED}]
    table = leads_table(evaluation(*(at(horizon, one) for horizon, one in zip((1, 2, 3, 4), skills, strict=True)), symbols=1))
    assert table.rows == (("SYM0", "0.4% ", "3.1%+", "-6.0%-", "n/a"),)
    assert table.header == ("symbol", "1 bar", "2 bars", "3 bars", "4 bars")


def test_every_symbol_has_a_line_at_every_horizon_with_its_lead_over_every_baseline():
    table = symbols_table(evaluation())
    assert [row[:2] for row in table.rows] == [(f"SYM{number}", bars) for number in range(3) for bars in ("1", "5")]
    assert table.header[-3:] == ("over seasonal naive", "over drift", "over EWMA")
    assert table.rows[1][-3:] == ("3.1% [1.0% … 5.0%]+", "3.1% [1.0% … 5.0%]+", "0.4% [-1.1% … 2.0%] ")
    assert table.header[-4] == "p"


def test_the_text_fits_80_columns_and_says_everything():
    found = evaluation(symbols=SYMBOLS_IN_TEXT + 7)
    text = forecast_section(found)
    assert max(map(len, text.splitlines())) <= 80
    unwrapped = re.sub(r"\s+", " ", text)
    assert all(statement in unwrapped for statement in forecast_statements(found))
    assert text.count("\nSYM") == SYMBOLS_IN_TEXT
    assert "and 7 more symbols" in text
    assert "its 90% block-bootstrap interval is without 0" in text


def test_without_symbols_there_is_no_empty_table():
    text = forecast_section(evaluation().pooled_only())
    assert "Lead over the best baseline" not in text
    assert "more symbols" not in text


def test_markdown_has_a_rule_under_the_header():
    lines = scores_table(evaluation()).markdown().splitlines()
    assert lines[0].startswith("| contestant | bars |")
    assert set(lines[1]) == set("|- ")
    assert len(lines) == 2 + 8
    assert len({line.count("|") for line in lines}) == 1


class TestInTheReportsOfAJudgement:
    @pytest.fixture(scope="class")
    def without(self, judged):
        return judged()

    @pytest.fixture(scope="class")
    def evidence(self, without):
        return without.model_copy(update={"forecasts": (evaluation(backbone="<b>market"),)})

    def test_the_page_shows_statements_tables_and_symbols(self, evidence):
        html = render_page(evidence)
        for shown in (*forecast_statements(evidence.forecasts[0]), "Symbol by symbol", "<td>SYM2</td>", "Forecaster abc123"):
            assert shown in html, shown
        assert "<b>market" not in html

    def test_the_text_shows_the_section(self, evidence):
        assert forecast_section(evidence.forecasts[0]) in render_text(evidence)

    def test_without_forecasts_neither_mentions_any(self, without):
        assert "Forecasts on" not in render_page(without)
        assert "FORECASTS ON" not in render_text(without)
