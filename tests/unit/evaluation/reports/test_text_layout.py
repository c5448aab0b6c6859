"""Tables, lists and titles in plain text."""

from __future__ import annotations

import pytest

from toto_ops.evaluation.reports.text_layout import WIDTH, bullets, document, section, text_table


def test_a_table_aligns_its_first_column_left_and_the_others_right():
    table = text_table(("name", "value"), [("a", "1"), ("longer name", "10.5")])
    assert table.splitlines() == [
        "name         value",
        "------------------",
        "a                1",
        "longer name   10.5",
    ]


def test_a_row_with_another_number_of_cells_is_refused():
    with pytest.raises(ValueError, match="2 cells"):
        text_table(("name", "value"), [("a",)])


def test_a_part_without_content_leaves_nothing_behind():
    assert section("Title", "", "") == ""
    assert document("one", "", "two") == "one\n\ntwo\n"


def test_long_items_are_wrapped_under_their_first_line():
    first, *more = bullets(["word " * 60]).splitlines()
    assert first.startswith("- ")
    assert more
    assert all(line.startswith("  ") and len(line) <= WIDTH for line in more)
