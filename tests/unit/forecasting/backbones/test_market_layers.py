"""How the layers of the market transformer begin: the deeper it is, the less each of them adds to the sum of states."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from toto_ops.forecasting.backbones.market import MarketBackbone
from toto_ops.forecasting.backbones.market_layers import MarketBlock, initialise
from toto_ops.forecasting.config import MarketConfig

WIDTH = 128
READING = ("attention.query_key_value", "mlp.gate_and_value")
WRITING = ("attention.out", "mlp.out")


def initialised(layers: int) -> nn.ModuleList:
    torch.manual_seed(0)
    blocks = nn.ModuleList(MarketBlock(WIDTH, 2, 8, 0.1) for _ in range(layers))
    initialise(blocks, layers)
    return blocks


def spread(blocks: nn.ModuleList, name: str) -> list[float]:
    """Standard deviation of one weight in every block."""
    return [float(block.get_submodule(name).weight.detach().std()) for block in blocks]


@pytest.mark.parametrize("layers", [1, 2, 8])
class TestInitialise:
    @pytest.mark.parametrize("name", READING)
    def test_weights_that_read_states_do_not_depend_on_the_depth(self, layers: int, name: str) -> None:
        assert spread(initialised(layers), name) == pytest.approx([0.02] * layers, rel=0.03)

    @pytest.mark.parametrize("name", WRITING)
    def test_weights_that_write_states_shrink_with_the_root_of_the_writers(self, layers: int, name: str) -> None:
        assert spread(initialised(layers), name) == pytest.approx([0.02 / math.sqrt(2 * layers)] * layers, rel=0.03)


def test_biases_begin_at_zero_and_norms_are_left_alone() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    initialise(module, 3)
    assert not module[0].bias.any()
    assert torch.equal(module[1].weight, torch.ones(4))


def test_a_backbone_is_initialised_for_its_own_depth() -> None:
    for layers in (1, 8):
        torch.manual_seed(0)
        backbone = MarketBackbone(MarketConfig(width=WIDTH, layers=layers), 1, 8)
        for name in WRITING:
            assert spread(backbone.blocks, name) == pytest.approx([0.02 / math.sqrt(2 * layers)] * layers, rel=0.03)
