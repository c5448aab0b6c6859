"""The trial ledger only ever grows, counts each trial once, and does not pass over what it cannot read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from toto_ops.errors import StorageError
from toto_ops.learning.splits import Span, Splits
from toto_ops.storage.store import ArtefactStore
from toto_ops.training.ledger import Opening, Trial, TrialLedger

START = datetime(2024, 1, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def span(after: int, until: int) -> Span:
    return Span(after=day(after), until=day(until))


def make_trial(seed: int = 0, **changes: Any) -> Trial:
    content = {
        "trial_id": Trial.identity("crypto", "bc", "c", "i", seed),
        "universe": "crypto",
        "line": "bc",
        "config_hash": "c",
        "inputs_hash": "i",
        "split": Splits(train=span(0, 70), validation=span(75, 85), test=span(90, 100)),
        "seed": seed,
        "returns": (0.1, -0.02),
        "timestamps": (day(76), day(77)),
        "metrics": {"validation_loss": 0.5},
        "created_at": day(200),
    }
    return Trial.model_validate(content | changes)


def make_opening(**changes: object) -> Opening:
    content = {
        "universe": "crypto",
        "line": "bc",
        "policy": "p",
        "span": span(90, 100),
        "opened_by": "run-1",
        "opened_at": day(200),
    }
    return Opening.model_validate(content | changes)


@pytest.fixture
def ledger(tmp_path: Path) -> TrialLedger:
    return TrialLedger(ArtefactStore(tmp_path), "crypto")


def test_a_recorded_trial_is_read_back_exactly(ledger: TrialLedger) -> None:
    trial = make_trial(returns=(0.1, 1 / 3), metrics={"sharpe": 2 / 7})
    assert ledger.record(trial)
    assert list(ledger.trials()) == [trial]


def test_the_same_trial_counts_once_and_its_first_record_stays(ledger: TrialLedger) -> None:
    first = make_trial()
    ledger.record(first)
    assert not ledger.record(make_trial(returns=(9.0, 9.0), created_at=day(300)))
    assert list(ledger.trials()) == [first]


def test_every_seed_is_a_trial(ledger: TrialLedger) -> None:
    for seed in range(3):
        ledger.record(make_trial(seed))
    assert sorted(trial.seed for trial in ledger.trials()) == [0, 1, 2]


@pytest.mark.parametrize("change", [0, 1, 2, 3, 4])
def test_a_trial_is_identified_by_all_that_determined_it(change: int) -> None:
    parts: list[str | int] = ["crypto", "bc", "config", "inputs", 0]
    other = parts.copy()
    other[change] = 7 if change == 4 else "other"
    assert Trial.identity(*parts) != Trial.identity(*other)  # type: ignore[arg-type]
    assert Trial.identity(*parts) == Trial.identity(*parts)  # type: ignore[arg-type]


def test_a_look_at_test_bars_is_logged_once_per_retraining(ledger: TrialLedger) -> None:
    assert ledger.open_test(make_opening())
    assert not ledger.open_test(make_opening(opened_at=day(201)))
    assert ledger.open_test(make_opening(opened_by="run-2"))
    assert ledger.open_test(make_opening(policy="another"))
    assert [opening.opened_at for opening in ledger.openings()] == [day(200)] * 3


def test_openings_are_found_by_the_bars_they_looked_at(ledger: TrialLedger) -> None:
    ledger.open_test(make_opening(span=span(0, 10), opened_by="early"))
    ledger.open_test(make_opening(span=span(10, 20), opened_by="later"))
    assert [opening.opened_by for opening in ledger.openings(span(5, 10))] == ["early"]
    assert [opening.opened_by for opening in ledger.openings(span(10, 12))] == ["later"]
    assert {opening.opened_by for opening in ledger.openings(span(9, 11))} == {"early", "later"}


@given(st.tuples(*[st.integers(0, 12)] * 4))
def test_spans_overlap_when_some_bar_lies_in_both(ends: tuple[int, int, int, int]) -> None:
    a, b, c, d = ends
    common = {bar for bar in range(14) if a < bar <= b and c < bar <= d}
    assert make_opening(span=span(a, b)).overlaps(span(c, d)) == bool(common) or b <= a or d <= c


def test_an_entry_of_another_universe_is_refused(ledger: TrialLedger) -> None:
    with pytest.raises(StorageError, match="stocks"):
        ledger.record(make_trial(universe="stocks"))
    with pytest.raises(StorageError, match="stocks"):
        ledger.open_test(make_opening(universe="stocks"))
    assert not list(ledger.trials())


def test_namespaces_have_ledgers_of_their_own(tmp_path: Path) -> None:
    TrialLedger(ArtefactStore(tmp_path, "replay"), "crypto").record(make_trial())
    assert not list(TrialLedger(ArtefactStore(tmp_path), "crypto").trials())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"returns": (0.1,)}, "1 returns but 2 timestamps"),
        ({"returns": (0.1, float("nan"))}, "not a finite number"),
        ({"metrics": {"sharpe": float("inf")}}, "sharpe"),
        ({"schema_version": 99}, "schema_version 99"),
        ({"timestamps": (datetime(2024, 1, 1), datetime(2024, 1, 2))}, "timezone"),  # noqa: DTZ001
    ],
)
def test_a_trial_that_could_not_be_judged_later_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_trial(**changes)


@pytest.mark.parametrize("log", ["trials", "openings"])
def test_an_unreadable_entry_is_an_error_and_not_a_shorter_ledger(tmp_path: Path, log: str) -> None:
    store = ArtefactStore(tmp_path)
    store.write_document(f"crypto/{log}/damaged.json", {"schema_version": 1})
    with pytest.raises(StorageError, match="damaged"):
        list(getattr(TrialLedger(store, "crypto"), log)())
