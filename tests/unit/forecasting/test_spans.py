"""How train is shared: the forecaster learns from its first half, policies from the second, and none from the other's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toto_ops.errors import InsufficientDataError
from toto_ops.features.moments import to_aware
from toto_ops.forecasting.spans import forecasting_spans
from toto_ops.learning.splits import Span

START = datetime(2020, 1, 1, tzinfo=UTC)


def closes(rows: int) -> np.ndarray:
    return np.datetime64("2020-01-02", "us") + np.arange(rows) * np.timedelta64(1, "D")


def train_of(rows: int) -> Span:
    return Span(after=START, until=START + timedelta(days=rows))


def test_a_hundred_bars_are_shared_as_configured() -> None:
    spans = forecasting_spans(closes(150), train_of(100), 0.2)
    assert (spans.fit.after, spans.fit.until) == (START, START + timedelta(days=40))
    assert (spans.validation.after, spans.validation.until) == (START + timedelta(days=40), START + timedelta(days=50))
    assert (spans.policies.after, spans.policies.until) == (START + timedelta(days=50), START + timedelta(days=100))
    assert spans.knows_until == START + timedelta(days=50)


@given(rows=st.integers(6, 400), share=st.floats(0.01, 0.99), beyond=st.integers(0, 50))
def test_every_bar_of_train_belongs_to_one_part(rows: int, share: float, beyond: int) -> None:
    times = closes(rows + beyond)
    half = rows // 2
    if not 0 < round(half * (1.0 - share)) < half:
        with pytest.raises(InsufficientDataError):
            forecasting_spans(times, train_of(rows), share)
        return
    spans = forecasting_spans(times, train_of(rows), share)
    parts = (spans.fit, spans.validation, spans.policies)
    counts = [sum(part.after < moment <= part.until for moment in to_aware(times)) for part in parts]
    assert sum(counts) == rows
    assert min(counts) >= 1
    assert counts[0] + counts[1] == half
    assert abs(counts[1] - half * share) <= 0.5


def test_policies_see_no_bar_the_forecaster_knows() -> None:
    spans = forecasting_spans(closes(300), train_of(210), 0.25)
    assert spans.fit.until == spans.validation.after
    assert spans.policies.after == spans.knows_until


def test_bars_outside_train_count_for_nothing() -> None:
    times = closes(200)
    inside = Span(after=START + timedelta(days=50), until=START + timedelta(days=150))
    spans = forecasting_spans(times, inside, 0.2)
    assert spans.fit.after == inside.after
    assert spans.knows_until == START + timedelta(days=100)
    assert spans == forecasting_spans(times[50:150], inside, 0.2)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_too_few_bars_are_refused_with_a_remedy(rows: int) -> None:
    with pytest.raises(InsufficientDataError, match=f"{rows} bars of train cannot be shared.*Remedy: add history"):
        forecasting_spans(closes(rows), train_of(100), 0.25)
