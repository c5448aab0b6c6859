"""Lessons: which bars a specialist is fitted on and judged by, and what their outcomes were."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.forecasting.specialists.specialist_samples import (
    CONFIG,
    MINIMUM_BARS,
    SPANS,
    forecaster_of,
    states_of,
    trending,
)
from toto_ops.forecasting.scaling import CausalScale
from toto_ops.forecasting.series import CLOSE, BarSeries, stacked
from toto_ops.forecasting.specialists.lessons import Lesson, lesson_of

FORECASTER = forecaster_of()
HORIZONS = CONFIG.horizons


def lesson(series: BarSeries) -> Lesson:
    return lesson_of(series, FORECASTER.backbone, SPANS, HORIZONS)


def test_bars_count_where_state_and_outcomes_are_known_within_their_span() -> None:
    made = lesson(trending("A", 300))
    assert FORECASTER.backbone.minimum_bars == MINIMUM_BARS
    assert len(made.fit) == 200 - (MINIMUM_BARS - 1) - HORIZONS[-1]
    assert len(made.validation) == 80 - HORIZONS[-1]
    assert torch.isfinite(torch.cat((made.fit.states, made.validation.states))).all()
    assert torch.isfinite(torch.cat((made.fit.outcomes, made.validation.outcomes))).all()


def test_states_and_outcomes_are_those_of_the_whole_series() -> None:
    series = trending("A", 300)
    made = lesson(series)
    x = stacked([series])
    states, targets = states_of(FORECASTER, [series])[0], CausalScale.of(x).targets(x, 5)[0, :, CLOSE]
    columns = [horizon - 1 for horizon in HORIZONS]
    for bars, first in ((made.fit, MINIMUM_BARS - 1), (made.validation, 200)):
        rows = slice(first, first + len(bars))
        torch.testing.assert_close(bars.states, states[rows], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(bars.outcomes, targets[rows][:, columns].float())


@pytest.mark.parametrize(("changed", "part"), [(200, "fit"), (280, "validation")])
def test_nothing_after_a_span_is_looked_at(changed: int, part: str) -> None:
    series = trending("A", 300)
    values = series.values.copy()
    values[changed:] += np.random.default_rng(9).standard_normal(values[changed:].shape)
    before, later = getattr(lesson(series), part), getattr(lesson(BarSeries("A", series.close_time, values)), part)
    torch.testing.assert_close(later.states, before.states)
    assert torch.equal(later.outcomes, before.outcomes)


def test_a_symbol_shorter_than_its_context_has_no_bars() -> None:
    made = lesson(trending("A", MINIMUM_BARS - 1))
    assert (len(made.fit), len(made.validation), made.numbers) == (0, 0, 0)


def test_a_symbol_that_began_within_validation_has_bars_to_be_judged_by_alone() -> None:
    made = lesson(trending("A", 90, first=210))
    assert len(made.fit) == 0
    assert len(made.validation) == 280 - 210 - (MINIMUM_BARS - 1) - HORIZONS[-1]
