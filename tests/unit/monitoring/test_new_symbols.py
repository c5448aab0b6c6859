"""Which symbols are taken in now: what is new, what was lost, and what changed since it was refused; the rest waits."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from toto_ops.monitoring.new_symbols import Candidate, SymbolAttempt, attempt_key, decide

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def attempt(**changes: Any) -> SymbolAttempt:
    facts = {
        "symbol": "AAA",
        "source_mark": "old content",
        "status": "waiting",
        "reasons": ("too short", "odd prices"),
        "attempted_at": NOON,
        "retrain_id": "run",
    }
    return SymbolAttempt.model_validate(facts | changes)


def test_what_was_never_tried_is_taken_in() -> None:
    verdict = decide([Candidate("AAA", "content"), Candidate("BBB", "content")])
    assert (verdict.to_add, verdict.waiting) == (("AAA", "BBB"), {})


def test_of_unchanged_content_another_attempt_would_end_the_same() -> None:
    verdict = decide([Candidate("AAA", "old content", attempt())])
    assert (verdict.to_add, verdict.waiting) == ((), {"AAA": "too short; odd prices"})


def test_changed_content_is_tried_again() -> None:
    assert decide([Candidate("AAA", "new content", attempt())]).to_add == ("AAA",)


def test_changed_content_waits_while_something_is_seen_to_stand_in_the_way() -> None:
    verdict = decide([Candidate("AAA", "new content", attempt(), obstacle="299 bars; 300 are needed")])
    assert (verdict.to_add, verdict.waiting) == ((), {"AAA": "299 bars; 300 are needed"})


@pytest.mark.parametrize("status", ["stored", "joined"])
def test_what_a_run_stored_and_is_not_served_is_taken_in_again(status: str) -> None:
    assert decide([Candidate("AAA", "old content", attempt(status=status, reasons=()))]).to_add == ("AAA",)


def test_one_that_waits_keeps_no_other_from_it() -> None:
    verdict = decide([Candidate("AAA", "old content", attempt()), Candidate("BBB", "content")])
    assert verdict.to_add == ("BBB",)
    assert set(verdict.waiting) == {"AAA"}


def test_a_run_is_asked_for_once_a_day_and_content() -> None:
    key = attempt_key("coins", {"AAA": "content"}, NOON)
    assert attempt_key("coins", {"AAA": "content"}, NOON + timedelta(hours=11)) == key
    others = {
        attempt_key("coins", {"AAA": "content"}, NOON + timedelta(hours=12)),
        attempt_key("coins", {"AAA": "other content"}, NOON),
        attempt_key("coins", {"BBB": "content"}, NOON),
        attempt_key("stocks", {"AAA": "content"}, NOON),
    }
    assert len(others | {key}) == 5


def test_the_day_is_that_of_utc() -> None:
    late = datetime(2024, 3, 1, 20, tzinfo=timezone(timedelta(hours=-8)))
    assert attempt_key("coins", {}, late) == attempt_key("coins", {}, NOON + timedelta(days=1))
