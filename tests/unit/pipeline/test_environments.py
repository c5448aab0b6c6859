"""Environments by name: of the served market of a universe, or of any panel."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from tests.unit.serving import market_samples
from tests.unit.simulation.market_paths import make_rules
from tests.unit.simulation.test_simulator import steady_panel
from toto_ops.errors import ConfigError, StorageError, SymbolNameError
from toto_ops.features.panel import Panel
from toto_ops.features.panel_builder import save_panel
from toto_ops.pipeline.environments import MULTI_ASSET, SINGLE_ASSET, market_env, register_environments
from toto_ops.serving.market_view import publish_market
from toto_ops.simulation.gymnasium_envs import AccountEnv, AccountsEnv
from toto_ops.simulation.rules import TradingRules
from toto_ops.storage.store import ArtefactKey, ArtefactStore

PANEL = steady_panel(rows=40, assets=3)
RULES = make_rules(cost_rate=0.001)


@pytest.fixture
def served_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose universe `crypto` serves the sample market."""
    monkeypatch.setenv("TOTO_HOME", str(tmp_path))
    serve(tmp_path, "crypto", market_samples.panel())
    return tmp_path


def serve(home: Path, universe: str, panel: Panel) -> None:
    store = ArtefactStore(home)
    stored = store.put(ArtefactKey(universe, "panel"), "inputs", lambda folder: save_panel(panel, folder))
    publish_market(store, market_samples.snapshot().model_copy(update={"universe": universe}), stored)


def test_many_symbols_by_name() -> None:
    env = gymnasium.make(MULTI_ASSET, panel=PANEL, rules=RULES, schema="state34/1", episode_length=5)
    observation, _ = env.reset(seed=0)
    assert isinstance(env.unwrapped, AccountEnv)
    assert {name: field.shape for name, field in observation.items()} == {"market": (3, 30), "account": (3, 4), "mask": (3,)}


def test_one_symbol_by_name() -> None:
    env = gymnasium.make(SINGLE_ASSET, panel=PANEL, rules=RULES, symbol="S1")
    assert env.reset(seed=0)[0].shape == (34,)


@pytest.mark.parametrize(("name", "choice"), [(MULTI_ASSET, {}), (SINGLE_ASSET, {"symbol": "S2"})], ids=["multi", "single"])
def test_many_accounts_by_name(name: str, choice: dict[str, str]) -> None:
    envs = gymnasium.make_vec(
        name, num_envs=5, vectorization_mode="vector_entry_point", panel=PANEL, rules=RULES, episode_length=5, **choice
    )
    assert isinstance(envs.unwrapped, AccountsEnv)
    observation, _ = envs.reset(seed=0)
    assert envs.observation_space.contains(observation)
    assert envs.step(envs.action_space.sample())[1].shape == (5,)


@pytest.mark.parametrize("accounts", [0, -1])
@pytest.mark.parametrize(("name", "choice"), [(MULTI_ASSET, {}), (SINGLE_ASSET, {"symbol": "S2"})], ids=["multi", "single"])
def test_there_is_at_least_one_account(name: str, choice: dict[str, str], accounts: int) -> None:
    with pytest.raises(ConfigError, match=f"at least one account, got `num_envs` {accounts}.* Remedy: give 1 or more"):
        gymnasium.make_vec(name, num_envs=accounts, vectorization_mode="vector_entry_point", panel=PANEL, rules=RULES, **choice)


@pytest.mark.parametrize("symbols", [None, ("S2", "S0")], ids=["all", "some"])
def test_they_say_which_column_is_which_symbol(symbols: tuple[str, ...] | None) -> None:
    env = gymnasium.make(MULTI_ASSET, panel=PANEL, rules=RULES, symbols=symbols)
    observation, _ = env.reset(seed=0)
    columns = [PANEL.symbols.index(symbol) for symbol in env.get_wrapper_attr("symbols")]
    assert columns == ([0, 1, 2] if symbols is None else [0, 2]), "in the order of the market"
    np.testing.assert_array_equal(observation["market"], PANEL.features[0][columns])


def test_the_same_market_for_torchrl() -> None:
    env = market_env(4, panel=PANEL, rules=RULES, episode_length=5)
    envs = gymnasium.make_vec(MULTI_ASSET, num_envs=4, panel=PANEL, rules=RULES, episode_length=5)
    env.set_seed(7)
    begun, seen = env.reset(), envs.reset(seed=7)[0]
    for action in np.random.default_rng(0).uniform(-1, 1, (5, 4, 3)).astype(np.float32):
        moved = env.step(begun.set("action", torch.from_numpy(action)))
        np.testing.assert_array_equal(moved["account"], seen["account"])
        seen, rewards, *_ = envs.step(action)
        np.testing.assert_array_equal(moved["next", "reward"].squeeze(-1), rewards)
        begun = moved["next"].exclude("reward")


@pytest.mark.parametrize(
    "rules",
    [
        TradingRules.stacked([make_rules(cost_rate=rate, margin_rate=rate) for rate in (0.0, 0.01)]),
        replace(RULES, cost_rate=torch.tensor([0.0, 0.001], dtype=torch.float64)),
    ],
    ids=["accounts", "symbols"],
)
def test_rules_of_other_accounts_or_symbols_are_refused(rules: TradingRules) -> None:
    with pytest.raises(ConfigError, match=r"`rules\.cost_rate` is .* of other accounts or symbols than these \(5, 3\)"):
        gymnasium.make_vec(MULTI_ASSET, num_envs=5, panel=PANEL, rules=rules)


def test_each_account_may_have_rules_of_its_own() -> None:
    rules = TradingRules.stacked([make_rules(cost_rate=rate) for rate in (0.0, 0.01)])
    envs = gymnasium.make_vec(MULTI_ASSET, num_envs=2, panel=PANEL, rules=rules)
    envs.reset(seed=0)
    free, dear = envs.step(np.ones((2, 3), dtype=np.float32))[-1]["fees"]
    assert free == 0.0 < dear


def test_stable_baselines_makes_them_by_name() -> None:
    from stable_baselines3.common.env_util import make_vec_env

    envs = make_vec_env(SINGLE_ASSET, 3, seed=0, env_kwargs={"panel": PANEL, "rules": RULES, "symbol": "S1", "episode_length": 5})
    assert envs.reset().shape == (3, 34)


def test_nothing_is_drawn() -> None:
    assert gymnasium.make(MULTI_ASSET, panel=PANEL, rules=RULES, render_mode=None).render_mode is None
    with pytest.raises(TypeError, match="takes no `render_mode`"):
        gymnasium.make(MULTI_ASSET, panel=PANEL, rules=RULES, render_mode="rgb_array")


def test_the_served_market_of_a_universe(served_home: Path) -> None:
    env = gymnasium.make(MULTI_ASSET, universe="crypto", symbols=("AAA", "CCC"))
    observation, _ = env.reset(seed=0)
    np.testing.assert_array_equal(observation["market"], market_samples.panel().features[0][[0, 2]])
    assert env.action_space.shape == (2,)


def test_each_symbol_of_a_combined_universe_costs_what_it_does_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = replace(market_samples.panel(), parts=("crypto", "stocks", "crypto"))
    serve(tmp_path, "multi", panel)
    monkeypatch.setenv("TOTO_HOME", str(tmp_path))
    env = gymnasium.make(MULTI_ASSET, universe="multi", symbols=("AAA", "BBB"))

    def fees(action: tuple[float, float]) -> float:
        env.reset(seed=0)
        return float(env.step(np.array(action, dtype=np.float32))[-1]["fees"])

    assert fees((1.0, 0.0)) > fees((0.0, 1.0)) > 0.0
    assert fees((1.0, 1.0)) == pytest.approx(fees((1.0, 0.0)) + fees((0.0, 1.0)), rel=0.01)


def test_only_bars_of_the_span_asked_for() -> None:
    tenth_close = PANEL.close_time[9].item().replace(tzinfo=UTC)
    env = gymnasium.make(MULTI_ASSET, panel=PANEL, rules=RULES, until=tenth_close)
    env.reset(seed=0)
    steps = 0
    while not env.step(np.zeros(3, dtype=np.float32))[3]:
        steps += 1
    assert steps + 1 == 9, "from the first of ten closes to the last"


def test_a_universe_that_serves_nothing_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTO_HOME", str(tmp_path))
    with pytest.raises(StorageError, match="has no market data to serve from"):
        gymnasium.make(MULTI_ASSET, universe="crypto")


@pytest.mark.parametrize(
    "choice", [{}, {"panel": PANEL}, {"universe": "crypto", "panel": PANEL, "rules": RULES}], ids=["nothing", "no-rules", "both"]
)
def test_either_a_universe_or_a_panel_with_rules(choice: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="give either `universe`, or `panel` and `rules`"):
        gymnasium.make(MULTI_ASSET, **choice)


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ({"lenght": 5}, "`lenght` is unknown"),
        ({"symbols": "S1"}, "`symbols`"),
        ({"symbols": ()}, "`symbols`"),
        ({"symbols": ("S1", "S1")}, "named twice"),
        ({"episode_length": 0}, "`episode_length`"),
        ({"episode_length": 2.5}, "`episode_length`"),
        ({"initial_capital": 0.0}, "`initial_capital`"),
        ({"initial_capital": float("nan")}, "`initial_capital`"),
        ({"after": datetime(2024, 1, 1)}, "`after`"),  # noqa: DTZ001 - without a zone on purpose
        ({"reward": "sharpe"}, "`reward`"),
        ({"reward": {"turnover": float("inf")}}, r"`reward\.turnover`"),
    ],
    ids=[
        "unknown",
        "text",
        "none",
        "twice",
        "no step",
        "half a step",
        "no money",
        "not a number",
        "no zone",
        "no reward",
        "endless penalty",
    ],
)
def test_an_argument_that_does_not_fit_is_named(argument: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=f"environment: .*{says}.* Remedy"):
        gymnasium.make(MULTI_ASSET, panel=PANEL, rules=RULES, **argument)


def test_one_symbol_of_several_must_be_named() -> None:
    with pytest.raises(ConfigError, match=r"the market has 3 symbols.* name one with `symbol`"):
        gymnasium.make(SINGLE_ASSET, panel=PANEL, rules=RULES)
    with pytest.raises(ConfigError, match="both `symbol` and `symbols` are given"):
        gymnasium.make(SINGLE_ASSET, panel=PANEL, rules=RULES, symbol="S1", symbols=("S2",))


def test_a_universe_that_does_not_exist_is_not_to_be_retrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTO_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="universe 'bonds' does not exist"):
        gymnasium.make(MULTI_ASSET, universe="bonds")


def test_a_symbol_the_market_does_not_have_is_refused() -> None:
    with pytest.raises(SymbolNameError, match="not in the panel"):
        gymnasium.make(SINGLE_ASSET, panel=PANEL, rules=RULES, symbol="S9")


def test_registering_twice_changes_nothing() -> None:
    before = dict(gymnasium.registry)
    register_environments()
    assert dict(gymnasium.registry) == before
