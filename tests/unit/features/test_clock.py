"""Where a close lies in its day, its week and its year."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toto_ops.features.clock import CLOCK_FEATURES, clock


def at(moment: str) -> dict[str, float]:
    """The clock of one moment, by name."""
    features = clock(np.array([moment], dtype="datetime64[us]"))
    return dict(zip(CLOCK_FEATURES, features[0].tolist(), strict=True))


def test_every_turn_begins_together_on_a_monday_that_is_new_year() -> None:
    new_year = at("2024-01-01T00:00")
    for turn in ("day", "week", "year"):
        assert new_year[f"{turn}_sine"] == pytest.approx(0.0)
        assert new_year[f"{turn}_cosine"] == pytest.approx(1.0)


def test_a_quarter_of_each_turn_has_a_sine_of_one() -> None:
    assert at("2024-01-01T06:00")["day_sine"] == pytest.approx(1.0)
    assert at("2024-01-02T18:00")["week_sine"] == pytest.approx(1.0)  # 1.75 of 7 days
    assert at("2023-04-02T06:00")["year_sine"] == pytest.approx(1.0)  # 91.25 of 365 days


def test_a_leap_year_is_one_turn_too() -> None:
    assert at("2024-07-02T00:00")["year_cosine"] == pytest.approx(-1.0)  # 183 of 366 days
    assert at("2023-07-02T12:00")["year_cosine"] == pytest.approx(-1.0)  # 182.5 of 365 days


def test_moments_before_1970_are_told_likewise() -> None:
    assert at("1969-12-29T00:00")["week_cosine"] == pytest.approx(1.0)  # a Monday
    assert at("1969-12-29T18:00")["day_sine"] == pytest.approx(-1.0)


@given(st.lists(st.integers(min_value=-(10**15), max_value=4 * 10**15), min_size=1, max_size=20))
def test_sine_and_cosine_lie_on_the_circle(microseconds: list[int]) -> None:
    features = clock(np.array(microseconds, dtype="datetime64[us]"))
    assert features.dtype == np.float32
    assert np.square(features).reshape(-1, 3, 2).sum(axis=-1) == pytest.approx(1.0, abs=1e-5)
