from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.unit.forecasting.backbones.backbone_checks import BackboneChecks, assert_same
from tests.unit.forecasting.series_samples import ended_after, share_bars, wandering_bars
from toto_ops.errors import BackboneUnavailableError
from toto_ops.forecasting.backbones.contract import Backbone
from toto_ops.forecasting.backbones.toto import TotoBackbone
from toto_ops.forecasting.config import TotoConfig
from toto_ops.forecasting.series import VARIATES

CONTEXT = 64
PATCH = 32


def loaded(weights: Path, context: int) -> TotoBackbone:
    return TotoBackbone(TotoConfig(weights=str(weights / "toto"), context=context, released=date(2026, 5, 14)))


@pytest.fixture(scope="module")
def toto(weights: Path) -> TotoBackbone:
    return loaded(weights, CONTEXT)


def passes_made(backbone: TotoBackbone) -> list[int]:
    """Is filled with the number of passes of every call of the network from now on."""
    counts: list[int] = []
    backbone.model.transformer.register_forward_pre_hook(lambda _module, inputs: counts.append(inputs[0].shape[0]))
    return counts


def state_by_a_pass_of_its_own(backbone: TotoBackbone, context: int, x: Tensor, bar: int) -> Tensor:
    """`[V * d]`: the slow way. One pass that ends with the bar and begins at its anchor, in the units of the series."""
    model = backbone.model
    closed = bar + 1
    begin = closed % PATCH
    while closed - begin > context:
        begin += context // 2
    caught: list[Tensor] = []
    hook = model.transformer.register_forward_hook(lambda _module, _inputs, output: caught.append(output))
    window = (x[:, begin:closed] - x[:, begin : begin + 1]).float().unsqueeze(0)
    everything = torch.ones_like(window, dtype=torch.bool)
    with torch.no_grad():
        model(window, everything, everything, torch.zeros(1, len(VARIATES), dtype=torch.long))
    hook.remove()
    return caught[0][0, :, -1].flatten()


class TestTotoBackbone(BackboneChecks):
    @pytest.fixture
    def backbone(self, toto: TotoBackbone) -> TotoBackbone:
        return toto


@pytest.mark.parametrize("context", [64, 128])
def test_states_are_those_of_one_pass_for_each_bar(weights: Path, context: int) -> None:
    backbone = loaded(weights, context)
    x = wandering_bars(200)
    states = backbone.states(x)
    for bar in (32, 63, 64, 96, 127, 128, 159, 160, 199):
        assert_same(states[1, bar], state_by_a_pass_of_its_own(backbone, context, x[1], bar))


def test_a_whole_context_costs_one_pass_for_each_phase_of_a_patch(weights: Path) -> None:
    backbone = loaded(weights, 128)
    counts = passes_made(backbone)
    backbone.states(wandering_bars(128, series=1))
    assert sum(counts) == PATCH


def test_within_a_context_phases_are_those_of_the_contract(weights: Path) -> None:
    backbone = loaded(weights, 128)
    x = wandering_bars(120)
    assert_same(backbone.states(x), Backbone.states(backbone, x))


def test_a_new_bar_costs_one_pass_for_each_series(weights: Path) -> None:
    backbone = loaded(weights, CONTEXT)
    counts = passes_made(backbone)
    backbone.latest_states(ended_after(wandering_bars(400, series=5), 400, 399, 300, 100, 40), 1)
    assert sum(counts) == 5


@pytest.mark.parametrize("bars", [33, 64, 65, 200])
def test_a_bar_sees_at_least_half_a_context_of_a_long_series(toto: TotoBackbone, bars: int) -> None:
    """Rewriting what is too old changes nothing; rewriting the oldest bar of half a context does."""
    x = wandering_bars(bars, series=1)
    states = toto.states(x)[:, -1]
    if bars > CONTEXT:
        old = x.clone()
        old[..., : bars - CONTEXT] += 1.0
        assert_same(toto.states(old)[:, -1], states)
    seen = x.clone()
    seen[..., max(0, bars - CONTEXT // 2)] += 1.0
    assert not torch.allclose(toto.states(seen)[:, -1], states)


def test_foretells_what_the_package_does(toto: TotoBackbone) -> None:
    x = wandering_bars(CONTEXT, series=1)
    everything = torch.ones((1, len(VARIATES), CONTEXT), dtype=torch.bool)
    inputs = {"target": x.float(), "target_mask": everything, "series_ids": torch.zeros(1, len(VARIATES), dtype=torch.long)}
    assert_same(toto.forecast(x, 40), toto.model.forecast(inputs, horizon=40).double())


def test_does_not_depend_on_the_level_of_a_price(toto: TotoBackbone) -> None:
    x = share_bars(150)
    raised = x + 10.0
    assert_same(toto.states(raised), toto.states(x))
    assert_same(toto.forecast(raised, 5) - 10.0, toto.forecast(x, 5))


def test_refuses_patches_that_do_not_fit_into_the_context(weights: Path) -> None:
    with pytest.raises(BackboneUnavailableError, match="two patches"):
        loaded(weights, 96)
