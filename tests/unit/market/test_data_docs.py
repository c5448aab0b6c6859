"""Data Docs: one page per symbol and an index, which open from any folder and load nothing from elsewhere."""

from __future__ import annotations

import re

import polars as pl
import pytest

from toto_ops.errors import BarDataError, SymbolNameError
from toto_ops.market.data_docs import write_data_docs
from toto_ops.market.quality import QualityReport, unreadable, validate_bars


@pytest.fixture(scope="module")
def reports(bundled_universes, sound_bars, as_of) -> tuple[QualityReport, ...]:
    def judge(symbol: str, bars: pl.DataFrame) -> QualityReport:
        return validate_bars(bars, bundled_universes["stocks"], symbol, as_of)

    return (
        judge("SOUND", sound_bars),
        judge("ENDED", sound_bars[:400]),
        judge("BAD", sound_bars.with_columns(low=-pl.col("low"))),
        unreadable("AWFUL", BarDataError("line 2: '<script>alert(1)</script>' is not a number")),
    )


@pytest.fixture(scope="module")
def folder(reports, tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    write_data_docs(reports, folder, universe="stocks")
    return folder


def test_the_index_lists_every_symbol_in_order_with_verdict_and_page(folder):
    index = (folder / "index.html").read_text()
    links = re.findall(r'<a href="([^"]+)">', index)
    assert links == ["AWFUL.html", "BAD.html", "ENDED.html", "SOUND.html"]
    assert all((folder / link).exists() for link in links)
    assert "2 of 4 symbols passed" in index
    assert "passed, ended" in index
    assert "low is zero or negative" in index


def test_a_page_shows_every_expectation_with_what_was_found(folder):
    page = (folder / "BAD.html").read_text()
    assert "low is zero or negative on 504 of 504 bars" in page
    assert page.count("fa-check-circle") > 20
    assert page.count("fa-times") >= 1
    assert "greater than" in page
    assert (folder / "SOUND.html").read_text().count("fa-times text-danger") == 0


def test_a_symbol_that_could_not_be_read_has_a_page_that_says_so(folder):
    assert "no expectation was evaluated" in (folder / "AWFUL.html").read_text()


def test_what_a_feed_says_never_becomes_markup(folder):
    for name in ("index.html", "AWFUL.html"):
        assert "<script>" not in (folder / name).read_text()
        assert "&lt;script&gt;" in (folder / name).read_text()


def test_pages_load_nothing_and_link_only_to_each_other(folder):
    for path in folder.iterdir():
        page = path.read_text()
        assert not re.search(r"<script|<link|<img|https?://", page)
        assert all((folder / link).exists() for link in re.findall(r'href="([^"#]+)"', page))


def test_a_name_that_would_leave_the_folder_is_refused(tmp_path):
    with pytest.raises(SymbolNameError):
        write_data_docs([unreadable("../x", BarDataError("bad"))], tmp_path, universe="stocks")
    assert list(tmp_path.iterdir()) == []
