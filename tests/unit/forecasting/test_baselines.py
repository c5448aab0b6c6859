"""The forecasts everyone must beat, against plain loops and against what they claim to know."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from tests.unit.forecasting.series_samples import ended_after, share_bars, standing_bars, wandering_bars
from toto_ops.errors import BarDataError
from toto_ops.forecasting.baselines import BASELINES, Baseline, baseline_quantiles
from toto_ops.forecasting.config import StatisticalConfig
from toto_ops.forecasting.quantiles import LEVELS, MEDIAN, NORMAL_QUANTILES
from toto_ops.forecasting.series import CLOSE

CONFIG = StatisticalConfig(season=4, span=10, look_back=33)
HORIZONS = (1, 4, 6)


def at_the_last_bar(name: Baseline, close: NDArray[np.float64], horizon: int, config: StatisticalConfig) -> NDArray[np.float64]:
    """One forecast at the end of one series, `[Q]`, in plain loops; NaN where history is too short."""
    now, look_back = len(close) - 1, config.look_back
    normal = np.array(NORMAL_QUANTILES)
    unknown = np.full(len(LEVELS), np.nan)
    if name == "seasonal_naive":
        back = config.season * math.ceil(horizon / config.season)

        def foretold(bar: int) -> float:
            return float(close[bar - back + horizon] - close[bar - back])

        made_at = range(now - horizon - look_back + 1, now - horizon + 1)
        if made_at[0] - back < 0:
            return unknown
        errors = [close[bar + horizon] - close[bar] - foretold(bar) for bar in made_at]
        return foretold(now) + np.quantile(errors, LEVELS) - np.median(errors)
    if now < look_back:
        return unknown
    returns = [close[bar] - close[bar - 1] for bar in range(now - look_back + 1, now + 1)]
    if name == "drift":
        return np.mean(returns) * horizon + np.std(returns, ddof=1) * math.sqrt(horizon) * normal
    weights = [(1 - 2 / (config.span + 1)) ** age for age in range(look_back - 1, -1, -1)]
    variance = sum(weight * one**2 for weight, one in zip(weights, returns, strict=True)) / sum(weights)
    return math.sqrt(variance * horizon) * normal


@pytest.mark.parametrize("name", BASELINES)
@settings(max_examples=12)
@given(seed=st.integers(0, 999), season=st.integers(1, 7), span=st.integers(2, 30), length=st.integers(45, 90))
def test_each_is_what_it_says(name: Baseline, seed: int, season: int, span: int, length: int) -> None:
    config = StatisticalConfig(season=season, span=span, look_back=33)
    x = wandering_bars(length, seed, series=1)
    found = baseline_quantiles(name, x, HORIZONS, config)
    assert found.shape == (1, length, len(HORIZONS), len(LEVELS))
    for bar in {length - 1, length // 2}:
        for place, horizon in enumerate(HORIZONS):
            expected = at_the_last_bar(name, x[0, CLOSE, : bar + 1].numpy(), horizon, config)
            np.testing.assert_allclose(found[0, bar, place].numpy(), expected, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", BASELINES)
@settings(max_examples=10)
@given(cut=st.integers(1, 199))
def test_none_changes_with_the_bars_that_follow(name: Baseline, cut: int) -> None:
    x = share_bars(200)
    whole = baseline_quantiles(name, x, HORIZONS, CONFIG)
    torch.testing.assert_close(baseline_quantiles(name, x[..., :cut], HORIZONS, CONFIG), whole[:, :cut], equal_nan=True)
    rewritten = torch.where(torch.arange(200) < cut, x, x * 1.5)
    torch.testing.assert_close(baseline_quantiles(name, rewritten, HORIZONS, CONFIG)[:, :cut], whole[:, :cut], equal_nan=True)


@pytest.mark.parametrize("name", BASELINES)
def test_a_series_is_foretold_the_same_alone_and_among_longer_ones(name: Baseline) -> None:
    ends = (150, 90, 20)
    x = ended_after(share_bars(150), *ends)
    beside = baseline_quantiles(name, x, HORIZONS, CONFIG)
    for row, end in enumerate(ends):
        alone = baseline_quantiles(name, x[row : row + 1, :, :end], HORIZONS, CONFIG)
        torch.testing.assert_close(beside[row : row + 1, :end], alone, equal_nan=True)
        assert torch.isnan(beside[row, end:]).all()


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("bars", [0, 1, 5, 30])
def test_a_short_history_is_not_known(name: Baseline, bars: int) -> None:
    quantiles = baseline_quantiles(name, wandering_bars(bars), HORIZONS, CONFIG)
    assert quantiles.shape == (2, bars, len(HORIZONS), len(LEVELS))
    assert torch.isnan(quantiles).all()


@pytest.mark.parametrize("name", BASELINES)
def test_quantiles_do_not_cross_and_are_known_from_one_bar_on(name: Baseline) -> None:
    quantiles = baseline_quantiles(name, share_bars(200), HORIZONS, CONFIG)
    known = torch.isfinite(quantiles)
    assert torch.equal(known.all(-1), known.any(-1))
    assert (known.int().diff(dim=1) >= 0).all()
    assert known[:, -1].all()
    assert (quantiles.diff(dim=-1)[known[..., 1:]] >= 0).all()


def test_the_median_is_the_point_forecast() -> None:
    x = share_bars(120)
    close = x[:, CLOSE]
    medians = {name: baseline_quantiles(name, x, HORIZONS, CONFIG)[:, -1, :, MEDIAN] for name in BASELINES}
    assert torch.equal(medians["ewma"], torch.zeros(3, 3, dtype=torch.float64))
    a_bar = (close[:, -1] - close[:, -1 - CONFIG.look_back]) / CONFIG.look_back
    torch.testing.assert_close(medians["drift"], a_bar.unsqueeze(-1) * torch.tensor(HORIZONS, dtype=torch.float64))
    # What one and four bars ahead repeat began four bars ago, what six bars ahead repeat eight.
    again = torch.stack([close[:, ago + ahead] - close[:, ago] for ago, ahead in ((-5, 1), (-5, 4), (-9, 6))], dim=-1)
    torch.testing.assert_close(medians["seasonal_naive"], again)


def seasonal_bars(length: int) -> Tensor:
    """The same four returns again and again."""
    x = standing_bars(length)
    x[0, CLOSE] += torch.tensor([0.01, -0.02, 0.03, -0.005], dtype=torch.float64).repeat(length)[:length].cumsum(0)
    return x


def test_what_repeats_every_season_is_foretold_without_error() -> None:
    x = seasonal_bars(100)
    quantiles = baseline_quantiles("seasonal_naive", x, HORIZONS, CONFIG)
    for place, horizon in enumerate(HORIZONS):
        change = x[0, CLOSE, horizon:] - x[0, CLOSE, :-horizon]
        found = quantiles[0, :-horizon, place]
        known = torch.isfinite(found).all(-1)
        assert known.any()
        torch.testing.assert_close(found[known], change[known].unsqueeze(-1).expand(-1, len(LEVELS)), rtol=0, atol=1e-12)


def test_an_error_counts_only_once_its_outcome_is_known() -> None:
    """A jump at a bar widens the forecasts over `h` bars made from that bar on, not those made before."""
    x = seasonal_bars(100)
    x[0, CLOSE, 70:] += 1.0
    quantiles = baseline_quantiles("seasonal_naive", x, (6,), CONFIG)[0, :, 0]
    spread = quantiles.amax(-1) - quantiles.amin(-1)
    assert (spread[50:70] < 1e-9).all()
    # Six of the errors carry the jump once it was within their six bars, more than a tenth of all.
    assert spread[76] > 0.5


@pytest.mark.parametrize("name", BASELINES)
def test_a_standing_price_is_foretold_to_stand(name: Baseline) -> None:
    quantiles = baseline_quantiles(name, standing_bars(100), HORIZONS, CONFIG)
    assert torch.equal(quantiles[:, -1], torch.zeros_like(quantiles[:, -1]))


@pytest.mark.parametrize("name", BASELINES)
def test_refuses_a_value_that_is_no_number(name: Baseline) -> None:
    x = share_bars(100)
    x[2, CLOSE, 50] = torch.inf
    with pytest.raises(BarDataError, match="value 50 of series 2"):
        baseline_quantiles(name, x, HORIZONS, CONFIG)


@pytest.mark.parametrize("name", BASELINES)
def test_nine_outcomes_in_ten_of_a_random_walk_lie_where_they_should(name: Baseline) -> None:
    """Calibration: the share of outcomes below each quantile is near its level."""
    x = wandering_bars(6000, seed=5, series=1)
    config = StatisticalConfig(season=1, span=30, look_back=60)
    quantiles = baseline_quantiles(name, x, (1,), config)[0, 100:-1, 0]
    outcome = x[0, CLOSE].diff()[100:]
    below = (outcome.unsqueeze(-1) <= quantiles).double().mean(dim=0)
    torch.testing.assert_close(below, torch.tensor(LEVELS, dtype=torch.float64), rtol=0, atol=0.03)
