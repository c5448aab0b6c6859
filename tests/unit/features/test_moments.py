"""Moments keep their instant between the panel's `datetime64` and aware datetimes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np

from toto_ops.features.moments import to_aware, to_utc64

NEW_YORK_CLOSE = datetime(2021, 7, 1, 16, 0, 0, 5, tzinfo=timezone(timedelta(hours=-4)))


def test_an_aware_moment_becomes_utc_to_the_microsecond() -> None:
    assert to_utc64(NEW_YORK_CLOSE) == np.datetime64("2021-07-01T20:00:00.000005", "us")


def test_there_and_back_is_the_same_instant() -> None:
    assert to_aware(np.array([to_utc64(NEW_YORK_CLOSE)])) == (NEW_YORK_CLOSE,)


def test_moments_of_any_resolution_come_back_in_utc() -> None:
    days = np.array(["2021-07-01", "2021-07-02"], dtype="datetime64[D]")
    assert to_aware(days) == (datetime(2021, 7, 1, tzinfo=UTC), datetime(2021, 7, 2, tzinfo=UTC))
