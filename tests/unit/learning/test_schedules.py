"""The learning rate falls along half a cosine."""

from __future__ import annotations

from itertools import pairwise

import pytest

from toto_ops.learning.schedules import half_cosine


def test_it_starts_whole_is_half_in_the_middle_and_never_rises_or_ends() -> None:
    shares = [half_cosine(step, 10) for step in range(10)]
    assert shares[0] == 1.0
    assert shares[5] == pytest.approx(0.5)
    assert all(later < earlier for earlier, later in pairwise(shares))
    assert shares[-1] > 0.0


def test_it_falls_as_slowly_at_the_end_as_at_the_start() -> None:
    shares = [half_cosine(step, 8) for step in range(8)]
    assert [share + other for share, other in zip(shares[1:], shares[:0:-1], strict=True)] == pytest.approx([1.0] * 7)


def test_one_step_is_taken_at_the_full_rate() -> None:
    assert half_cosine(0, 1) == 1.0
