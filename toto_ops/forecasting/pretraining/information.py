"""How well the medians of a forecaster rank the returns that follow, on bars it learnt from and on bars it did not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from toto_ops.forecasting.pretraining.course import Lessons
from toto_ops.forecasting.pretraining.learners import Learner
from toto_ops.forecasting.pretraining.windows import Window
from toto_ops.forecasting.quantiles import MEDIAN
from toto_ops.forecasting.series import CLOSE
from toto_ops.forecasting.skill import information_coefficient

MEASURED_WINDOWS = 256
"""Windows of each symbol that are measured: all of them, or so many at equal distances."""


def information_coefficients(
    learner: Learner, lessons: Lessons, windows: Sequence[Window], horizons: tuple[int, ...]
) -> dict[int, float]:
    """`information_coefficient` of each horizon over the symbols of some windows, in the scale of each bar.

    A horizon whose outcomes are too few to be measured is left out.
    """
    learner.module.eval()
    steps = [horizon - 1 for horizon in horizons]
    pairs_of_symbol = []
    for own in _measured(windows):
        pairs = []
        for batch in lessons.measured(own):
            quantiles, targets = learner.measure(batch)
            pairs.append(np.stack((quantiles[:, CLOSE, steps, MEDIAN].numpy(), targets[:, CLOSE, steps].numpy())))
        pairs_of_symbol.append(np.concatenate(pairs, axis=1))
    longest = max(pairs.shape[1] for pairs in pairs_of_symbol)
    padding = [((0, 0), (0, longest - pairs.shape[1]), (0, 0)) for pairs in pairs_of_symbol]
    padded = [np.pad(pairs, width, constant_values=np.nan) for pairs, width in zip(pairs_of_symbol, padding, strict=True)]
    forecast, realised = np.stack(padded, axis=1)
    found = {
        horizon: information_coefficient(forecast[..., column], realised[..., column]) for column, horizon in enumerate(horizons)
    }
    return {horizon: value for horizon, value in found.items() if np.isfinite(value)}


def _measured(windows: Sequence[Window]) -> list[list[Window]]:
    """Those of each symbol."""
    of_symbol: dict[str, list[Window]] = defaultdict(list)
    for window in windows:
        of_symbol[window.symbol].append(window)
    places = {
        symbol: np.linspace(0, len(own) - 1, min(len(own), MEASURED_WINDOWS)).round().astype(int)
        for symbol, own in of_symbol.items()
    }
    return [[of_symbol[symbol][place] for place in chosen] for symbol, chosen in places.items()]
