"""Forecasts that need no training: what every forecaster must beat to be worth its trouble.

All speak of the log return over the next `h` bars, at every bar, and look back on a fixed number of bars; so what they say at
a bar does not change with how much history lies before that. Their median is their point forecast.

`seasonal_naive`
    The change of the `h` bars at the same place of the latest whole seasons comes again: that of the bars which began
    `season * ceil(h / season)` bars ago. Its quantiles are those of its own latest `look_back` errors whose outcome is known at
    the bar, about their median (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 5.2 and 5.5).
`drift`
    The mean return of the latest `look_back` bars goes on; normal errors with their standard deviation times the root of `h`.
`ewma`
    No change; normal errors with the exponentially weighted volatility of the latest `look_back` bars times the root of `h`
    (RiskMetrics Technical Document, 1996, with the decay of `span`).
"""

from __future__ import annotations

from typing import Literal, assert_never

import torch
from torch import Tensor

from toto_ops.forecasting.config import StatisticalConfig
from toto_ops.forecasting.quantiles import LEVELS, MEDIAN, NORMAL_QUANTILES
from toto_ops.forecasting.series import CLOSE, lengths_of
from toto_ops.forecasting.trailing import exponential_volatility, log_returns, shifted, trailing

Baseline = Literal["seasonal_naive", "drift", "ewma"]

BASELINES: tuple[Baseline, ...] = ("seasonal_naive", "drift", "ewma")

_SORTED_AT_ONCE = 2**22
"""Errors in memory while their quantiles are taken: 32 MiB."""


def baseline_quantiles(name: Baseline, x: Tensor, horizons: tuple[int, ...], config: StatisticalConfig) -> Tensor:
    """Quantiles `[B, T, K, Q]`, in the dtype of `x`, of the log returns over `horizons` as a baseline foretells them at each bar.

    NaN before there is history enough, and after the end of a series.

    Parameters
    ----------
    x
        `[B, V, T]` series, as `toto_ops.forecasting.series.stacked` makes them.
    horizons
        `K` numbers of bars ahead, each at least 1.

    Raises
    ------
    BarDataError
        If a value within a series is not finite.
    """
    lengths_of(x)
    close = x[:, CLOSE]
    match name:
        case "seasonal_naive":
            return torch.stack([_seasonal_naive(close, horizon, config) for horizon in horizons], dim=2)
        case "drift":
            returns = trailing(log_returns(close), config.look_back)
            mean = returns.mean(dim=-1)
            squares = (returns - mean.unsqueeze(-1)).square().sum(dim=-1)
            return _random_walk(mean, (squares / (config.look_back - 1)).sqrt(), horizons)
        case "ewma":
            volatility = exponential_volatility(log_returns(close), config.span, config.look_back)
            return _random_walk(torch.zeros_like(volatility), volatility, horizons)
        case _:
            assert_never(name)


def _random_walk(mean: Tensor, deviation: Tensor, horizons: tuple[int, ...]) -> Tensor:
    """Normal quantiles of the sum of so many independent returns, `[B, T, K, Q]`."""
    bars = torch.tensor(horizons, dtype=mean.dtype, device=mean.device).unsqueeze(-1)
    normal = torch.tensor(NORMAL_QUANTILES, dtype=mean.dtype, device=mean.device)
    # The normal quantile of one half is not 0 to the last bit in every library.
    normal[MEDIAN] = 0.0
    return mean[..., None, None] * bars + deviation[..., None, None] * bars.sqrt() * normal


def _seasonal_naive(close: Tensor, horizon: int, config: StatisticalConfig) -> Tensor:
    """`[B, T, Q]` for one horizon."""
    back = config.season * -(-horizon // config.season)
    change = shifted(close, -horizon) - close
    forecast = shifted(change, back)
    # At bar t the newest known error is that of the forecast made `horizon` bars before.
    errors = shifted(change - forecast, horizon)
    return forecast.unsqueeze(-1) + _centred_quantiles(errors, config.look_back)


def _centred_quantiles(values: Tensor, window: int) -> Tensor:
    """`[B, T, Q]` quantiles of the latest `window` values, linear between them, less their median; NaN where there are fewer."""
    quantiles = torch.full((*values.shape, len(LEVELS)), torch.nan, dtype=values.dtype, device=values.device)
    levels = torch.tensor(LEVELS, dtype=values.dtype, device=values.device)
    at_once = max(1, _SORTED_AT_ONCE // window)
    for row, windows in enumerate(trailing(values, window)):
        for first in range(0, len(windows), at_once):
            found = torch.quantile(windows[first : first + at_once], levels, dim=-1).T
            quantiles[row, first : first + at_once] = found - found[:, MEDIAN : MEDIAN + 1]
    return quantiles
