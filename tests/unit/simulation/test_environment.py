"""The simulator as a TorchRL environment: what TorchRL expects of one, and the simulator's own behaviour unchanged."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torch import Tensor
from torchrl.collectors import Collector
from torchrl.envs import Compose, RewardSum, StepCounter, TransformedEnv, check_env_specs
from torchrl.modules import ValueOperator
from torchrl.objectives.value import GAE

from tests.unit.simulation.rich_panels import panel_with_everything
from tests.unit.simulation.test_simulator import FRICTION, steady_panel
from toto_ops.simulation.environment import MarketEnv
from toto_ops.simulation.episodes import Episodes
from toto_ops.simulation.market_tensors import MarketTensors
from toto_ops.simulation.observation_schema import MARKET, SCHEMAS, STATE, ObservationSchema
from toto_ops.simulation.simulator import MarketSimulator

BATCH = 6


def simulator(schema: ObservationSchema = MARKET, length: int = 8, dtype: torch.dtype = torch.float32) -> MarketSimulator:
    market = MarketTensors.of(panel_with_everything(2), dtype)
    return MarketSimulator(market, FRICTION, BATCH, episodes=Episodes(length), schema=schema)


@pytest.fixture
def env() -> MarketEnv:
    return MarketEnv(simulator())


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=list(SCHEMAS))
def test_meets_the_specs_it_declares(schema: ObservationSchema) -> None:
    env = MarketEnv(simulator(schema))
    check_env_specs(env, seed=0)
    assert set(env.observation_spec.keys()) == set(schema.fields)


def test_a_rollout_goes_on_through_the_ends_of_episodes(env: MarketEnv) -> None:
    env.set_seed(0)
    run = env.rollout(20, break_when_any_done=False)
    assert run.batch_size == (BATCH, 20)
    ends = run["next", "truncated"].squeeze(-1).nonzero()[:, 1]
    assert set(ends.tolist()) == {7, 15}
    assert (run["account"][:, 8, :, 0] == 0).all(), "flat again at the beginning of the second episode"
    assert torch.equal(run["next", "market"][:, 3], run["market"][:, 4])
    assert not torch.equal(run["next", "clock"][:, 7], run["clock"][:, 8]), "the last close of one episode, the first of another"


def test_the_same_seeds_give_the_same_rollout_to_the_bit(env: MarketEnv) -> None:
    def run(seed: int) -> TensorDict:
        torch.manual_seed(seed)
        env.set_seed(seed)
        return env.rollout(20, break_when_any_done=False)

    first, again, other = run(3), run(3), run(4)
    assert (first == again).all()
    assert not (first == other).all()


def test_a_seed_repeats_the_rows_and_leaves_the_random_numbers_of_others_alone(env: MarketEnv) -> None:
    def run() -> TensorDict:
        env.set_seed(3)
        return env.rollout(20, break_when_any_done=False)

    torch.manual_seed(0)
    first, again = run(), run()
    assert torch.equal(first["clock"], again["clock"])
    assert not torch.equal(first["action"], again["action"]), "drawn from torch's global generator, as TorchRL does"


def test_an_action_of_one_is_a_full_position() -> None:
    market = MarketTensors.of(steady_panel(), torch.float32)
    env = MarketEnv(MarketSimulator(market, FRICTION, 1))
    beginning = env.reset()
    moved = env.step(beginning.set("action", torch.tensor([[1.0, -0.5]])))["next"]
    alone = MarketSimulator(market, FRICTION, 1)
    alone.reset()
    observation, transition = alone.step(torch.tensor([[FRICTION.w_max, -0.5 * FRICTION.w_max]]))
    assert torch.equal(moved["account"], observation.account)
    assert torch.equal(moved["reward"].squeeze(-1), transition.reward)


def test_a_partial_reset_leaves_the_others_where_they_are(env: MarketEnv) -> None:
    env.set_seed(1)
    before = env.step(env.rand_action(env.reset()))["next"]
    chosen = torch.tensor([[True], [False]] * 3)
    after = env.reset(before.clone().set("_reset", chosen), set_state=False)
    kept = ~chosen.squeeze(-1)
    for name in MARKET.fields:
        assert torch.equal(after[name][kept], before[name][kept]), name
    assert (after["portfolio"][chosen.squeeze(-1), 1] == 1.0).all(), "initial balance"


def test_a_collector_gathers_frames(env: MarketEnv) -> None:
    collector = Collector(env, None, frames_per_batch=5 * BATCH, total_frames=10 * BATCH)
    batches = [batch.clone() for batch in collector]
    collector.shutdown()
    assert [tuple(batch.batch_size) for batch in batches] == [(BATCH, 5), (BATCH, 5)]
    assert all(batch["next", "reward"].isfinite().all() for batch in batches)


def test_rewards_and_steps_of_an_episode_are_added_up(env: MarketEnv) -> None:
    counted = TransformedEnv(env, Compose(RewardSum(), StepCounter()))
    check_env_specs(counted)
    counted.set_seed(0)
    run = counted.rollout(20, break_when_any_done=False)
    assert run["next", "step_count"][0, :, 0].tolist() == [*range(1, 9), *range(1, 9), *range(1, 5)]
    torch.testing.assert_close(run["next", "episode_reward"][:, 7], run["next", "reward"][:, :8].sum(dim=1))
    torch.testing.assert_close(run["next", "episode_reward"][:, 15], run["next", "reward"][:, 8:16].sum(dim=1))


def test_advantages_are_estimated_on_a_rollout(env: MarketEnv) -> None:
    run = env.rollout(20, break_when_any_done=False)
    value = ValueOperator(torch.nn.Linear(6, 1), in_keys=["portfolio"])
    advantage = GAE(gamma=0.99, lmbda=0.95, value_network=value)(run)["advantage"]
    assert advantage.shape == (BATCH, 20, 1)
    assert advantage.isfinite().all()


def test_gradients_of_a_policy_go_through_a_rollout_as_finite_differences_say() -> None:
    env = MarketEnv(simulator(length=10, dtype=torch.float64))
    features = env.observation_spec["market"].shape[-1]

    def growth(weights: Tensor) -> Tensor:
        """Log growth of all accounts over ten steps, by a policy that sees the market and its own positions."""
        policy = TensorDictModule(
            lambda market, account: (market.double() @ weights[:features] + account.double() @ weights[features:]).tanh(),
            in_keys=["market", "account"],
            out_keys=["action"],
        )
        env.set_seed(0)
        return env.rollout(10, policy)["next", "reward"].sum()

    weights = 0.01 * torch.randn(features + 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(growth(weights.requires_grad_()), weights)
    with torch.no_grad():
        ways = torch.randn(4, len(weights), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        differences = torch.stack([(growth(weights + 1e-5 * way) - growth(weights - 1e-5 * way)) / 2e-5 for way in ways])
    assert gradient.abs().max() > 0.1
    torch.testing.assert_close(ways @ gradient, differences, rtol=1e-4, atol=1e-5)


def test_what_is_given_may_be_written_to() -> None:
    untouched, written = MarketEnv(simulator()), MarketEnv(simulator())
    for env in (untouched, written):
        env.set_seed(0)
    expected, given = untouched.reset(), written.reset()
    actions = torch.full((BATCH, 5), 0.5)
    for _ in range(5):
        expected = untouched.step(expected.set("action", actions))["next"]
        given = written.step(given.set("action", actions))["next"]
        assert torch.equal(given["reward"], expected["reward"])
        kept = given.clone()
        for tensor in given.values():
            tensor.fill_(1)
        given = kept


@pytest.mark.parametrize("shape", [(BATCH, 1), (BATCH, 4), (BATCH, 5, 1)], ids=["one for all", "too few", "too deep"])
def test_an_action_of_another_shape_is_refused(env: MarketEnv, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"actions must be \(6, 5\)"):
        env.step(env.reset().set("action", torch.zeros(shape)))


def test_a_run_without_a_seed_is_refused(env: MarketEnv) -> None:
    with pytest.raises(ValueError, match="a seed must be given"):
        env._set_seed(None)


def test_the_34_feature_state_is_the_default() -> None:
    env = MarketEnv(MarketSimulator(MarketTensors.of(steady_panel(), torch.float32), FRICTION, 2))
    assert set(env.observation_spec.keys()) == set(STATE.fields)


def test_an_action_that_is_not_a_number_is_refused(env: MarketEnv) -> None:
    asked = env.reset().set("action", torch.full((BATCH, 5), float("nan")))
    with pytest.raises(ValueError, match="must be finite"):
        env.step(asked)
