"""What an alert says: what happened, why, and where to look."""

from datetime import UTC, datetime, timedelta

import pytest

from toto_ops.monitoring.alerts import LONGEST_QUOTE, Alert, FailedRun, run_alert, succession_alerts
from toto_ops.registry.events import RegistryEvent

MOMENT = datetime(2024, 2, 1, 6, 5, tzinfo=UTC)


def failed(**changes: object) -> FailedRun:
    content = {
        "run_id": "r1",
        "job": "crypto_retrain",
        "universe": "crypto",
        "namespace": "live",
        "at": MOMENT,
        "failed_steps": {"crypto__bars": "SourceError: bars is missing"},
        "message": "steps failed",
        "coverage": None,
        **changes,
    }
    return FailedRun(**content)  # type: ignore[arg-type]


def event(number: int, **changes: object) -> RegistryEvent:
    content = {
        "number": number,
        "universe": "crypto",
        "at": MOMENT + timedelta(hours=number),
        "kind": "promotion",
        "version": 4,
        "instead_of": 2,
        "by": "retraining r1",
        "why": "every gate passed",
        "outcome": "done",
        **changes,
    }
    return RegistryEvent(**content)  # type: ignore[arg-type]


def told(*diary: RegistryEvent, after: int = 0) -> dict[int, str | None]:
    return {number: alert and alert.kind for number, alert in succession_alerts(diary, after)}


def test_a_failed_run_names_step_cause_and_run() -> None:
    alert = run_alert(failed())
    assert (alert.kind, alert.universe, alert.title) == ("run_failure", "crypto", "crypto: crypto_retrain failed")
    assert "crypto__bars: SourceError: bars is missing" in alert.details
    assert "run r1" in alert.details
    assert "`toto-ops registry show crypto` says what serves" in alert.details, "it may have failed after it promoted"


def test_a_run_whose_process_was_killed_says_what_dagster_noted() -> None:
    alert = run_alert(failed(failed_steps={}, message="the process was killed", universe=""))
    assert alert.title == "crypto_retrain failed"
    assert "the process was killed" in alert.details


def test_failed_coverage_is_an_alert_of_its_own() -> None:
    alert = run_alert(failed(coverage="40% of the symbols take part, 60% are required; BTCUSD is quarantined: gaps"))
    assert alert.kind == "coverage_failure"
    assert "BTCUSD is quarantined: gaps" in alert.details


def test_a_replay_is_told_apart() -> None:
    assert "namespace replay" in run_alert(failed(namespace="replay")).details
    assert "namespace" not in run_alert(failed()).details


def test_a_long_error_is_cut() -> None:
    assert len(run_alert(failed(failed_steps={"step": "x" * 100_000})).details) < LONGEST_QUOTE + 300


def test_promotions_and_demotions_say_who_and_why() -> None:
    (_, promotion), (_, demotion) = succession_alerts(
        [event(1), event(2, kind="rollback", version=2, instead_of=4, by="anna@desk", why="drawdown")], after=0
    )
    assert promotion is not None
    assert promotion.title == "crypto: version 4 was promoted and serves instead of version 2"
    assert demotion is not None
    assert (demotion.kind, demotion.title) == ("demotion", "crypto: version 4 was withdrawn, version 2 serves")
    assert "anna@desk: drawdown" in demotion.details


def test_the_first_champion_replaces_nobody() -> None:
    ((_, alert),) = succession_alerts([event(1, instead_of=None)], after=0)
    assert alert is not None
    assert "first champion" in alert.title


def test_only_what_changed_what_serves_is_told() -> None:
    diary = [event(1, outcome="refused"), event(2, outcome="failed"), event(3, kind="freeze"), event(4)]
    assert told(*diary) == {1: None, 2: None, 3: None, 4: "promotion"}


def test_nothing_is_told_twice() -> None:
    assert told(event(1), event(2), after=1) == {2: "promotion"}
    assert told(event(1), event(2), after=2) == {}


def test_an_attempt_under_way_is_left_for_later_with_all_that_follows() -> None:
    assert told(event(1), event(2, outcome="begun"), event(3)) == {1: "promotion"}


def test_a_diary_that_begins_anew_is_told_from_its_beginning() -> None:
    assert told(event(1), event(2), after=7) == {1: "promotion", 2: "promotion"}
    assert told(after=7) == {}


@pytest.mark.parametrize("title", ["two\nlines", "two\r\n lines"])
def test_a_title_is_one_line(title: str) -> None:
    assert Alert(kind="test", universe="", at=MOMENT, title=title, details="").title == "two lines"
