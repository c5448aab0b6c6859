"""The simulator as Gymnasium environments, by the checks of Gymnasium and of Stable-Baselines3."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from gymnasium.spaces import Dict
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics
from torchrl.envs import GymWrapper

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


FIGURES = ("log_return", "equity", "fees", "interest", "turnover")

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


@BOTH
def test_without_a_seed_environments_made_alike_begin_differently_and_say_how_to_begin_again(
    make: Callable[[], AccountEnv],
) -> None:
    def starts(env: AccountEnv, seed: int | None) -> list[int]:
        """Rows of eight episodes, only the first of which is given the seed."""
        rows = []
        for episode in range(8):
            env.reset(seed=None if episode else seed)
            rows.append(env._simulator.accounts.row.item())
        return rows

    first, other = make(), make()
    rows = starts(first, None)
    assert rows != starts(other, None)
    assert rows == starts(other, first.np_random_seed)


@BOTH
def test_a_copy_goes_on_as_the_original_does(make: Callable[[], AccountEnv]) -> None:
    def rest(env: AccountEnv) -> list[float]:
        """Rewards of the episode in progress, and of the next."""
        actions = np.random.default_rng(0).uniform(-1, 1, (12, *env.action_space.shape)).astype(np.float32)
        rewards = [env.step(action)[1] for action in actions[:5]]
        env.reset()
        return rewards + [env.step(action)[1] for action in actions[5:]]

    env = make()
    env.reset(seed=1)
    env.step(np.full(env.action_space.shape, 0.5, dtype=np.float32))
    copied, sent = copy.deepcopy(env), pickle.loads(pickle.dumps(env))  # noqa: S301 - as to a worker process
    assert rest(env) == rest(copied) == rest(sent)


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
        assert isinstance(observation, dict)
        assert observation["forecast"].shape == (4, 5, 2)
        assert observation["embedding"].shape == (4, 5, 3)

    def test_fields_that_are_empty_in_a_market_are_left_out(self) -> None:
        view = FieldsView(MARKET, MarketTensors.of(steady_panel(assets=2), torch.float32))
        assert isinstance(view.space, Dict)
        assert set(MARKET.fields) - set(view.space.spaces) == {"context", "forecast", "embedding"}

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

    def test_what_there_was_to_say_of_an_episode_stays_with_its_last_step(self) -> None:
        env = many(accounts=3, length=4)
        env.reset(seed=0)
        for _ in range(4):
            *_, info = env.step(np.zeros((3, env.single_action_space.shape[0]), dtype=np.float32))
        assert info["_final_info"].all()
        np.testing.assert_array_equal(info["final_info"]["equity"], info["equity"])
        one_by_one = DictInfoToList(env)._convert_info_to_list(info)
        assert [account["final_info"]["equity"] for account in one_by_one] == info["equity"].tolist()

    def test_what_is_given_may_be_written_to(self) -> None:
        untouched, written = many(), many()
        for env in (untouched, written):
            env.reset(seed=0)
        actions = np.full((4, written.single_action_space.shape[0]), 0.5, dtype=np.float32)
        for _ in range(10):
            expected = untouched.step(actions)
            observation, rewards, terminated, truncated, info = written.step(actions)
            assert isinstance(observation, dict)
            np.testing.assert_array_equal(rewards, expected[1])
            np.testing.assert_array_equal(terminated, expected[2])
            np.testing.assert_array_equal(info["equity"], expected[4]["equity"])
            for array in (*observation.values(), rewards, terminated, truncated, *(info[name] for name in FIGURES)):
                array[...] = 1

    def test_each_may_be_asked_to_begin_at_a_row_of_its_own(self) -> None:
        env = many()
        observation, _ = env.reset(options={"row": [3, 1, 2, 0]})
        assert isinstance(observation, dict)
        clock = MarketTensors.of(panel_with_everything(2), torch.float32).clock
        np.testing.assert_array_equal(observation["clock"], clock[[3, 1, 2, 0]].numpy())

    @pytest.mark.parametrize(
        "options",
        [{"row": 1.5}, {"row": True}, {"row": None}, {"row": "first"}, {"row": [1, 2]}, {"rows": 3}, {"reset_mask": np.ones(4)}],
        ids=["fraction", "truth", "nothing", "text", "too few", "misspelt", "some"],
    )
    def test_a_beginning_that_cannot_be_is_refused(self, options: dict[str, object]) -> None:
        with pytest.raises(ValueError, match="`row`"):
            many().reset(options=options)

    def test_episode_statistics_are_those_of_whole_episodes(self) -> None:
        env = RecordEpisodeStatistics(many(accounts=2, length=5))
        env.reset(seed=0)
        total = np.zeros(2)
        for _ in range(5):
            _, rewards, *_, info = env.step(env.action_space.sample())
            total += rewards
        assert info["episode"]["l"].tolist() == [5, 5]
        np.testing.assert_allclose(info["episode"]["r"], total, rtol=1e-5)

    def test_torchrl_wraps_them_as_it_does_gymnasiums_own(self) -> None:
        env = GymWrapper(many(accounts=3, length=5))
        env.set_seed(0)
        run = env.rollout(12, break_when_any_done=False)
        assert run.batch_size == (3, 12)
        assert set(run["next", "truncated"].squeeze(-1).nonzero()[:, 1].tolist()) == {4, 9}
        last, next_first = run["next", "portfolio"][:, 4], run["portfolio"][:, 5]
        assert (next_first[:, 1] == 1.0).all(), "initial balance"
        assert (last[:, 1] != 1.0).all(), "what was seen last, not what the next episode begins with"

    def test_one_account_is_another_environment(self) -> None:
        market = MarketTensors.of(steady_panel(), torch.float32)
        with pytest.raises(ValueError, match="the simulator has 2"):
            AccountEnv(MarketSimulator(market, FRICTION, 2), FieldsView(MARKET, market))
