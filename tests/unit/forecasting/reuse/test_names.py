"""Tensors go by one name, whatever they were wrapped in and whichever layout they are of."""

import pytest
import torch

from toto_ops.forecasting.reuse.names import canonical, pieces


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("backbone.token.weight", "embed.weight"),
        ("module.backbone.token.weight", "embed.weight"),
        ("_orig_mod.module.model.input_projection.bias", "embed.bias"),
        ("encoder.blocks.3.attention._orig_mod.out.weight", "layers.3.attention.out.weight"),
        ("transformer.h.0.attn.c_attn.weight", "layers.0.attention.qkv.weight"),
        ("transformer_encoder.layers.0.self_attn.in_proj_bias", "layers.0.attention.qkv.bias"),
        ("layers.1.self_attn.to_out.0.weight", "layers.1.attention.out.weight"),
        ("layers.1.linear2.weight", "layers.1.mlp.down.weight"),
        ("model.layers.0.mlp.gate_up_proj.weight", "layers.0.mlp.gate_up.weight"),
        ("blocks.0.ln_1.gamma", "layers.0.norm1.weight"),
        ("ln_f.beta", "norm.bias"),
        ("added_head.out.weight", "head.out.weight"),
        ("backbone.head.out.weight", "head.out.weight"),
        ("model", "model"),
    ],
)
def test_a_name_is_freed_from_wrappers_and_from_its_layout(name: str, expected: str) -> None:
    assert canonical(name) == expected
    assert canonical(canonical(name)) == canonical(name)


@pytest.mark.parametrize("name", ["remodel.weight", "head.hidden.weight", "head.output.weight", "decoder.layers.0.lnx.weight"])
def test_only_whole_segments_are_renamed(name: str) -> None:
    assert canonical(name) == name


def test_a_fused_projection_is_the_parts_its_rows_are() -> None:
    fused = torch.arange(12.0).reshape(6, 2)
    query, key, value = pieces({"blocks.0.attn.qkv.weight": fused})
    assert [piece.name for piece in (query, key, value)] == [f"layers.0.attention.{part}.weight" for part in "qkv"]
    assert query.tensor.tolist() == [[0, 1], [2, 3]]
    assert value.tensor.tolist() == [[8, 9], [10, 11]]
    value.tensor.zero_()
    assert fused[4:].sum() == 0


def test_rows_that_cannot_be_shared_out_are_no_fused_projection() -> None:
    (piece,) = pieces({"blocks.0.attn.qkv.weight": torch.ones(4, 2)})
    assert piece.name == "layers.0.attention.qkv.weight"
