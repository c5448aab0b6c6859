"""What every policy must do, whatever it is: subclass `PolicyChecks` and give it a `policy` fixture."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from torch import Tensor

from toto_ops.errors import StorageError
from toto_ops.features.state import ACCOUNT_FEATURES, MARKET_FEATURES
from toto_ops.policies.contract import Policy, PolicyManifest, load_policy
from toto_ops.simulation.observation import Action, Decision, Observation

ACCOUNTS, SYMBOLS = 5, 7
ROUNDING = 1e-5
"""float32 matrix products of other shapes add up in another order."""


def observe(seed: int, accounts: int = ACCOUNTS, symbols: int = SYMBOLS) -> Observation:
    """A random observation with features of plausible size, about a fifth of it masked."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(accounts, symbols, generator=generator)

    ranges = {"rsi": (0.0, 1.0), "bollinger_width": (0.0, 0.5), "volume_ratio": (0.0, 10.0), "data_health": (0.0, 1.0)}
    ranges |= {"news_sentiment": (-1.0, 1.0), "macro_sentiment": (-1.0, 1.0), "macd_signal": (-0.05, 0.05)}
    market = torch.stack([uniform(*ranges.get(name, (-0.05, 0.05))) for name in MARKET_FEATURES], dim=-1)
    regime = torch.randint(0, 3, (accounts, symbols), generator=generator)
    first = MARKET_FEATURES.index("regime_low")
    market[..., first : first + 3] = torch.nn.functional.one_hot(regime, 3).float()
    account = torch.stack([uniform(-1, 1), uniform(0, 2), uniform(-1, 1), uniform(0, 1)], dim=-1)
    assert account.shape[-1] == len(ACCOUNT_FEATURES)
    return Observation(market, account, uniform(0, 1) > 0.2)


def manifest_of(policy: Policy) -> PolicyManifest:
    return PolicyManifest(
        kind=policy.kind,
        line="checks",
        universe="checks",
        symbols=("AAA", "BBB"),
        observation_schema=policy.observation_schema(),
        architecture=policy.architecture,
        config={},
        inputs_hash="0" * 16,
        data_hash="0" * 16,
        code_version="1",
        knows_until=datetime(2024, 1, 1, tzinfo=UTC),
    )


def parts(observation: Observation, accounts: slice, symbols: slice) -> Observation:
    return Observation(*(tensor[accounts, symbols] for tensor in observation.tensors().values()))


def assert_same_decision(found: Decision, expected: Decision) -> None:
    assert torch.equal(found.action, expected.action)
    assert torch.equal(found.hold, expected.hold)
    for name in ("weight", "strength", "probabilities"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=0, atol=ROUNDING)


class PolicyChecks:
    """Subclasses give `policy`: ready to decide, and not so narrow that it takes the same action everywhere."""

    @pytest.fixture
    def policy(self) -> Policy:
        raise NotImplementedError

    @pytest.fixture(params=range(2))
    def observation(self, request: pytest.FixtureRequest) -> Observation:
        return observe(request.param)

    def test_answers_in_the_shapes_and_types_of_a_decision(self, policy: Policy, observation: Observation) -> None:
        decision = policy.act(observation)
        assert {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in decision._asdict().items()} == {
            "weight": ((ACCOUNTS, SYMBOLS), torch.float32),
            "hold": ((ACCOUNTS, SYMBOLS), torch.bool),
            "action": ((ACCOUNTS, SYMBOLS), torch.int64),
            "strength": ((ACCOUNTS, SYMBOLS), torch.float32),
            "probabilities": ((ACCOUNTS, SYMBOLS, len(Action)), torch.float32),
        }

    def test_takes_more_than_one_action_in_these_checks(self, policy: Policy) -> None:
        actions = torch.cat([policy.act(observe(seed)).action for seed in range(3)])
        assert len(set(actions.flatten().tolist())) > 1, "checks on a policy that never changes its mind would prove nothing"

    def test_probabilities_and_strength_are_what_they_say(self, policy: Policy, observation: Observation) -> None:
        decision = policy.act(observation)
        assert ((decision.probabilities >= 0) & (decision.probabilities <= 1)).all()
        torch.testing.assert_close(decision.probabilities.sum(-1), torch.ones(ACCOUNTS, SYMBOLS))
        assert ((decision.strength >= 0) & (decision.strength <= 1)).all()

    def test_a_masked_symbol_is_held(self, policy: Policy, observation: Observation) -> None:
        decision = policy.act(observation)
        assert (~observation.mask).any()
        assert decision.hold[~observation.mask].all()
        assert (decision.action[~observation.mask] == Action.HOLD).all()

    def test_what_a_masked_symbol_shows_changes_nothing_elsewhere(self, policy: Policy, observation: Observation) -> None:
        market = torch.where(observation.mask.unsqueeze(-1), observation.market, torch.full_like(observation.market, 1e6))
        disturbed = policy.act(observation._replace(market=market))
        expected = policy.act(observation)
        seen = observation.mask
        assert_same_decision(Decision(*(tensor[seen] for tensor in disturbed)), Decision(*(tensor[seen] for tensor in expected)))

    def test_hold_and_action_agree(self, policy: Policy, observation: Observation) -> None:
        decision = policy.act(observation)
        assert torch.equal(decision.hold, decision.action == Action.HOLD)

    def test_never_asks_for_more_than_w_max(self, policy: Policy, observation: Observation) -> None:
        weight = policy.act(observation).weight
        assert torch.isfinite(weight).all()
        assert (weight.abs() <= policy.architecture["w_max"] + 1e-7).all()

    def test_asks_for_a_short_only_where_it_may(self, policy: Policy, observation: Observation) -> None:
        if not policy.architecture["may_short"]:
            assert (policy.act(observation).weight >= 0).all()

    def test_the_same_observation_gets_the_same_answer_to_the_bit(self, policy: Policy, observation: Observation) -> None:
        first, second = policy.act(observation), policy.act(observation)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))

    def test_deciding_draws_no_random_number(self, policy: Policy, observation: Observation) -> None:
        before = torch.get_rng_state()
        policy.act(observation)
        assert torch.equal(torch.get_rng_state(), before)

    def test_accounts_and_symbols_are_decided_on_apart(self, policy: Policy, observation: Observation) -> None:
        whole = policy.act(observation)
        for accounts in (slice(0, 1), slice(2, 5)):
            for symbols in (slice(0, 1), slice(3, 7)):
                alone = policy.act(parts(observation, accounts, symbols))
                assert_same_decision(alone, Decision(*(tensor[accounts, symbols] for tensor in whole)))

    def test_reordered_symbols_get_reordered_decisions(self, policy: Policy, observation: Observation) -> None:
        order = torch.arange(SYMBOLS).flip(0)
        reordered = policy.act(Observation(*(tensor[:, order] for tensor in observation.tensors().values())))
        assert_same_decision(reordered, Decision(*(tensor[:, order] for tensor in policy.act(observation))))

    def test_comes_back_from_storage_to_the_bit(self, policy: Policy, observation: Observation, tmp_path: Path) -> None:
        manifest = manifest_of(policy)
        policy.save(tmp_path, manifest)
        stored, read = load_policy(tmp_path)
        assert read == manifest
        assert type(stored) is type(policy)
        assert stored.architecture == policy.architecture
        assert all(torch.equal(a, b) for a, b in zip(stored.act(observation), policy.act(observation), strict=True))

    def test_is_stored_without_a_pickle(self, policy: Policy, tmp_path: Path) -> None:
        policy.save(tmp_path, manifest_of(policy))
        assert {path.name for path in tmp_path.iterdir()} == {"policy.safetensors", "policy.json"}

    def test_storing_twice_gives_the_same_bytes(self, policy: Policy, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            policy.save(tmp_path / name, manifest_of(policy))
        for name in ("policy.safetensors", "policy.json"):
            assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()

    def test_an_unreadable_schema_version_is_refused(self, policy: Policy, tmp_path: Path) -> None:
        policy.save(tmp_path, manifest_of(policy))
        content = json.loads((tmp_path / "policy.json").read_text())
        (tmp_path / "policy.json").write_text(json.dumps(content | {"schema_version": PolicyManifest.present_version() + 1}))
        with pytest.raises(StorageError, match="schema_version"):
            load_policy(tmp_path)

    def test_its_architecture_is_plain_json(self, policy: Policy) -> None:
        assert json.loads(json.dumps(policy.architecture)) == policy.architecture
