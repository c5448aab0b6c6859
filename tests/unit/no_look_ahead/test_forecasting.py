"""Prefix invariance of states and forecasts: what a forecaster says at a bar is what it said when that bar was the last.

The comparisons are those every backbone must pass (`tests.unit.forecasting.backbones.backbone_checks`); here they are made at
cut points anywhere, on real bars, of networks whose every weight matters, and it is shown that they catch a backbone which
does look ahead.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.forecasting.backbones.backbone_checks import (
    assert_forecasts_of_prefixes,
    assert_same,
    assert_states_blind_to_later_bars,
    assert_states_of_prefixes,
)
from tests.unit.forecasting.series_samples import ended_after, share_bars
from toto_ops.forecasting.backbones.contract import Backbone
from toto_ops.forecasting.backbones.market import MarketBackbone
from toto_ops.forecasting.backbones.statistical import StatisticalBackbone
from toto_ops.forecasting.config import MarketConfig, StatisticalConfig
from toto_ops.forecasting.forecast_features import forecast_features
from toto_ops.forecasting.forecaster import Network
from toto_ops.forecasting.head import QuantileHead
from toto_ops.forecasting.scaling import CausalScale

BARS = 160
X = share_bars(BARS)


def transformer() -> MarketBackbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = MarketBackbone(MarketConfig(width=16, layers=2, heads=2, window=12, patch=5), 5, 16)
        for weight in backbone.parameters():
            torch.nn.init.normal_(weight, std=0.3)
    return backbone


def statistician() -> StatisticalBackbone:
    return StatisticalBackbone(StatisticalConfig(look_back=40))


BACKBONES: dict[str, Callable[[], Backbone]] = {"market": transformer, "statistical": statistician}


@pytest.fixture(scope="module", params=BACKBONES)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return BACKBONES[request.param]()


@settings(max_examples=12)
@given(cut=st.integers(50, BARS - 1))
def test_no_state_changes_with_the_bars_that_follow(backbone: Backbone, cut: int) -> None:
    assert_states_of_prefixes(backbone, X, [cut])
    assert_states_blind_to_later_bars(backbone, X, [cut])


@settings(max_examples=12)
@given(cut=st.integers(50, BARS - 1))
def test_no_forecast_changes_with_the_bars_that_follow(backbone: Backbone, cut: int) -> None:
    assert_forecasts_of_prefixes(backbone, X, [cut])


@settings(max_examples=12)
@given(cut=st.integers(50, BARS - 1))
def test_no_observed_forecast_changes_with_the_bars_that_follow(backbone: Backbone, cut: int) -> None:
    """What policies see: features of the quantiles a head reads off the states, in the scale of each bar."""
    network = Network(backbone, None if backbone.head is not None else _head(backbone.width))

    def observed(x: Tensor) -> Tensor:
        with torch.no_grad():
            quantiles = network.head(backbone.states(x))
        return forecast_features(CausalScale.of(x).returns(quantiles, (1, 5)).float())

    assert_same(observed(X[..., :cut]), observed(X)[:, :cut])


def _head(width: int) -> QuantileHead:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        head = QuantileHead(width, 16, 5)
        torch.nn.init.normal_(head.out.weight, std=0.1)
    return head


@settings(max_examples=12)
@given(ends=st.tuples(*[st.integers(1, BARS)] * 3), count=st.integers(1, 5))
def test_the_newest_states_are_those_of_the_whole_history(backbone: Backbone, ends: tuple[int, ...], count: int) -> None:
    x = ended_after(X, *ends)
    states = torch.nn.functional.pad(backbone.states(x), (0, 0, count, 0), value=torch.nan)
    expected = torch.stack([one[end : end + count] for one, end in zip(states, ends, strict=True)])
    assert_same(backbone.latest_states(x, count), expected, 1e-5)


class Whitened(StatisticalBackbone):
    """Leaks: scales every state by moments of the whole history, as a careless preparation would."""

    def embed(self, x: Tensor) -> Tensor:
        states = super().embed(x)
        known = states.nan_to_num(nan=0.0)
        return states / (known.square().mean(dim=2, keepdim=True).sqrt() + 0.1)


class Centred(StatisticalBackbone):
    """Leaks: smooths each state with that of the next bar."""

    def embed(self, x: Tensor) -> Tensor:
        states = super().embed(x)
        return 0.9 * states + 0.1 * torch.cat((states[:, :, 1:], states[:, :, -1:]), dim=2)


class Mingled(StatisticalBackbone):
    """Leaks: foretells with the mean of all series that are asked about together."""

    def forecast(self, x: Tensor, horizon: int) -> Tensor:
        quantiles = super().forecast(x, horizon)
        return 0.9 * quantiles + 0.1 * quantiles.mean(dim=1, keepdim=True)


@pytest.mark.parametrize("leaking", [Whitened, Centred])
@pytest.mark.parametrize("comparison", [assert_states_of_prefixes, assert_states_blind_to_later_bars])
def test_a_state_that_looks_ahead_is_caught(
    leaking: type[StatisticalBackbone], comparison: Callable[[Backbone, Tensor, list[int]], None]
) -> None:
    with pytest.raises(AssertionError, match="not close"):
        comparison(leaking(StatisticalConfig(look_back=40)), X, [100])


def test_a_forecast_that_looks_aside_is_caught() -> None:
    with pytest.raises(AssertionError, match="not close"):
        assert_forecasts_of_prefixes(Mingled(StatisticalConfig(look_back=40)), X, [100])
