"""The simulator as Gymnasium environments, by the checks of Gymnasium and of Stable-Baselines3."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, VectorEnv

from tests.unit.simulation.rich_panels import panel_with_everything
from tests.unit.simulation.test_simulator import FRICTION, steady_panel
from toto_ops.features.state import STATE_FEATURES
from toto_ops.simulation.episodes import Episodes
from toto_ops.simulation.gymnasium_envs import AccountEnv, AccountsEnv, FieldsView, StateView
from toto_ops.simulation.market_tensors import MarketTensors
from toto_ops.simulation.observation_schema import MARKET
from toto_ops.simulation.simulator import MarketSimulator


def many(accounts: int = 4, length: int = 6) -> AccountsEnv:
    market = MarketTensors.of(panel_with_everything(2), torch.float32)
    view = FieldsView(MARKET, market)
    return AccountsEnv(MarketSimulator(market, FRICTION, accounts, episodes=Episodes(length), schema=MARKET), view)


def multi_asset() -> AccountEnv:
    market = MarketTensors.of(panel_with_everything(2), torch.float32)
    return AccountEnv(MarketSimulator(market, FRICTION, 1, episodes=Episodes(10), schema=MARKET), FieldsView(MARKET, market))


def single_asset() -> AccountEnv:
    market = MarketTensors.of(steady_panel(assets=1), torch.float32)
    return AccountEnv(MarketSimulator(market, FRICTION, 1, episodes=Episodes(20)), StateView(market))


BOTH = pytest.mark.parametrize("make", [multi_asset, single_asset], ids=["multi-asset", "single-asset"])


@BOTH
@pytest.mark.filterwarnings("ignore:.*Box observation space:UserWarning")
def test_passes_gymnasiums_own_check(make: Callable[[], AccountEnv]) -> None:
    check_env(make(), skip_render_check=True)


@BOTH
@pytest.mark.filterwarnings("ignore:Your observation:UserWarning")
def test_passes_the_check_of_stable_baselines(make: Callable[[], AccountEnv]) -> None:
    from stable_baselines3.common.env_checker import check_env as check_for_stable_baselines

    check_for_stable_baselines(make())


@pytest.mark.parametrize(
    ("make", "policy"), [(multi_asset, "MultiInputPolicy"), (single_asset, "MlpPolicy")], ids=["multi-asset", "single-asset"]
)
def test_stable_baselines_learns_on_it(make: Callable[[], AccountEnv], policy: str) -> None:
    from stable_baselines3 import PPO

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learner = PPO(policy, make(), n_steps=32, batch_size=16, n_epochs=1, seed=0, device="cpu").learn(64)
    assert learner.num_timesteps == 64


@BOTH
def test_a_seed_gives_the_same_episode_to_the_bit(make: Callable[[], AccountEnv]) -> None:
    def episode(seed: int) -> list[float]:
        env = make()
        env.reset(seed=seed)
        env.action_space.seed(seed)
        return [env.step(env.action_space.sample())[1] for _ in range(10)]

    assert episode(5) == episode(5)
    assert episode(5) != episode(6)


def test_a_flat_state_has_the_34_features_in_their_order() -> None:
    env = single_asset()
    state, _ = env.reset(options={"row": 12})
    assert isinstance(state, np.ndarray)
    named = dict(zip(STATE_FEATURES, state.tolist(), strict=True))
    assert named["return_1"] == named["macro_sentiment"] == 12.0, "stamped with the row"
    assert (named["position"], named["leverage"], named["cash"], named["days_since_trade"]) == (0.0, 0.0, 1.0, 1.0)


def test_a_flat_state_is_of_one_symbol() -> None:
    with pytest.raises(ValueError, match="a flat state is of one symbol, the market has 2"):
        StateView(MarketTensors.of(steady_panel(assets=2), torch.float32))


def test_the_ends_of_an_episode_are_told_apart() -> None:
    env = single_asset()
    env.reset(seed=0)
    ends = [env.step(np.zeros(1, dtype=np.float32))[2:4] for _ in range(20)]
    assert ends == [(False, False)] * 19 + [(False, True)]


@pytest.mark.parametrize(
    "action", [np.float32(0.0), np.zeros(2, dtype=np.float32), np.zeros((1, 1), dtype=np.float32)], ids=["number", "two", "batch"]
)
def test_an_action_of_another_shape_is_refused(action: np.ndarray) -> None:
    env = single_asset()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="one for each account and symbol"):
        env.step(action)


def test_an_action_beyond_its_bounds_is_taken_for_the_nearest_within() -> None:
    within, beyond = single_asset(), single_asset()
    for env in (within, beyond):
        env.reset(seed=0)
    assert within.step(np.array([1.0]))[1] == beyond.step(np.array([50.0]))[1]


def test_an_action_that_is_not_a_number_is_refused() -> None:
    env = single_asset()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="must be finite"):
        env.step(np.array([np.nan], dtype=np.float32))


class TestManyAccounts:
    def test_spaces_hold_what_is_given(self) -> None:
        env = many()
        assert isinstance(env, VectorEnv)
        assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
        observation, _ = env.reset(seed=0)
        assert env.observation_space.contains(observation)
        observation, rewards, terminated, truncated, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        assert rewards.shape == terminated.shape == truncated.shape == info["equity"].shape == (4,)
        assert "embedding" not in env.single_observation_space.spaces, "empty in this market"

    def test_what_was_seen_last_is_kept_when_accounts_restart(self) -> None:
        env = many()
        env.reset(options={"row": 3})
        for step in range(6):
            observation, _, _, truncated, info = env.step(np.full((4, env.single_action_space.shape[0]), 0.5, dtype=np.float32))
            assert truncated.all() == (step == 5)
        assert info["_final_obs"].all()
        market = MarketTensors.of(panel_with_everything(2), torch.float32)
        for last in info["final_obs"]:
            assert env.single_observation_space.contains(last)
            np.testing.assert_array_equal(last["clock"], market.clock[9].numpy())
        assert isinstance(observation, dict)
        assert (observation["portfolio"][:, 1] == 1.0).all(), "initial balance"

    def test_each_fares_as_a_single_environment_does(self) -> None:
        together, alone = many(accounts=3), multi_asset()
        together.reset(options={"row": 4})
        alone.reset(options={"row": 4})
        for action in np.random.default_rng(0).uniform(-1, 1, (6, alone.action_space.shape[0])).astype(np.float32):
            _, rewards, *_ = together.step(np.tile(action, (3, 1)))
            _, reward, *_ = alone.step(action)
            assert rewards.tolist() == [np.float32(reward)] * 3

    def test_one_account_is_another_environment(self) -> None:
        market = MarketTensors.of(steady_panel(), torch.float32)
        with pytest.raises(ValueError, match="the simulator has 2"):
            AccountEnv(MarketSimulator(market, FRICTION, 2), FieldsView(MARKET, market))
