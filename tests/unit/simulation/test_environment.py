"""The simulator as a TorchRL environment: what TorchRL expects of one, and the simulator's own behaviour unchanged."""

from __future__ import annotations

import pytest
import torch
from tensordict import TensorDict
from torchrl.collectors import Collector
from torchrl.envs import check_env_specs

from tests.unit.simulation.rich_panels import panel_with_everything
from tests.unit.simulation.test_simulator import FRICTION, steady_panel
from toto_ops.simulation.environment import MarketEnv
from toto_ops.simulation.episodes import Episodes
from toto_ops.simulation.market_tensors import MarketTensors
from toto_ops.simulation.observation_schema import MARKET, SCHEMAS, STATE, ObservationSchema
from toto_ops.simulation.simulator import MarketSimulator

BATCH = 6


def simulator(schema: ObservationSchema = MARKET, length: int = 8) -> MarketSimulator:
    market = MarketTensors.of(panel_with_everything(2), torch.float32)
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


def test_a_run_without_a_seed_is_refused(env: MarketEnv) -> None:
    with pytest.raises(ValueError, match="a seed must be given"):
        env._set_seed(None)


def test_the_34_feature_state_is_the_default() -> None:
    env = MarketEnv(MarketSimulator(MarketTensors.of(steady_panel(), torch.float32), FRICTION, 2))
    assert set(env.observation_spec.keys()) == set(STATE.fields)


def test_an_action_that_is_not_a_number_is_refused(env: MarketEnv) -> None:
    asked = env.reset().set("action", torch.full((BATCH, 2), float("nan")))
    with pytest.raises(ValueError, match="must be finite"):
        env.step(asked)
