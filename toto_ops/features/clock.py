"""Time as policies and embeddings read it: where a close lies in its day, its week and its year."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CLOCK_FEATURES = ("day_sine", "day_cosine", "week_sine", "week_cosine", "year_sine", "year_cosine")
"""Where the close lies in its day, its week (from Monday) and its year, UTC: sine and cosine of the elapsed share of a turn."""

_DAY = np.timedelta64(1, "D")


def clock(close_time: NDArray[np.datetime64]) -> NDArray[np.float32]:
    """`[T, 6]` float32 in the order of `CLOCK_FEATURES`, each in [-1, 1], of moments `[T]` in UTC."""
    day, year = close_time.astype("datetime64[D]"), close_time.astype("datetime64[Y]")
    of_day = (close_time - day) / _DAY
    # 1970-01-01, day 0, was a Thursday.
    of_week = ((day.astype(np.int64) + 3) % 7 + of_day) / 7
    of_year = (close_time - year) / ((year + 1).astype(day.dtype) - year.astype(day.dtype))
    turns = 2.0 * np.pi * np.stack((of_day, of_week, of_year), axis=-1)
    return np.stack((np.sin(turns), np.cos(turns)), axis=-1).reshape(-1, len(CLOCK_FEATURES)).astype(np.float32)
