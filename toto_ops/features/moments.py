"""Moments as the panel has them (`datetime64`, UTC without saying so) and as documents have them (aware datetimes)."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray


def to_utc64(moment: datetime) -> np.datetime64:
    """An aware datetime as the panel's microseconds."""
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def to_aware(moments: NDArray[np.datetime64]) -> tuple[datetime, ...]:
    """The panel's moments `[T]` as aware datetimes."""
    return tuple(moment.replace(tzinfo=UTC) for moment in moments.astype("datetime64[us]").tolist())
