"""The cloned policy: every check of a policy, and what is its own."""

from __future__ import annotations

import pytest
import torch

from tests.unit.policies.policy_checks import PolicyChecks, observe
from toto_ops.features.state import STATE_FEATURES
from toto_ops.policies.cloned import ClonedPolicy
from toto_ops.simulation.observation import Action, Observation, state_vector


def make_policy(*, may_short: bool = False, seed: int = 0) -> ClonedPolicy:
    """An untrained policy with a fitted scaler, which for random weights decides differently from state to state."""
    torch.manual_seed(seed)
    policy = ClonedPolicy(hidden=32, layers=2, dropout=0.3, w_max=0.2, may_short=may_short)
    seen = observe(99, accounts=40)
    policy.fit_scaler(state_vector(seen.market, seen.account).flatten(0, 1))
    return policy.eval()


class TestClonedPolicy(PolicyChecks):
    @pytest.fixture(params=[False, True], ids=["long only", "may short"])
    def policy(self, request: pytest.FixtureRequest) -> ClonedPolicy:
        return make_policy(may_short=request.param)


def test_the_scaler_centres_every_feature_and_gives_it_unit_deviation() -> None:
    states = torch.randn(500, len(STATE_FEATURES)) * 7 + 3
    policy = make_policy()
    policy.fit_scaler(states)
    scaled = policy.standardise(states)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(len(STATE_FEATURES)), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(len(STATE_FEATURES)), atol=1e-4, rtol=0)


def test_a_feature_that_never_varied_is_centred_and_not_divided_by_nothing() -> None:
    states = torch.randn(50, len(STATE_FEATURES))
    states[:, 4] = 0.5
    policy = make_policy()
    policy.fit_scaler(states)
    assert policy.standardise(states)[:, 4].eq(0).all()
    assert torch.isfinite(policy.standardise(states)).all()


def test_a_bar_unlike_any_in_training_is_clipped() -> None:
    policy = make_policy()
    crash = torch.full((1, len(STATE_FEATURES)), 1e6)
    beyond = crash * 2
    assert torch.equal(policy.standardise(crash), policy.standardise(beyond))


def test_sell_opens_a_short_only_where_the_universe_allows_one() -> None:
    observation = observe(1)
    for may_short in (False, True):
        decision = make_policy(may_short=may_short).act(observation)
        sold = decision.action == Action.SELL
        assert sold.any()
        assert (decision.weight[sold] < 0).all() if may_short else (decision.weight[sold] == 0).all()


def test_the_scaler_travels_with_the_weights() -> None:
    stored = make_policy().state_dict()
    assert {"mean", "scale"} <= stored.keys()


def test_depth_and_width_are_as_configured() -> None:
    policy = ClonedPolicy(hidden=16, layers=3, dropout=0.0, w_max=0.1, may_short=False)
    shapes = [tuple(layer.weight.shape) for layer in policy.modules() if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(16, 34), (16, 16), (16, 16), (3, 16), (1, 16)]


class TestStacked:
    """Several policies asked in one call, each about an account of its own."""

    @pytest.mark.parametrize("may_short", [False, True], ids=["long only", "may short"])
    def test_each_decides_about_its_own_account_as_it_does_alone(self, may_short: bool) -> None:
        policies = [make_policy(may_short=may_short, seed=seed) for seed in (0, 1, 2, 1)]
        observation = observe(7, accounts=len(policies))
        together = ClonedPolicy.stacked(policies)(observation)
        for place, policy in enumerate(policies):
            alone = policy.act(Observation(*(field[place : place + 1] for field in observation.tensors().values())))
            for name, answer in alone._asdict().items():
                torch.testing.assert_close(getattr(together, name)[place], answer[0], rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("symbols", [1, 2, 20])
    def test_what_one_answers_does_not_depend_on_the_others(self, symbols: int) -> None:
        policies = [make_policy(seed=seed) for seed in range(4)]
        observation = observe(3, accounts=4, symbols=symbols)
        together = ClonedPolicy.stacked(policies)(observation)
        for place, policy in enumerate(policies):
            alone = ClonedPolicy.stacked([policy])(
                Observation(*(field[place : place + 1] for field in observation.tensors().values()))
            )
            assert all(torch.equal(one[place], other[0]) for one, other in zip(together, alone, strict=True))

    def test_those_of_one_architecture_are_a_family(self) -> None:
        assert make_policy(seed=0).family == make_policy(seed=1).family
        assert make_policy(may_short=True).family != make_policy(may_short=False).family

    def test_one_that_is_being_trained_is_refused(self) -> None:
        with pytest.raises(ValueError, match="eval"):
            ClonedPolicy.stacked([make_policy().train()])
