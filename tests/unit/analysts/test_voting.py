"""Weighted voting."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_ops.analysts.opinion import Opinion
from toto_ops.analysts.voting import weighted_vote

OPINIONS = st.lists(
    st.tuples(st.floats(-1, 1, width=32), st.floats(0, 1, width=32), st.floats(0, 10, width=32)), min_size=1, max_size=5
)


def vote(*said: tuple[float, float, float]) -> float:
    """Vote of (signal, confidence, weight) triples."""
    opinions = [Opinion(torch.tensor(signal), torch.tensor(confidence)) for signal, confidence, _ in said]
    return float(weighted_vote(opinions, [weight for *_, weight in said]))


def test_is_the_mean_weighted_by_vote_and_confidence() -> None:
    assert vote((1.0, 0.5, 2.0), (-0.5, 1.0, 3.0)) == pytest.approx((1.0 * 1.0 - 0.5 * 3.0) / 4.0)


def test_an_analyst_without_confidence_or_weight_does_not_count() -> None:
    assert vote((0.4, 1.0, 1.0), (-1.0, 0.0, 5.0), (-1.0, 1.0, 0.0)) == pytest.approx(0.4)


def test_is_neutral_where_everyone_abstains() -> None:
    assert vote((1.0, 0.0, 1.0), (-1.0, 0.0, 1.0)) == 0.0


def test_is_taken_per_account_and_symbol() -> None:
    signal = torch.tensor([[1.0, -1.0], [0.5, 0.0]])
    torch.testing.assert_close(weighted_vote([Opinion(signal, torch.ones(2, 2))], [0.7]), signal)


def test_refuses_weights_that_do_not_belong_to_the_opinions() -> None:
    with pytest.raises(ValueError, match="1 opinions cannot be weighed with 2 weights"):
        weighted_vote([Opinion(torch.tensor(0.0), torch.tensor(1.0))], [1.0, 1.0])


@given(said=OPINIONS)
@settings(deadline=None, max_examples=60)
def test_never_leaves_the_range_of_the_signals_heard(said: list[tuple[float, float, float]]) -> None:
    heard = [signal for signal, confidence, weight in said if confidence * weight > 1e-30]
    if heard:
        assert min(heard) - 1e-6 <= vote(*said) <= max(heard) + 1e-6
