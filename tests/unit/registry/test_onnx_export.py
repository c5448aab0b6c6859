"""Every policy exports to one ONNX file that decides as it does, for any number of accounts and symbols."""

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.registry.registry_samples import LinearPolicy, NaNPolicy, manifest
from toto_ops.errors import PromotionError
from toto_ops.features.state import MARKET_FEATURES
from toto_ops.learning.onnx_files import open_session
from toto_ops.policies.contract import Policy
from toto_ops.registry.onnx_export import (
    Parity,
    ask_session,
    check_parity,
    export_onnx,
    random_observation,
    random_observation_for,
    run_session,
)
from toto_ops.simulation.observation import decide
from toto_ops.simulation.observation_schema import MARKET, STATE, MarketWidths


@pytest.fixture(scope="module")
def policy():
    return LinearPolicy(7)


@pytest.fixture(scope="module")
def exported(policy, tmp_path_factory):
    return export_onnx(policy, manifest("u"), tmp_path_factory.mktemp("onnx") / "model.onnx")


def test_file_is_self_contained_and_says_what_it_is(exported):
    assert [path.name for path in exported.parent.iterdir()] == ["model.onnx"]
    assert b".py" not in exported.read_bytes(), "no path of the machine that exported it"
    facts = {entry.key: entry.value for entry in onnx.load(str(exported)).metadata_props}
    assert facts["observation_schema"] == "state34/1"
    assert facts["symbols"] == "AAA,BBB,CCC"
    assert facts["inputs_hash"] == "inputs-1"


@pytest.mark.parametrize(("accounts", "symbols"), [(1, 1), (1, 3), (64, 1), (33, 17)])
def test_accounts_and_symbols_are_free(policy, exported, accounts, symbols):
    observation = random_observation(accounts=accounts, symbols=symbols, seed=3)
    expected = policy.act(observation)
    got = run_session(open_session(exported), *(tensor.numpy() for tensor in observation.tensors().values()))
    np.testing.assert_array_equal(got.action, expected.action.numpy())
    np.testing.assert_array_equal(got.hold, expected.hold.numpy())
    np.testing.assert_allclose(got.weight, expected.weight.numpy(), atol=1e-6)
    np.testing.assert_allclose(got.probabilities, expected.probabilities.numpy(), atol=1e-6)


class EverythingPolicy(Policy):
    """Takes every field there is, some per symbol and some per account."""

    kind = "test-everything"
    inputs = MARKET.fields

    @property
    def widths(self):
        return MarketWidths(context=3, forecast=7, embedding=5)

    @property
    def architecture(self):
        return {}

    def forward(self, market, account, mask, context, clock, portfolio, allocation, volatility, forecast, embedding):  # noqa: PLR0917
        whole = (clock.sum(-1) * portfolio.sum(-1)).unsqueeze(-1)
        strength = torch.sigmoid(allocation + volatility + whole + context.sum(-1) + forecast.sum(-1) + embedding.sum(-1))
        probabilities = torch.softmax(torch.stack((account[..., 0], market[..., 0], strength), dim=-1), dim=-1)
        return decide(probabilities.argmax(-1), strength, probabilities, mask, w_max=0.25, may_short=False)


def test_inputs_are_named_after_the_fields_a_policy_takes(tmp_path):
    assert EverythingPolicy.observation_schema() == "market/2"
    session = open_session(export_onnx(EverythingPolicy(), manifest("u"), tmp_path / "model.onnx"))
    assert [node.name for node in session.get_inputs()] == list(MARKET.fields)
    observation = random_observation_for(session, accounts=4, symbols=3, seed=1)
    expected = EverythingPolicy().act(observation)
    np.testing.assert_allclose(ask_session(session, observation).strength, expected.strength.numpy(), atol=1e-6)


def test_parity_measures_all_unmasked_decisions(policy, exported):
    observation = random_observation(accounts=50, symbols=3, seed=5)
    parity = check_parity(policy, exported, [observation])
    assert parity.decisions > int(observation.mask.sum()) > 0
    assert parity.max_abs_difference < 1e-5
    assert parity.action_mismatches == 0


def test_another_policy_is_told_apart_with_the_measured_difference(exported):
    with pytest.raises(PromotionError, match=r"largest absolute difference 0\.\d+"):
        check_parity(LinearPolicy(8), exported, [])


def test_a_small_change_of_one_weight_is_noticed(exported):
    nearly = LinearPolicy(7)
    with torch.no_grad():
        nearly.head.weight[3, 0] += 0.01
    with pytest.raises(PromotionError, match="largest absolute difference"):
        check_parity(nearly, exported, [])


def test_nan_never_counts_as_agreement(tmp_path):
    policy = NaNPolicy(0)
    path = export_onnx(policy, manifest("u", kind="test-nan"), tmp_path / "model.onnx")
    with pytest.raises(PromotionError, match="nan"):
        check_parity(policy, path, [])


def test_a_rare_tie_is_accepted_and_a_common_one_is_not():
    assert Parity(decisions=10_000, max_abs_difference=1e-6, action_mismatches=1).acceptable
    assert not Parity(decisions=100, max_abs_difference=1e-6, action_mismatches=1).acceptable


@given(seed=st.integers(0, 2**31), accounts=st.integers(1, 6), symbols=st.integers(1, 6))
@settings(deadline=None, max_examples=25)
def test_random_observations_stay_in_the_range_of_each_feature(seed, accounts, symbols):
    market, account, mask = random_observation(accounts=accounts, symbols=symbols, seed=seed).take(STATE.fields)
    assert (market.shape, account.shape, mask.shape) == ((accounts, symbols, 30), (accounts, symbols, 4), (accounts, symbols))
    columns = dict(zip(MARKET_FEATURES, market.unbind(-1), strict=True))
    assert ((columns["bollinger_width"] > 0) & (columns["volume_ratio"] >= 0) & (columns["volume_ratio"] <= 10)).all()
    assert ((columns["rsi"] >= 0) & (columns["rsi"] <= 1)).all()
    regimes = columns["regime_low"] + columns["regime_normal"] + columns["regime_high"]
    assert (regimes == 1).all()
    assert (account[..., 0].abs() <= 1).all()
    assert torch.equal(market, random_observation(accounts=accounts, symbols=symbols, seed=seed).market)
