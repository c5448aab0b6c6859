"""Statistics of the latest bars of a series, at every bar, each of a size around 1."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from toto_ops.forecasting.config import StatisticalConfig
from toto_ops.forecasting.scaling import LEVEL_FLOOR, RETURN_FLOOR
from toto_ops.forecasting.series import CLOSE, VARIATES
from toto_ops.forecasting.trailing import exponential_mean, exponential_volatility, log_returns, shifted, trailing

FORMULAS_VERSION = "1"
"""Raise it when the same bars would give other statistics."""

STATISTICS = (
    "return",
    "momentum_2",
    "momentum_season",
    "momentum_span",
    "momentum_look_back",
    "drift_t",
    "distance_to_mean",
    "place_in_range",
    "drawdown",
    "volatility_level",
    "volatility_fast_to_slow",
    "volatility_slow_to_long",
    "skewness",
    "tail_weight",
    "downside_share",
    "autocorrelation",
    "season_autocorrelation",
    "season_next_return",
    "range_score",
    "range_trend",
    "range_to_volatility",
    "volume_score",
    "volume_trend",
    "volume_with_moves",
)
"""Names of the statistics, in order.

With `r` the log return, `s` its exponentially weighted volatility over `span`, and all taken over the latest `look_back` bars
unless they say otherwise:

- `return`, `momentum_<n>`: change of the log close over 1, 2, `season`, `span` and `look_back` bars, over `s` times the root of
  their number.
- `drift_t`: t-statistic of the mean return.
- `distance_to_mean`: log close less its exponentially weighted mean over `span`, over `s` times the root of `span`.
- `place_in_range`: where the close lies between its lowest (-1) and highest (1); 0 where they are one.
- `drawdown`: log close less its highest, over `s` times the root of `look_back`.
- `volatility_level`: logarithm of `s` over 2 % a bar.
- `volatility_fast_to_slow`, `volatility_slow_to_long`: logarithms of the volatility over a quarter of `span` over `s`, and of
  `s` over the equally weighted one.
- `skewness`; `tail_weight`: excess kurtosis by 3; `downside_share`: share of falls in the sum of squared returns, less one half.
- `autocorrelation`, `season_autocorrelation`: of returns, over 1 and `season` bars.
- `season_next_return`: the return of `season - 1` bars ago, whose place in the season comes next, over `s`.
- `range_score`, `volume_score`: standard scores; `range_trend`, `volume_trend`: those of their exponentially weighted means
  over `span`.
- `range_to_volatility`: logarithm of the mean range over `span` over `s`, less that of 1.6, which a random walk would have.
- `volume_with_moves`: correlation of volume and the size of returns.
"""

TYPICAL_VOLATILITY = 0.02
"""2 % a bar."""

RANGE_OF_A_WALK = 1.6
"""Mean range of Brownian motion, in standard deviations (Parkinson, The Extreme Value Method, Journal of Business 53, 1980)."""

LARGEST = 10.0
"""What a statistic is clipped to."""


def reach(config: StatisticalConfig) -> int:
    """Bars a statistic depends on, the present one included: the returns of `look_back` bars, and of a season before."""
    return config.look_back + config.season + 1


def statistics(x: Tensor, config: StatisticalConfig) -> Tensor:
    """The `STATISTICS` at each bar, `[B, T, D]` float32; NaN where fewer than `reach` bars are known, and after the end.

    Prices that stand still have finite ones.

    Parameters
    ----------
    x
        `[B, V, T]` float64 series.
    """
    found = torch.stack((*_of_price(x[:, CLOSE], config), *_of_range_and_volume(x, config)), dim=-1)
    known = torch.isfinite(shifted(x[:, CLOSE], reach(config) - 1)) & torch.isfinite(x[:, CLOSE])
    return torch.where(known.unsqueeze(-1), found.clamp(-LARGEST, LARGEST), torch.nan).float()


def _of_price(close: Tensor, config: StatisticalConfig) -> list[Tensor]:
    """Those of the close alone, each `[B, T]`."""
    season, span, look_back = config.season, config.span, config.look_back
    returns = log_returns(close)
    scale = _volatility(returns, span, look_back)
    fast = _volatility(returns, span / 4.0 + 1.0, look_back)
    recent = trailing(returns, look_back)
    mean, deviation = recent.mean(dim=-1), recent.std(dim=-1, correction=0).clamp_min(RETURN_FLOOR)
    # Moments about the mean, a return at a time: a difference of sums loses what is left of standing prices.
    scores = (recent - mean.unsqueeze(-1)) / deviation.unsqueeze(-1)
    squares = recent.square()
    falls = (squares * (recent < 0)).sum(dim=-1) / squares.sum(dim=-1).clamp_min(RETURN_FLOOR**2)
    prices = trailing(close, look_back)
    lowest, highest = prices.amin(dim=-1), prices.amax(dim=-1)
    room = (highest - lowest).clamp_min(RETURN_FLOOR)
    momentum = [(close - shifted(close, bars)) / (scale * bars**0.5) for bars in (1, 2, season, span, look_back)]
    return [
        *momentum,
        mean / deviation * look_back**0.5,
        (close - exponential_mean(close, span, look_back)) / (scale * span**0.5),
        (2.0 * close - lowest - highest) / room,
        (close - highest) / (scale * look_back**0.5),
        (scale / TYPICAL_VOLATILITY).log(),
        (fast / scale).log(),
        (scale / squares.mean(dim=-1).sqrt().clamp_min(RETURN_FLOOR)).log(),
        scores.pow(3).mean(dim=-1),
        (scores.pow(4).mean(dim=-1) - 3.0) / 3.0,
        falls - 0.5,
        _correlation(returns, shifted(returns, 1), look_back - 1, (RETURN_FLOOR, RETURN_FLOOR)),
        _correlation(returns, shifted(returns, season), look_back, (RETURN_FLOOR, RETURN_FLOOR)),
        shifted(returns, season - 1) / scale,
    ]


def _of_range_and_volume(x: Tensor, config: StatisticalConfig) -> list[Tensor]:
    """Those that need more than the close, each `[B, T]`."""
    returns = log_returns(x[:, CLOSE])
    scale = _volatility(returns, config.span, config.look_back)
    spread, volume = x[:, VARIATES.index("range")], x[:, VARIATES.index("volume")]
    scores = [score for variate in (spread, volume) for score in _scores(variate, config)]
    mean_range = exponential_mean(spread, config.span, config.look_back)
    return [
        *scores[:2],
        (mean_range.clamp_min(RETURN_FLOOR) / scale).log() - math.log(RANGE_OF_A_WALK),
        *scores[2:],
        _correlation(returns.abs(), volume, config.look_back, (RETURN_FLOOR, LEVEL_FLOOR)),
    ]


def _scores(values: Tensor, config: StatisticalConfig) -> tuple[Tensor, Tensor]:
    """How far values, and their exponentially weighted mean, lie from the mean of the latest, in standard deviations."""
    recent = trailing(values, config.look_back)
    mean, deviation = recent.mean(dim=-1), recent.std(dim=-1, correction=0).clamp_min(LEVEL_FLOOR)
    return (values - mean) / deviation, (exponential_mean(values, config.span, config.look_back) - mean) / deviation


def _volatility(returns: Tensor, span: float, window: int) -> Tensor:
    return exponential_volatility(returns, span, window).clamp_min(RETURN_FLOOR)


def _correlation(one: Tensor, other: Tensor, window: int, floors: tuple[float, float]) -> Tensor:
    """Correlation of the latest pairs, `[B, T]`; towards 0 where one of them moves less than its floor."""
    first, second = trailing(one, window), trailing(other, window)
    first, second = first - first.mean(dim=-1, keepdim=True), second - second.mean(dim=-1, keepdim=True)
    sizes = [part.square().mean(dim=-1).sqrt().clamp_min(floor) for part, floor in zip((first, second), floors, strict=True)]
    return (first * second).mean(dim=-1) / (sizes[0] * sizes[1])
