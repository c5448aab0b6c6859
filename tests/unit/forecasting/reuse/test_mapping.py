"""Taking weights over: what fits by name and shape, a report of the rest, and what is trained then."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.unit.forecasting.reuse.reuse_samples import WIDTH, SeparateTransformer, drawn, market, torch_transformer
from toto_ops.errors import ConfigError, StorageError
from toto_ops.forecasting.config import ReuseConfig
from toto_ops.forecasting.reuse.mapping import parameter_groups, require_reusable, reuse_weights


def copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0, msg=name)


def test_a_model_of_the_same_layout_is_taken_over_whole() -> None:
    stored, network = market(1), market(2)
    reused = reuse_weights(network, stored.state_dict(), "january")
    assert_same(network.state_dict(), stored.state_dict())
    assert (reused.source, reused.left_out, reused.new) == ("january", {}, ())
    assert reused.loaded == {name: name for name in network.state_dict()}
    assert str(reused) == "january: 26 tensors taken over, 0 left out, 0 new"


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from(["module", "_orig_mod", "model", "network", "encoder", "transformer"]), max_size=4))
def test_wrappers_in_front_of_names_change_nothing(wrappers: list[str]) -> None:
    stored, network = market(1), market(2)
    wrapped = {".".join([*wrappers, name]): tensor for name, tensor in stored.state_dict().items()}
    reused = reuse_weights(network, wrapped)
    assert (reused.left_out, reused.new) == ({}, ())
    assert_same(network.state_dict(), stored.state_dict())


def test_more_layers_begin_from_fewer_and_the_new_ones_are_named() -> None:
    stored, network = market(1, layers=2), market(2, layers=3)
    before = copied(network)
    reused = reuse_weights(network, stored.state_dict())
    assert reused.new == tuple(name for name in before if ".blocks.2." in name)
    assert reused.left_out == {}
    after = network.state_dict()
    assert_same({name: after[name] for name in stored.state_dict()}, stored.state_dict())
    assert_same({name: after[name] for name in reused.new}, {name: before[name] for name in reused.new})


def test_fewer_layers_leave_out_what_they_have_no_place_for() -> None:
    stored, network = market(1, layers=3), market(2, layers=2)
    reused = reuse_weights(network, stored.state_dict())
    assert reused.new == ()
    assert reused.left_out == {name: "has no counterpart" for name in stored.state_dict() if ".blocks.2." in name}


def test_another_head_leaves_the_backbone_and_says_both_shapes() -> None:
    stored, network = market(1, horizon=3), market(2, horizon=5)
    reused = reuse_weights(network, stored.state_dict())
    assert reused.new == ("backbone.head.out.weight", "backbone.head.out.bias")
    assert reused.left_out["backbone.head.out.weight"] == "is [81, 8], in this network [135, 8]"


def test_a_fused_projection_is_shared_out() -> None:
    stored = torch_transformer(WIDTH, 2)
    values = drawn(stored, 1)
    network = SeparateTransformer(WIDTH, 2)
    reused = reuse_weights(network, {f"transformer_encoder.{name}": tensor for name, tensor in values.items()})
    assert (reused.new, reused.left_out) == ((), {})
    attention = network.blocks[1].attention
    fused = values["layers.1.self_attn.in_proj_weight"]
    torch.testing.assert_close(torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]), fused)
    assert reused.loaded["blocks.1.attention.k_proj.bias"] == "transformer_encoder.layers.1.self_attn.in_proj_bias"
    torch.testing.assert_close(network.blocks[0].mlp["fc2"].weight, values["layers.0.linear2.weight"])


def test_separate_projections_are_put_together() -> None:
    values = drawn(SeparateTransformer(WIDTH, 1), 1)
    network = torch_transformer(WIDTH, 1)
    reused = reuse_weights(network, values)
    assert (reused.new, reused.left_out) == ((), {})
    expected = torch.cat([values[f"blocks.0.attention.{part}_proj.weight"] for part in "qkv"])
    torch.testing.assert_close(network.layers[0].self_attn.in_proj_weight, expected)
    assert reused.loaded["layers.0.self_attn.in_proj_bias"].split(", ") == [
        f"blocks.0.attention.{part}_proj.bias" for part in "qkv"
    ]


def test_a_fused_projection_is_not_filled_in_part() -> None:
    values = drawn(SeparateTransformer(WIDTH, 1), 1)
    del values["blocks.0.attention.v_proj.weight"]
    network = torch_transformer(WIDTH, 1)
    before = copied(network)
    reused = reuse_weights(network, values)
    assert reused.new == ("layers.0.self_attn.in_proj_weight",)
    reason = "is only a part of layers.0.self_attn.in_proj_weight"
    assert reused.left_out == {f"blocks.0.attention.{part}_proj.weight": reason for part in "qk"}
    torch.testing.assert_close(network.layers[0].self_attn.in_proj_weight, before["layers.0.self_attn.in_proj_weight"])


def test_two_tensors_that_may_be_the_same_are_both_left_out() -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    tensors = {"0.weight": torch.ones(2, 2), "model.0.bias": torch.ones(2), "network.0.bias": torch.zeros(2)}
    reused = reuse_weights(network, tensors)
    assert reused.loaded == {"0.weight": "0.weight"}
    assert reused.left_out == {
        "model.0.bias": "may be the same as network.0.bias",
        "network.0.bias": "may be the same as model.0.bias",
    }


def test_an_exact_name_wins_over_one_that_only_may_be_meant() -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False))
    reused = reuse_weights(network, {"model.0.weight": torch.zeros(1, 1), "0.weight": torch.ones(1, 1)})
    assert (network[0].weight.item(), list(reused.left_out)) == (1.0, ["model.0.weight"])


def test_weights_of_half_precision_are_taken_over_and_counters_are_not() -> None:
    network = nn.Linear(2, 1)
    reused = reuse_weights(
        network, {"weight": torch.full((1, 2), 0.5, dtype=torch.float16), "bias": torch.ones(1, dtype=torch.int64)}
    )
    assert network.weight.dtype == torch.float32
    assert network.weight.tolist() == [[0.5, 0.5]]
    assert reused.left_out == {"bias": "holds int64, in this network float32"}


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (market(1, width=8).state_dict(), r"backbone\.token\.weight is \[8, 12\], in this network \[16, 12\]"),
        (
            nn.LSTM(3, 4).state_dict(),
            r"it holds weight_ih_l0 \[16, 3\], .*…, and this network backbone\.token\.weight \[16, 12\]",
        ),
        ({}, "it holds nothing, and this network"),
    ],
)
def test_another_architecture_is_an_error_that_names_both_shapes_and_changes_nothing(
    stored: dict[str, Tensor], told: str
) -> None:
    network = market(2)
    before = copied(network)
    with pytest.raises(StorageError, match=f"another architecture: .*{told}"):
        reuse_weights(network, stored)
    with pytest.raises(StorageError, match="another architecture"):
        require_reusable(network, stored, "stored")
    assert_same(network.state_dict(), before)


def test_a_head_that_happens_to_fit_does_not_make_another_backbone_reusable() -> None:
    stored, network = market(1, width=8), market(2)
    assert stored.state_dict()["backbone.head.out.weight"].shape == network.state_dict()["backbone.head.out.weight"].shape
    with pytest.raises(StorageError, match="another architecture"):
        reuse_weights(network, stored.state_dict())


def test_a_head_that_was_stored_alone_is_taken_over() -> None:
    stored, network = market(1), market(2)
    backbone = copied(network.backbone.blocks)
    head = {name.replace("backbone.head", "added_head"): value for name, value in stored.state_dict().items() if ".head." in name}
    reused = reuse_weights(network, head)
    assert set(reused.loaded.values()) == set(head)
    assert_same(network.head.state_dict(), stored.head.state_dict())
    assert_same(network.backbone.blocks.state_dict(), backbone)


def test_a_head_that_is_trained_alone_takes_over_a_head_and_is_trained_whole() -> None:
    """Where the backbone is finished, the head is all that is trained and all that was stored."""
    stored, head = market(1).head, nn.ModuleDict({"head": market(2).head})
    reused = reuse_weights(head, {f"added_head.{name}": tensor for name, tensor in stored.state_dict().items()})
    assert (len(reused.loaded), reused.left_out, reused.new) == (6, {}, ())
    assert_same(head["head"].state_dict(), stored.state_dict())
    (group,) = parameter_groups(head, reused, ReuseConfig(), 0.01)
    assert names_in(head, group) == set(head.state_dict())


@pytest.mark.parametrize("wild", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_and_nothing_is_copied(wild: float) -> None:
    tensors = copied(market(1))
    tensors["backbone.norm.bias"][3] = wild
    network = market(2)
    before = copied(network)
    with pytest.raises(StorageError, match=r"not finite, in backbone\.norm\.bias"):
        reuse_weights(network, tensors)
    assert_same(network.state_dict(), before)


def test_what_is_not_finite_and_has_no_place_here_does_not_matter() -> None:
    tensors = copied(market(1)) | {"optimizer.step": torch.tensor(float("nan"))}
    assert reuse_weights(market(2), tensors).left_out == {"optimizer.step": "has no counterpart"}


# -- what is trained then -----------------------------------------------------------------------------------------------


def names_in(network: nn.Module, group: dict[str, object]) -> set[str]:
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return {names[id(parameter)] for parameter in group["params"]}


def test_the_backbone_is_frozen_and_new_layers_and_the_head_are_trained() -> None:
    network = market(2, layers=3)
    reused = reuse_weights(network, market(1, layers=2).state_dict())
    (group,) = parameter_groups(network, reused, ReuseConfig(), 0.01)
    head = {name for name in network.state_dict() if ".head." in name}
    assert names_in(network, group) == {*reused.new, *head}
    assert group["lr"] == 0.01
    assert {name for name, parameter in network.named_parameters() if parameter.requires_grad} == {*reused.new, *head}


def test_unfrozen_it_is_trained_at_a_share_of_the_learning_rate() -> None:
    network = market(2, layers=3)
    reused = reuse_weights(network, market(1, layers=2).state_dict())
    new, kept = parameter_groups(network, reused, ReuseConfig(unfreeze=True, learning_rate_share=0.25), 0.01)
    assert (new["lr"], kept["lr"]) == (0.01, 0.0025)
    assert names_in(network, new) | names_in(network, kept) == {name for name, _ in network.named_parameters()}
    assert not names_in(network, new) & names_in(network, kept)
    assert all(name in reused.loaded and ".head." not in name for name in names_in(network, kept))


def test_a_step_moves_new_layers_alone() -> None:
    network = market(2)
    reused = reuse_weights(network, market(1).state_dict())
    before = copied(network)
    optimizer = torch.optim.AdamW(parameter_groups(network, reused, ReuseConfig(), 0.01), weight_decay=0.1)
    states = network.backbone(torch.randn(1, 3, 60), torch.ones(1, 60, dtype=torch.bool))
    network.head(states).nan_to_num().square().mean().backward()
    optimizer.step()
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if ".head." in name}


def test_what_was_frozen_before_stays_so() -> None:
    network = market(2)
    network.backbone.token.requires_grad_(False)
    reused = reuse_weights(network, market(1).state_dict())
    for group in parameter_groups(network, reused, ReuseConfig(unfreeze=True), 0.01):
        assert not names_in(network, group) & {"backbone.token.weight", "backbone.token.bias"}


def test_nothing_left_to_train_is_an_error() -> None:
    network = nn.Linear(2, 1)
    reused = reuse_weights(network, nn.Linear(2, 1).state_dict(), "january")
    with pytest.raises(ConfigError, match=r"reuse\.unfreeze: everything was taken over from january"):
        parameter_groups(network, reused, ReuseConfig(), 0.01)
    (group,) = parameter_groups(nn.Linear(2, 1), reused, ReuseConfig(unfreeze=True), 0.01)
    assert group["lr"] == pytest.approx(0.001)
