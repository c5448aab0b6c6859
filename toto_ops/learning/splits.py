"""Train, validation and test spans: timestamps, one set per universe, for every symbol, line and scaler."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, Field, model_validator

from toto_ops.configuration import StrictModel
from toto_ops.errors import InsufficientDataError
from toto_ops.features.moments import to_aware, to_utc64
from toto_ops.market.calendars import in_rows


class SplitConfig(StrictModel):
    """Shares of the span, and how far apart the spans keep."""

    train: float = Field(default=0.70, gt=0, lt=1)
    validation: float = Field(default=0.15, gt=0, lt=1)
    horizon_bars: int = Field(
        default=2,
        ge=0,
        description="bars a decision's outcome reaches forward, to its fill and on; of the slowest market where some are joined",
    )
    embargo_bars: int = Field(
        default=20, ge=0, description="bars left out after a boundary, likewise: the returns in the state reach back so far"
    )
    train_until: AwareDatetime | None = Field(default=None, description="explicit end of train; overrides the share")
    validation_until: AwareDatetime | None = None

    @model_validator(mode="after")
    def _leaves_a_test_span(self) -> SplitConfig:
        if self.train + self.validation >= 1:
            raise ValueError("train and validation leave nothing to test on")
        if (self.train_until is None) != (self.validation_until is None):
            raise ValueError("give both train_until and validation_until, or neither")
        if self.train_until is not None and self.validation_until is not None and self.train_until >= self.validation_until:
            raise ValueError("train_until must come before validation_until")
        return self

    def on_grid(self, rows_per_bar: float) -> SplitConfig:
        """These settings for a grid with several rows to a bar of its slowest market (`toto_ops.market.calendars`).

        What reaches forward or back so many bars of every symbol reaches further in rows.
        """
        counts = {name: in_rows(getattr(self, name), rows_per_bar) for name in ("horizon_bars", "embargo_bars")}
        return self.model_copy(update=counts)

    def with_test_after(self, boundary: datetime | None, close_time: NDArray[np.datetime64]) -> SplitConfig:
        """These settings with the test span after `boundary`, where a source keeps test bars apart.

        Train and validation share what closes by then in their configured proportion. Explicit windows stay as they
        are; so does everything without a boundary, or before there is a bar after it.
        """
        if boundary is None or self.train_until is not None:
            return self
        start, end = to_aware(close_time[[0, -1]])
        if boundary >= end:
            return self
        train_until = start + (boundary - start) * (self.train / (self.train + self.validation))
        return self.model_copy(update={"train_until": train_until, "validation_until": boundary})


class Span(StrictModel):
    """Bars whose close lies in `(after, until]`."""

    after: AwareDatetime
    until: AwareDatetime


class Splits(StrictModel):
    """The three spans of a universe, purged and embargoed, in order and disjoint."""

    train: Span
    validation: Span
    test: Span


def make_splits(close_time: NDArray[np.datetime64], config: SplitConfig) -> Splits:
    """Cut the span of `close_time` (`[T]` UTC, increasing) into train, validation and test.

    The boundary is a moment in time, by share of the calendar span or explicit. At each boundary the last
    `horizon_bars` of the earlier span are purged, since their outcome reaches into the later one, and the first
    `embargo_bars` of the later span are left out, since their features reach back into the earlier one.
    """
    moments = to_aware(close_time)
    if len(moments) < 3:
        raise InsufficientDataError(f"{len(moments)} bars cannot be split", remedy="add history")
    start, end = moments[0], moments[-1]
    train_until = config.train_until or start + (end - start) * config.train
    validation_until = config.validation_until or start + (end - start) * (config.train + config.validation)
    first_validation = int(np.searchsorted(close_time, to_utc64(train_until), side="right"))
    first_test = int(np.searchsorted(close_time, to_utc64(validation_until), side="right"))
    last_train = first_validation - 1 - config.horizon_bars
    last_validation = first_test - 1 - config.horizon_bars
    validation_after = first_validation - 1 + config.embargo_bars
    test_after = first_test - 1 + config.embargo_bars
    if not 0 <= last_train <= validation_after < last_validation <= test_after < len(moments) - 1:
        raise InsufficientDataError(
            f"{len(moments)} bars from {start:%Y-%m-%d} to {end:%Y-%m-%d} leave an empty span after purge and embargo",
            remedy="add history, or shorten horizon_bars and embargo_bars",
        )
    return Splits(
        train=Span(after=start - timedelta(microseconds=1), until=moments[last_train]),
        validation=Span(after=moments[validation_after], until=moments[last_validation]),
        test=Span(after=moments[test_after], until=end),
    )
