"""What a retraining came to: its table of criteria as documents, run metadata and terminals show it."""

from __future__ import annotations

import pytest

from toto_ops.evaluation.evidence import Criterion
from toto_ops.pipeline.outcome import CriterionOutcome


def criterion(**changes: object) -> Criterion:
    content = {"name": "Sharpe ratio", "required": 1.0, "relation": ">=", "measured": 2.34, "verdict": "pass", **changes}
    return Criterion.model_validate(content)


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({}, ("Sharpe ratio", ">= 1", "2.34", "pass")),
        ({"low": 0.8, "high": 3.7}, ("Sharpe ratio", ">= 1", "2.34 [0.8 … 3.7]", "pass")),
        ({"measured": None, "verdict": "fail"}, ("Sharpe ratio", ">= 1", "n/a", "fail")),
        ({"required": None, "verdict": "shown"}, ("Sharpe ratio", "-", "2.34", "shown")),
    ],
)
def test_a_row_in_brief_holds_what_decides(changes: dict[str, object], row: tuple[str, ...]) -> None:
    assert tuple(CriterionOutcome.of(criterion(**changes)).in_brief().values()) == row


@pytest.mark.parametrize(("passed", "verdict"), [(True, "pass"), (False, "fail")])
def test_a_row_of_an_earlier_release_has_the_verdict_it_had(passed: bool, verdict: str) -> None:
    earlier = CriterionOutcome(criterion="Sharpe ratio", required=">= 1", measured=0.5, passed=passed, note="")
    assert earlier.in_brief()["verdict"] == verdict


def test_what_is_insufficient_says_so_even_without_a_note() -> None:
    assert CriterionOutcome.of(criterion(measured=None, verdict="insufficient")).note == "insufficient data"
