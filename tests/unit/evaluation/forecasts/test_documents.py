from __future__ import annotations

import pytest

from toto_ops.evaluation.forecasts.documents import Comparison, HorizonEvaluation
from toto_ops.evaluation.statistics.bootstrap import Estimate


def against(name: str, low: float | None, high: float | None) -> Comparison:
    return Comparison(against=name, skill=Estimate(value=0.01, low=low, high=high))


@pytest.mark.parametrize(
    ("low", "high", "standing"),
    [
        (0.001, 0.02, "better"),
        (-0.02, -0.001, "worse"),
        (-0.001, 0.02, "no different"),
        (0.0, 0.02, "no different"),
        (-0.02, 0.0, "no different"),
        (None, None, "no different"),
    ],
)
def test_only_an_interval_without_zero_shows_a_difference(low, high, standing):
    assert against("drift", low, high).standing == standing


def test_one_baseline_that_is_not_beaten_is_enough():
    comparisons = against("drift", 0.001, 0.02), against("ewma", -0.001, 0.02)
    found = HorizonEvaluation(horizon=1, outcomes=9, scores=(), comparisons=comparisons)
    assert (found.beaten, found.unbeaten, found.beats_all) == (("drift",), ("ewma",), False)
    assert found.model_copy(update={"comparisons": comparisons[:1]}).beats_all
    assert not found.model_copy(update={"comparisons": ()}).beats_all
