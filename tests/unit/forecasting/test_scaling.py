"""Scales known at each bar: against plain loops, their targets and the way back, and that none looks ahead."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.forecasting.series_samples import ended_after, share_bars, standing_bars, wandering_bars
from toto_ops.forecasting.quantiles import LEVELS
from toto_ops.forecasting.scaling import LEVEL_FLOOR, RETURN_FLOOR, WINDOW, CausalScale, growth
from toto_ops.forecasting.series import CLOSE, VARIATES

FIRST = WINDOW
"""The first bar with a scale: it has WINDOW returns."""


@settings(max_examples=20)
@given(seed=st.integers(0, 999), length=st.integers(WINDOW + 1, 60))
def test_scale_and_inputs_are_those_of_the_latest_bars(seed: int, length: int) -> None:
    x = wandering_bars(length, seed, series=1)
    scale = CausalScale.of(x)
    close, spread, volume = x[0].numpy()
    for bar in {FIRST, length - 1}:
        returns = np.diff(close)[bar - WINDOW : bar]
        size = max(math.sqrt((returns**2).mean()), RETURN_FLOOR)
        assert float(scale.location[0, CLOSE, bar]) == close[bar]
        assert float(scale.scale[0, CLOSE, bar]) == pytest.approx(size)
        assert float(scale.inputs[0, CLOSE, bar]) == pytest.approx(returns[-1] / size)
        for place, values in ((1, spread), (2, volume)):
            recent = values[bar - WINDOW + 1 : bar + 1]
            deviation = max(recent.std(), LEVEL_FLOOR)
            assert float(scale.location[0, place, bar]) == pytest.approx(recent.mean())
            assert float(scale.scale[0, place, bar]) == pytest.approx(deviation)
            assert float(scale.inputs[0, place, bar]) == pytest.approx((values[bar] - recent.mean()) / deviation)


def test_a_scale_is_known_from_its_window_on_to_the_end() -> None:
    x = ended_after(share_bars(60), 60, 45, WINDOW)
    scale = CausalScale.of(x)
    bar = torch.arange(60)
    known = (bar >= FIRST) & (bar < torch.tensor([60, 45, WINDOW]).unsqueeze(-1))
    for part in (scale.location, scale.scale, scale.inputs):
        assert torch.equal(torch.isfinite(part), known.unsqueeze(1).expand_as(part))
        assert torch.equal(torch.isnan(part), ~known.unsqueeze(1).expand_as(part))


@pytest.mark.parametrize("bars", [0, 1, WINDOW])
def test_too_few_bars_have_no_scale(bars: int) -> None:
    scale = CausalScale.of(wandering_bars(bars))
    assert scale.inputs.shape == (2, len(VARIATES), bars)
    assert all(torch.isnan(part).all() for part in (scale.location, scale.scale, scale.inputs))


def test_some_bars_have_the_scale_they_have_among_all() -> None:
    scale = CausalScale.of(share_bars(60))
    stretch, each = scale.at(slice(40, 50)), scale.at(torch.tensor([[59, 33], [40, -1], [32, 35]]))
    for name in ("location", "scale", "inputs"):
        whole = getattr(scale, name)
        assert torch.equal(getattr(stretch, name), whole[..., 40:50])
        expected = torch.stack([whole[0, :, [59, 33]], whole[1, :, [40, 0]], whole[2, :, [32, 35]]])
        expected[1, :, 1] = torch.nan
        assert torch.equal(torch.isnan(expected), torch.isnan(getattr(each, name)))
        assert torch.equal(expected.nan_to_num(), getattr(each, name).nan_to_num())


@settings(max_examples=15)
@given(cut=st.integers(1, 119))
def test_no_scale_changes_with_the_bars_that_follow(cut: int) -> None:
    x = share_bars(120)
    whole, before = CausalScale.of(x), CausalScale.of(x[..., :cut])
    for name in ("location", "scale", "inputs"):
        torch.testing.assert_close(getattr(before, name), getattr(whole, name)[..., :cut], rtol=1e-12, atol=1e-12, equal_nan=True)


def test_standing_prices_have_the_least_scale_and_inputs_of_nothing() -> None:
    scale = CausalScale.of(standing_bars(50))
    assert (scale.scale[0, CLOSE, FIRST:] == RETURN_FLOOR).all()
    assert (scale.scale[0, 1:, FIRST:] == LEVEL_FLOOR).all()
    torch.testing.assert_close(scale.inputs[..., FIRST:], torch.zeros(1, 3, 50 - FIRST, dtype=torch.float64), rtol=0, atol=1e-9)


def test_a_leap_is_clipped() -> None:
    # One move among standing prices is the root of the window in its own scale; volume can leap further, and is held at 10.
    x = standing_bars(100)
    x[0, 2, :] += 1e-7 * torch.arange(100, dtype=torch.float64)
    x[0, 2, 80] += 5.0
    x[0, CLOSE, 80:] += 1.0
    inputs = CausalScale.of(x).inputs
    assert float(inputs[0, CLOSE, 80]) == pytest.approx(math.sqrt(WINDOW))
    assert float(inputs.nan_to_num().abs().max()) <= 10.0


def test_targets_are_what_came_in_the_scale_of_the_bar() -> None:
    x, horizon = ended_after(share_bars(70), 70, 50, 40), 5
    scale = CausalScale.of(x)
    targets = scale.targets(x, horizon)
    assert targets.shape == (3, 70, len(VARIATES), horizon)
    for row, end in enumerate((70, 50, 40)):
        for bar in (FIRST, 36, end - 2, end - 1):
            for ahead in range(1, horizon + 1):
                found = targets[row, bar, :, ahead - 1]
                if bar + ahead >= end:
                    assert torch.isnan(found).all()
                    continue
                change = x[row, CLOSE, bar + ahead] - x[row, CLOSE, bar]
                expected = change / (scale.scale[row, CLOSE, bar] * math.sqrt(ahead))
                torch.testing.assert_close(found[CLOSE], expected)
                score = (x[row, 2, bar + ahead] - scale.location[row, 2, bar]) / scale.scale[row, 2, bar]
                torch.testing.assert_close(found[2], score)
    assert torch.isnan(targets[:, :FIRST]).all()


def test_a_horizon_beyond_the_end_is_not_known() -> None:
    x = share_bars(40)
    assert torch.isnan(CausalScale.of(x).targets(x, 60)[..., 40:]).all()


def test_real_units_undo_targets() -> None:
    x, horizon = share_bars(60), 4
    scale = CausalScale.of(x)
    targets = scale.targets(x, horizon)
    back = scale.real_units(targets.unsqueeze(-1).expand(*targets.shape, len(LEVELS)))
    assert back.shape == (3, 60, len(VARIATES), horizon, len(LEVELS))
    for ahead in range(1, horizon + 1):
        expected = x[..., FIRST + ahead :].movedim(1, 2)
        for level in (0, len(LEVELS) - 1):
            torch.testing.assert_close(back[:, FIRST : 60 - ahead, :, ahead - 1, level], expected)


def test_returns_undo_the_targets_of_the_close() -> None:
    x, horizons = share_bars(60), (1, 3)
    scale = CausalScale.of(x)
    targets = scale.targets(x, 4)
    returns = scale.returns(targets.unsqueeze(-1).expand(*targets.shape, len(LEVELS)), horizons)
    assert returns.shape == (3, 60, 2, len(LEVELS))
    for place, ahead in enumerate(horizons):
        expected = (x[:, CLOSE, ahead:] - x[:, CLOSE, :-ahead])[:, FIRST:]
        torch.testing.assert_close(returns[:, FIRST:-ahead, place, 0], expected)
        assert torch.isnan(returns[:, 60 - ahead :, place]).all()


def test_only_the_scale_of_the_close_grows_with_the_bars_ahead() -> None:
    found = growth(4, torch.zeros(1, dtype=torch.float64))
    assert found[:, 0].tolist() == [pytest.approx([1.0, math.sqrt(2), math.sqrt(3), 2.0]), [1.0] * 4, [1.0] * 4]
