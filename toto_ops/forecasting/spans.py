"""Which bars a forecaster learns from: the first half of train. Policies that see its forecasts learn from the second.

On bars a model was fitted on its forecasts are better than they will ever be again. A policy that learnt from those would
trust them too much; so whatever consumes forecasts is trained where they are as good as they will be later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from toto_ops.errors import InsufficientDataError
from toto_ops.features.moments import to_aware, to_utc64
from toto_ops.learning.splits import Span


@dataclass(frozen=True)
class ForecastingSpans:
    """How the train span of a universe is shared.

    Attributes
    ----------
    fit
        Bars the weights are fitted on. An outcome counts only if it is known by the end: none reaches into `validation`.
    validation
        Bars that stop the fitting and choose between generic and specialist; outcomes likewise.
    policies
        Bars that policies which observe forecasts or embeddings are trained on.
    """

    fit: Span
    validation: Span
    policies: Span

    @property
    def knows_until(self) -> datetime:
        """The latest close that influences the forecaster."""
        return self.validation.until


def forecasting_spans(close_time: NDArray[np.datetime64], train: Span, validation: float) -> ForecastingSpans:
    """Share a train span by its bars: the first half, less a share at its end, fits; that share validates; the rest is left.

    Parameters
    ----------
    close_time
        `[T]` closes of the rows of the panel, increasing.
    validation
        Share of the first half.

    Raises
    ------
    InsufficientDataError
        If a part would be empty.
    """
    rows = np.flatnonzero((close_time > to_utc64(train.after)) & (close_time <= to_utc64(train.until)))
    half = len(rows) // 2
    fitted = round(half * (1.0 - validation))
    if not 0 < fitted < half:
        raise InsufficientDataError(
            f"{len(rows)} bars of train cannot be shared between forecaster and policies",
            where=f"train {train.after:%Y-%m-%d} to {train.until:%Y-%m-%d}",
            remedy="add history, or move the splits in training.yaml",
        )
    fit_until, half_until = to_aware(close_time[rows[[fitted - 1, half - 1]]])
    return ForecastingSpans(
        fit=Span(after=train.after, until=fit_until),
        validation=Span(after=fit_until, until=half_until),
        policies=Span(after=half_until, until=train.until),
    )
