"""What policies observe of a forecast: quantiles, spread and the probability of a rise, for each horizon."""

from __future__ import annotations

import torch
from torch import Tensor

from toto_ops.forecasting.quantiles import LEVELS, probability_above

OBSERVED_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)

_COLUMNS = [LEVELS.index(level) for level in OBSERVED_LEVELS]


def forecast_names(horizons: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the forecast features of a bar, horizon by horizon.

    `forecast_<h>_q10` and its like: quantiles of the log return over the next `h` bars; `forecast_<h>_spread`: the highest
    less the lowest of them; `forecast_<h>_up`: probability that the return is above 0.
    """
    of_one = (*(f"q{round(100 * level)}" for level in OBSERVED_LEVELS), "spread", "up")
    return tuple(f"forecast_{horizon}_{name}" for horizon in horizons for name in of_one)


def forecast_features(quantiles: Tensor) -> Tensor:
    """Quantiles of returns `[..., K, Q]` as the features `[..., 7 K]` that `forecast_names` names; NaN stays NaN."""
    observed = quantiles[..., _COLUMNS]
    spread = observed[..., -1:] - observed[..., :1]
    up = torch.where(torch.isnan(spread[..., 0]), torch.nan, probability_above(quantiles))
    return torch.cat((observed, spread, up.unsqueeze(-1)), dim=-1).flatten(-2)
