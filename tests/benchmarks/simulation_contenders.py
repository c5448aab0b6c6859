"""Who steps through markets in the simulation benchmark: the simulator in its shapes, its memory bound, and its peers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from toto_ops.configuration import Settings
from toto_ops.features.panel import Panel
from toto_ops.features.state import MARKET_FEATURES, STATE_FEATURES
from toto_ops.simulation.environment import MarketEnv
from toto_ops.simulation.episodes import Episodes
from toto_ops.simulation.gymnasium_envs import AccountsEnv, StateView
from toto_ops.simulation.market_tensors import MarketTensors
from toto_ops.simulation.rules import TradingRules
from toto_ops.simulation.simulator import MarketSimulator
from toto_ops.universes import load_universes

EPISODE = 256
"""Steps of an episode, and of one round of a batched contender."""

PEER_STEPS, PEERS = 4_000, 64
"""Steps of one round of a contender that makes one step at a time, and how many such stand in a vector."""


@dataclass(frozen=True)
class Contender:
    """Somebody who makes steps.

    Attributes
    ----------
    name
        As it stands in the table.
    accounts, assets
        Stepped at once, and symbols of each.
    round
        Makes some steps of all accounts; how many.
    """

    name: str
    accounts: int
    assets: int
    round: Callable[[], int]


def crypto_rules() -> TradingRules:
    """The shipped rules of `crypto`: every cost, rate and limit on."""
    return TradingRules.of(load_universes(Settings()).universe("crypto"))


def random_panel(rows: int, assets: int, *, gaps: float = 0.0) -> Panel:
    """Five-minute random walks around the clock, of which a share of the bars is missing."""
    rng = np.random.default_rng(0)
    moves = rng.normal(0.0, 0.003, (rows, assets))
    # The walk is pulled back to where it began: a million free steps would leave the range of float32.
    walk = np.cumsum(moves, axis=0)
    close = 100.0 * np.exp(walk - np.linspace(0.0, 1.0, rows)[:, None] * walk[-1])
    opened = np.datetime64("2015-01-01", "us") + np.arange(rows) * np.timedelta64(5, "m")
    there = rng.random((rows, assets)) >= gaps
    features = rng.standard_normal((rows, assets, len(MARKET_FEATURES)), dtype=np.float32)
    panel = Panel.of_prices(
        symbols=tuple(f"S{asset:04d}" for asset in range(assets)),
        feature_names=MARKET_FEATURES,
        open_time=opened,
        close_time=opened + np.timedelta64(5, "m"),
        features=features,
        mask=there,
        open=np.where(there, close * np.exp(rng.normal(0.0, 0.001, close.shape)), np.nan),
        close=np.where(there, close, np.nan),
        ended=np.zeros(assets, dtype=bool),
    )
    known = {"volatility": np.full(there.shape, 0.003), "traded_value": np.full(there.shape, 1e9)}
    return replace(panel, **known)


def random_weights(rules: TradingRules, accounts: int, assets: int) -> list[torch.Tensor]:
    """A few tables of weights `[B, A]`, taken in turn: making them is not the simulator's work."""
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(accounts, assets, generator=generator) * rules.w_max for _ in range(16)]


def of_simulator(name: str, market: MarketTensors, accounts: int) -> Contender:
    """The simulator itself: full costs, the 34 features observed at every step, restarts included."""
    rules = crypto_rules()
    simulator = MarketSimulator(market, rules, accounts, episodes=Episodes(EPISODE))
    weights = random_weights(rules, accounts, market.assets)

    def round_() -> int:
        with torch.inference_mode():
            for step in range(EPISODE):
                simulator.step_and_restart(weights[step % len(weights)])
        return EPISODE

    return Contender(name, accounts, market.assets, round_)


def of_gather(name: str, rows: int, accounts: int, assets: int, gather: Callable[[Tensor, Tensor], Tensor]) -> Contender:
    """The memory bound: nothing but gathering `[B, A, 34]` from rows that advance as the simulator's do."""
    width = len(STATE_FEATURES)
    table = torch.rand(rows, assets * width)
    generator = torch.Generator().manual_seed(0)

    def round_() -> int:
        row = torch.randint(rows - EPISODE, (accounts,), generator=generator)
        with torch.inference_mode():
            for _ in range(EPISODE):
                row = row + 1
                gather(table, row).view(accounts, assets, width)
        return EPISODE

    return Contender(name, accounts, assets, round_)


def by_index(table: Tensor, row: Tensor) -> Tensor:
    """The gather that torch has for rows."""
    return table.index_select(0, row)


def of_torchrl(market: MarketTensors, accounts: int) -> Contender:
    """`MarketEnv.rollout`: random actions, everything collected into one tensordict."""
    env = MarketEnv(MarketSimulator(market, crypto_rules(), accounts, episodes=Episodes(EPISODE)))
    steps = EPISODE // 8

    def round_() -> int:
        with torch.inference_mode():
            env.rollout(steps, break_when_any_done=False)
        return steps

    return Contender("toto-ops, TorchRL rollout", accounts, market.assets, round_)


def of_gymnasium(market: MarketTensors, accounts: int) -> Contender:
    """The Gymnasium vector environment with the flat state, in arrays."""
    env = AccountsEnv(MarketSimulator(market, crypto_rules(), accounts, episodes=Episodes(EPISODE)), StateView(market))
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (16, accounts, 1)).astype(np.float32)
    env.reset(seed=0)

    def round_() -> int:
        for step in range(EPISODE):
            env.step(actions[step % len(actions)])
        return EPISODE

    return Contender("toto-ops, Gymnasium vector", accounts, market.assets, round_)


def anytrading(rows: int) -> gymnasium.Env[Any, Any]:
    """StocksEnv with a window of 17 bars of its two features: 34 numbers observed."""
    import pandas as pd
    from gym_anytrading.envs import StocksEnv

    window = len(STATE_FEATURES) // 2
    close = 100.0 * np.exp(np.random.default_rng(0).normal(0.0, 0.003, rows).cumsum() / math.sqrt(rows))
    return StocksEnv(pd.DataFrame({"Close": close}), window, (window, rows))


def trading_env(rows: int) -> gymnasium.Env[Any, Any]:
    """TradingEnv with fees and borrowing, and 32 features beside its own two: 34 numbers observed."""
    import pandas as pd
    from gym_trading_env.environments import TradingEnv

    rng = np.random.default_rng(0)
    close = 100.0 * np.exp(rng.normal(0.0, 0.003, rows).cumsum() / math.sqrt(rows))
    frame = pd.DataFrame(
        dict.fromkeys(("open", "high", "low", "close"), close)
        | {f"feature_{number}": rng.normal(size=rows) for number in range(len(STATE_FEATURES) - 2)},
        index=pd.date_range("2015-01-01", periods=rows, freq="5min"),
    )
    return TradingEnv(frame, positions=[-1, 0, 1], trading_fees=0.0015, borrow_interest_rate=0.0675 / 365 / 288, verbose=0)


def of_peer(name: str, env: gymnasium.Env[Any, Any]) -> Contender:
    """One environment without wrappers: the fastest way to step through it."""
    actions = np.random.default_rng(1).integers(0, env.action_space.n, PEER_STEPS).tolist()  # type: ignore[attr-defined]
    env.reset(seed=0)

    def round_() -> int:
        for action in actions:
            _, _, done, truncated, _ = env.step(action)
            if done or truncated:
                env.reset()
        return PEER_STEPS

    return Contender(name, 1, 1, round_)


def of_peers(name: str, make: Callable[[], gymnasium.Env[Any, Any]]) -> Contender:
    """Many of them in Gymnasium's own vector of environments: the way to step them at once."""
    envs = gymnasium.vector.SyncVectorEnv([make] * PEERS)
    steps = PEER_STEPS // PEERS
    actions = np.random.default_rng(1).integers(0, envs.single_action_space.n, (steps, PEERS))  # type: ignore[attr-defined]
    envs.reset(seed=0)

    def round_() -> int:
        for action in actions:
            envs.step(action)
        return steps

    return Contender(name, PEERS, 1, round_)
