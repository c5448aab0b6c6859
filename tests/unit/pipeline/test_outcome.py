"""What a retraining came to: its table of criteria as documents, run metadata and terminals show it."""

from __future__ import annotations

import pytest

from toto_ops.evaluation.judgement.evidence import Criterion
from toto_ops.pipeline.outcome import CriterionOutcome, TrainedOutcome


def criterion(**changes: object) -> Criterion:
    content = {"name": "Sharpe ratio", "required": 1.0, "relation": ">=", "measured": 2.34, "verdict": "pass", **changes}
    return Criterion.model_validate(content)


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({}, ("Sharpe ratio", "≥ 1.00", "2.34", "pass")),
        ({"low": 0.8, "high": 3.7}, ("Sharpe ratio", "≥ 1.00", "2.34 [0.80 … 3.70]", "pass")),
        ({"measured": None, "verdict": "fail"}, ("Sharpe ratio", "≥ 1.00", "n/a", "fail")),
        ({"required": None, "verdict": "shown"}, ("Sharpe ratio", "-", "2.34", "shown")),
        (
            {"unit": "percent", "required": 0.05, "measured": 0.1234, "low": -0.02, "high": 0.3},
            ("Sharpe ratio", "≥ 5.0%", "12.3% [-2.0% … 30.0%]", "pass"),
        ),
        ({"unit": "count", "required": 60, "measured": 344}, ("Sharpe ratio", "≥ 60", "344", "pass")),
    ],
    ids=["ratio", "interval", "undefined", "shown", "per cent", "count"],
)
def test_a_row_in_brief_holds_what_decides(changes: dict[str, object], row: tuple[str, ...]) -> None:
    assert tuple(CriterionOutcome.of(criterion(**changes)).in_brief().values()) == row


@pytest.mark.parametrize(("passed", "verdict"), [(True, "pass"), (False, "fail")])
def test_a_row_of_an_earlier_release_has_the_verdict_it_had(passed: bool, verdict: str) -> None:
    earlier = CriterionOutcome(criterion="Sharpe ratio", required=">= 1", measured=0.5, passed=passed, note="")
    assert (earlier.in_brief()["verdict"], earlier.in_brief()["measured"]) == (verdict, "0.5")


def test_accuracies_of_what_was_trained_are_told_in_per_cent() -> None:
    trained = TrainedOutcome(line="bc", seed=2, train_accuracy=0.81234, validation_accuracy=None, knows_until="2024-01-31")
    brief = trained.in_brief()
    assert (brief["line"], brief["seed"]) == ("bc", 2)
    assert (brief["train_accuracy"], brief["validation_accuracy"]) == ("81.2%", "n/a")


def test_what_is_insufficient_says_so_even_without_a_note() -> None:
    assert CriterionOutcome.of(criterion(measured=None, verdict="insufficient")).note == "insufficient data"
