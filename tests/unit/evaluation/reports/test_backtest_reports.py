"""What the report of a backtest says: on the page, as text and as CSV, all from one document."""

import csv
from datetime import datetime, timedelta

import pytest

from tests.unit.evaluation.reports.backtest_report_samples import START, Course, as_result, report
from toto_ops.evaluation.backtests.document import SelectionFindings, SubjectTrades, TriedCombination
from toto_ops.evaluation.backtests.rows import monthly_returns
from toto_ops.evaluation.reports.backtest_page import SHOWN_TRADES, render_page
from toto_ops.evaluation.reports.backtest_tables import overview, trades_csv
from toto_ops.evaluation.reports.backtest_text import render_text
from toto_ops.evaluation.statistics.bootstrap import Estimate
from toto_ops.learning.splits import Span


def test_months_compound_and_a_return_belongs_to_the_open_that_earned_it() -> None:
    months = monthly_returns("bc", as_result(Course))
    assert [(one.year, one.month) for one in months.months] == [(2024, 1), (2024, 2)]
    # From 30 to 31 January +10 %; to 1, 2 and 3 February -10 %, +20 % and nothing.
    assert [one.value for one in months.months] == pytest.approx([0.10, 0.9 * 1.2 - 1])
    assert months.whole_year(2024) == pytest.approx(1.1 * 0.9 * 1.2 - 1)
    assert months.year(2024)[2:] == (None,) * 10


def test_the_page_shows_money_intervals_and_reasons_and_escapes_what_it_was_given() -> None:
    page = render_page(report())
    for said in ("toto-stocks version 3", "500,000", "594,000", "0.75 … 1.75", "chosen with hindsight", "perfect", "2024-01-30"):
        assert said.lower() in page.lower(), said
    assert "&lt;negative&gt;" in page
    assert "<negative>" not in page
    assert "http" not in page.replace("http-equiv", ""), "the page is whole without a network"


def test_the_text_says_the_same_in_tables() -> None:
    text = render_text(report())
    for said in (
        "594,000",
        "MINUS EACH OTHER",
        "costs x2",
        "CCC: 3 bars have <negative> prices",
        "AAA",
        "12.50",
        "one of 3 so far",
    ):
        assert said in text, said
    assert "CHOICE OF SYMBOLS" not in text


def test_a_small_capital_is_told_to_the_hundredth() -> None:
    small = report(initial_capital=500.0)
    assert "initial capital 500.00" in render_text(small)
    assert "Initial capital 500.00" in render_page(small)
    assert "initial capital 500,000\n" in render_text(report())


def test_returns_that_never_vary_are_neither_believed_nor_doubted() -> None:
    main, *others = report().contestants
    still = main.performance.model_copy(update={"sharpe": Estimate(value=None, low=None, high=None)})
    text = render_text(report(contestants=(main.model_copy(update={"performance": still}), *others)))
    assert "its returns do not vary" in text
    assert "confidence of" not in text


def test_stresses_have_their_intervals_on_the_page() -> None:
    under_stress = render_page(report()).split("Under stress")[1].split("</table>")[0]
    own, *stressed = under_stress.split("<tr")[2:]
    assert len(stressed) == len(report().stresses)
    assert all("0.75 … 1.75" in row for row in (own, *stressed))


def test_a_choice_of_symbols_says_how_many_were_tried() -> None:
    selection = SelectionFindings(
        method="greedy",
        candidates=("AAA", "BBB", "CCC"),
        validation=Span(after=START - timedelta(days=9), until=START),
        tried=5,
        best=(TriedCombination(symbols=("AAA", "BBB"), sharpe=None, total_return=0.0),),
    )
    chosen = report(selection=selection)
    for said in (render_text(chosen), render_page(chosen)):
        assert "5 combinations tried" in said
        assert "grown one symbol at a time" in said
        assert "n/a" in said, "one that never traded has no Sharpe ratio"


def test_the_page_shows_the_newest_trades_and_the_csv_has_all() -> None:
    many = report(trades=SHOWN_TRADES + 5)
    page = render_page(many)
    assert f"newest {SHOWN_TRADES} of {SHOWN_TRADES + 5}" in " ".join(page.split())
    rows = list(csv.DictReader(trades_csv(many).splitlines()))
    assert len(rows) == SHOWN_TRADES + 5
    assert (rows[0]["contestant"], rows[0]["symbol"], rows[0]["exit_time"]) == ("bc", "AAA", "")
    assert datetime.fromisoformat(rows[1]["exit_time"]) == START + timedelta(hours=2)


def test_one_that_never_traded_says_so() -> None:
    nothing = report(traded=(SubjectTrades(name="bc", by_symbol=(), trades=()),))
    assert "never traded" in render_text(nothing)
    assert "never traded" in render_page(nothing)
    assert len(trades_csv(nothing).splitlines()) == 1


def test_the_overview_has_a_row_for_everyone() -> None:
    rows = overview(report())
    assert [row["contestant"] for row in rows] == ["bc", "cash"]
    assert rows[0]["final equity"] == "594,000"
    assert "0.75 … 1.75" in rows[0]["Sharpe"]
