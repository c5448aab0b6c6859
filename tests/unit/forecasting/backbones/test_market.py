"""The market transformer: the general checks, and what is its own: windows, pieces, its head, its entry for training."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.forecasting.backbones.backbone_checks import BackboneChecks, assert_same
from tests.unit.forecasting.series_samples import ended_after, share_bars, wandering_bars
from toto_ops.errors import InsufficientDataError
from toto_ops.forecasting.backbones import market
from toto_ops.forecasting.backbones.market import MarketBackbone, whole_patches
from toto_ops.forecasting.backbones.market_layers import ROTARY_BASE, Blocks, SlidingWindowAttention
from toto_ops.forecasting.config import MarketConfig
from toto_ops.forecasting.quantiles import NORMAL_QUANTILES
from toto_ops.forecasting.scaling import WINDOW, CausalScale
from toto_ops.forecasting.series import CLOSE

SMALL = MarketConfig(width=16, layers=2, heads=2, window=8, patch=4, dropout=0.2)


def made(config: MarketConfig = SMALL, seed: int = 0) -> MarketBackbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = MarketBackbone(config, 5, 16)
        # As initialised, attention weighs all it sees alike; a trained network does not.
        for block in backbone.blocks:
            torch.nn.init.normal_(block.attention.query_key_value.weight, std=0.5)
    return backbone


def scaled(x: Tensor) -> tuple[Tensor, Tensor]:
    inputs = CausalScale.of(x).inputs
    return inputs.nan_to_num(nan=0.0), torch.isfinite(inputs).all(dim=1)


class TestMarketBackbone(BackboneChecks):
    @pytest.fixture
    def backbone(self) -> MarketBackbone:
        backbone = made()
        # As initialised, the head says the same whatever the state.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            torch.nn.init.normal_(backbone.head.out.weight, std=0.05)
        return backbone


def test_the_shipped_configuration_has_the_documented_size() -> None:
    backbone = MarketBackbone(MarketConfig(), 20, 128)
    head = sum(weight.numel() for weight in backbone.head.parameters())
    assert (sum(weight.numel() for weight in backbone.parameters()) - head, head) == (126_912, 78_108)
    assert backbone.receptive_bars == 3 * 47 + 15 + WINDOW + 1


def test_a_state_depends_on_its_receptive_bars_and_on_all_of_them() -> None:
    backbone, x = made(), share_bars(200)
    whole = backbone.states(x)[:, -1]
    enough = backbone.states(x[..., -backbone.receptive_bars :])[:, -1]
    one_less = backbone.states(x[..., 1 - backbone.receptive_bars :])[:, -1]
    assert_same(enough, whole, 1e-5)
    assert (one_less - whole).abs().max() > 1e-3, "the first of them counts for nothing: fewer would do"


def test_the_entry_of_training_makes_the_same_states() -> None:
    backbone = made().eval()
    x = ended_after(share_bars(120), 120, 90, 60)
    states = backbone.states(x)
    trained = backbone(*scaled(x))
    known = torch.isfinite(states)
    torch.testing.assert_close(trained[known], states[known], rtol=1e-5, atol=1e-5)
    assert torch.isfinite(trained).all()


def test_dropout_is_for_training_alone() -> None:
    backbone, x = made().train(), share_bars(80)
    inputs = scaled(x)
    assert not torch.equal(backbone(*inputs), backbone(*inputs))
    assert torch.equal(backbone.states(x).nan_to_num(), backbone.states(x).nan_to_num())
    assert backbone.training
    assert backbone.dropout.training


def test_every_weight_is_trained_whatever_is_unknown() -> None:
    backbone = made().train()
    inputs, known = scaled(ended_after(share_bars(100), 100, 50, 10))
    backbone.head.out.weight.data.normal_(std=0.1)
    backbone.head(backbone(inputs, known))[:2, -60:].square().mean().backward()
    for name, weight in backbone.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
        assert weight.grad.abs().max() > 0, name


def test_what_unknown_bars_hold_changes_no_known_state() -> None:
    backbone = made().eval()
    inputs, known = scaled(share_bars(100))
    known[1, 50:60] = False
    states = backbone(inputs, known)
    other = backbone(torch.where(known.unsqueeze(1), inputs, 7.0), known)
    whole = whole_patches(known, SMALL.patch)
    torch.testing.assert_close(other[whole], states[whole], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(other, states)


def test_long_and_many_series_in_pieces_are_those_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = made()
    x = ended_after(share_bars(700), 700, 450, 30)
    expected = backbone.states(x)
    monkeypatch.setattr(market, "AT_ONCE", 64)
    assert_same(backbone.states(x), expected, 1e-5)


def test_untrained_it_foretells_a_random_walk_with_the_latest_volatility() -> None:
    backbone, x = made(), ended_after(share_bars(120), 120, 80, 47)
    quantiles = backbone.forecast(x, 5)
    for row, end in enumerate((120, 80, 47)):
        returns = x[row, CLOSE, :end].diff()[-WINDOW:]
        for horizon in (1, 4):
            spread = float(returns.square().mean().sqrt()) * math.sqrt(horizon)
            expected = x[row, CLOSE, end - 1] + spread * torch.tensor(NORMAL_QUANTILES, dtype=torch.float64)
            torch.testing.assert_close(quantiles[:, row, CLOSE, horizon - 1], expected, rtol=1e-5, atol=1e-5)
        volume = x[row, 2, end - WINDOW : end]
        torch.testing.assert_close(quantiles[4, row, 2, 0], volume.mean(), rtol=1e-5, atol=1e-5)


def test_it_foretells_what_its_head_reads_off_the_last_state() -> None:
    backbone, ends = made(), (120, 80)
    torch.nn.init.normal_(backbone.head.out.weight, generator=torch.Generator().manual_seed(0))
    x = ended_after(share_bars(120)[:2], *ends)
    with torch.no_grad():
        everywhere = CausalScale.of(x).real_units(backbone.head(backbone.states(x)).double())
    found = backbone.forecast(x, 3)
    for row, end in enumerate(ends):
        expected = everywhere[row, end - 1, :, :3].movedim(-1, 0)
        torch.testing.assert_close(found[:, row], expected, rtol=1e-4, atol=1e-5)


def test_refuses_to_look_further_ahead_than_its_head() -> None:
    with pytest.raises(InsufficientDataError, match="asked for 6 bars ahead of a forecaster that looks 5 ahead"):
        made().forecast(share_bars(100), 6)


def test_identity_follows_weights_and_architecture() -> None:
    backbone = made()
    assert backbone.identity == made().identity
    assert backbone.identity != made(seed=1).identity
    assert backbone.identity != made(SMALL.model_copy(update={"dropout": 0.1})).identity
    before = backbone.identity
    with torch.no_grad():
        backbone.norm.bias[0] += 1e-6
    assert backbone.identity != before


def plain_attention(attention: SlidingWindowAttention, states: Tensor, known: Tensor) -> Tensor:
    """Query by query and key by key, with the positions turned as complex numbers."""
    series, bars, width = states.shape
    head = width // attention.heads
    pairs = head // 2
    projected = attention.query_key_value(states).detach().double()
    query, key, value = (part.reshape(series, bars, attention.heads, head) for part in projected.chunk(3, dim=-1))
    frequencies = torch.tensor([ROTARY_BASE ** (-2 * pair / head) for pair in range(pairs)], dtype=torch.float64)
    mixed = torch.zeros(series, bars, attention.heads, head, dtype=torch.float64)
    for one in range(series):
        for now in range(bars):
            seen = [then for then in range(max(0, now - attention.window + 1), now + 1) if then == now or known[one, then]]
            for which in range(attention.heads):
                scores = []
                for then in seen:
                    asked = torch.complex(query[one, now, which, :pairs], query[one, now, which, pairs:])
                    found = torch.complex(key[one, then, which, :pairs], key[one, then, which, pairs:])
                    turn = torch.polar(torch.ones(pairs, dtype=torch.float64), frequencies * (now - then))
                    scores.append((asked * turn * found.conj()).real.sum() / math.sqrt(head))
                weights = torch.stack(scores).softmax(0)
                mixed[one, now, which] = sum(w * value[one, then, which] for w, then in zip(weights, seen, strict=True))
    return mixed.flatten(2) @ attention.out.weight.detach().double().T


@settings(max_examples=15)
@given(
    window=st.integers(2, 6),
    heads=st.sampled_from([1, 2]),
    blocks=st.integers(1, 4),
    seed=st.integers(0, 99),
    share=st.floats(0, 1),
)
def test_attention_in_blocks_is_attention_query_by_query(window: int, heads: int, blocks: int, seed: int, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    attention = SlidingWindowAttention(8, heads, window)
    for weight in attention.parameters():
        torch.nn.init.normal_(weight, std=0.7, generator=generator)
    bars = blocks * window
    states = torch.randn(2, bars, 8, generator=generator)
    known = torch.rand(2, bars, generator=generator) < share
    with torch.no_grad():
        found = attention(states, Blocks.of(known, window, 8 // heads, torch.float32))
    torch.testing.assert_close(found.double(), plain_attention(attention, states, known), rtol=1e-4, atol=1e-4)


@given(known=st.lists(st.booleans(), min_size=1, max_size=20), patch=st.integers(1, 6))
def test_a_patch_is_whole_where_all_its_bars_are_known(known: list[bool], patch: int) -> None:
    expected = [end >= patch and all(known[end - patch : end]) for end in range(1, len(known) + 1)]
    assert whole_patches(torch.tensor([known]), patch).tolist() == [expected]


def test_states_of_all_bars_cost_a_fraction_of_a_window_for_each() -> None:
    """What makes it fast, without a clock: the pieces of a long series hardly overlap."""
    backbone, passed = MarketBackbone(MarketConfig(), 5, 16), 0
    plain = backbone._known_states

    def counted(x: Tensor) -> Tensor:
        nonlocal passed
        passed += x.shape[0] * x.shape[-1]
        return plain(x)

    backbone._known_states = counted  # type: ignore[method-assign]
    bars = 10_000
    backbone.states(wandering_bars(bars, series=1))
    assert passed < 1.1 * bars
    passed = 0
    backbone.latest_states(wandering_bars(bars, series=4), 1)
    assert passed == 4 * backbone.receptive_bars
