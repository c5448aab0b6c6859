"""The market simulator as Gymnasium environments: one account (`Env`) or many at once (`VectorEnv`).

Both are thin: they turn actions in [-1, 1] into weights, tensors into arrays, and restart what is over. What an observation
looks like to Gymnasium is a `View` of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, cast

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from toto_ops.features.state import STATE_FEATURES
from toto_ops.simulation.market_tensors import MarketTensors
from toto_ops.simulation.observation import Observation, state_vector
from toto_ops.simulation.observation_schema import FIELDS, STATE, ObservationSchema
from toto_ops.simulation.simulator import MarketSimulator, Transition, action_weights

_SEEDS = 2**63
"""Seeds that torch knows; Gymnasium draws from more."""

SeenByGym = NDArray[Any] | dict[str, NDArray[Any]]
"""One observation or a batch of them: an array, or arrays by field."""


class View(ABC):
    """How an observation looks to Gymnasium.

    Attributes
    ----------
    schema
        What it needs observed.
    space
        Of one account.
    """

    schema: ObservationSchema
    space: spaces.Space[Any]

    @abstractmethod
    def of(self, observation: Observation) -> SeenByGym:
        """All `B` accounts, as Gymnasium sees them."""


class FieldsView(View):
    """A dictionary of the fields of a schema; those that are empty in this market are left out.

    Parameters
    ----------
    schema
        Names of the fields.
    market
        For their widths.
    """

    def __init__(self, schema: ObservationSchema, market: MarketTensors) -> None:
        shapes = {name: FIELDS[name].shape(market.assets, market.widths) for name in schema.fields}
        self.schema = schema
        self._fields: dict[str, spaces.Space[Any]] = {
            name: spaces.MultiBinary(*shape) if name == "mask" else spaces.Box(-np.inf, np.inf, shape, np.float32)
            for name, shape in shapes.items()
            if 0 not in shape
        }
        self.space = spaces.Dict(self._fields)

    def of(self, observation: Observation) -> dict[str, NDArray[Any]]:
        tensors = observation.tensors()
        return {name: tensors[name].numpy().astype(space.dtype, copy=False) for name, space in self._fields.items()}


class StateView(View):
    """The 34-feature state of the one symbol there is, as a flat vector in the order of `STATE_FEATURES`.

    Parameters
    ----------
    market
        Of one symbol.

    Raises
    ------
    ValueError
        If there are more.
    """

    def __init__(self, market: MarketTensors) -> None:
        if market.assets != 1:
            raise ValueError(f"a flat state is of one symbol, the market has {market.assets}")
        self.schema = STATE
        self.space = spaces.Box(-np.inf, np.inf, (len(STATE_FEATURES),), np.float32)

    def of(self, observation: Observation) -> NDArray[Any]:
        return np.asarray(state_vector(observation.market, observation.account).squeeze(1).numpy())


class AccountEnv(gymnasium.Env[SeenByGym, NDArray[Any]]):
    """One account.

    The action is `[A]` in [-1, 1], weights in units of `w_max`. `reset` takes `options={"row": n}` to begin at a row. Without a
    seed the first reset draws one, so that environments made alike begin at different rows; `np_random_seed` tells it.

    Parameters
    ----------
    simulator
        Of one account; owned by the environment from here on.
    view
        Made for the same market, of the simulator's schema.
    symbols
        Names of the columns of actions and observations, for who looks at them; unnamed where empty.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - so declared by Gymnasium

    def __init__(self, simulator: MarketSimulator, view: View, symbols: tuple[str, ...] = ()) -> None:
        if simulator.batch != 1:
            raise ValueError(f"this environment is one account, the simulator has {simulator.batch}: use AccountsEnv")
        self.symbols = symbols
        self._simulator = simulator
        self._view = view
        self.observation_space = view.space
        self.action_space = _actions(simulator)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[SeenByGym, dict[str, Any]]:
        """Begin an episode."""
        begun = self._np_random_seed is not None
        super().reset(seed=seed)
        if seed is not None or not begun:
            self._simulator.seed(self.np_random_seed % _SEEDS)
        with torch.inference_mode():
            observation = self._simulator.reset(_asked_rows(options, 1))
        return _first(self._view.of(observation)), {}

    def step(self, action: NDArray[Any]) -> tuple[SeenByGym, float, bool, bool, dict[str, Any]]:
        """Trade for one bar."""
        with torch.inference_mode():
            observation, transition = self._simulator.step(_weights(self._simulator, np.asarray(action)[np.newaxis]))
        return (
            _first(self._view.of(observation)),
            float(transition.reward[0]),
            bool(transition.terminated[0]),
            bool(transition.truncated[0]),
            {name: float(figure[0]) for name, figure in _figures(transition).items()},
        )


class AccountsEnv(VectorEnv[SeenByGym, NDArray[Any], NDArray[Any]]):
    """`B` accounts at once; those whose episode is over restart in the same step.

    What they saw last is in `info["final_obs"]`, an array of `B` objects, and what there was to say of it in
    `info["final_info"]`, as Gymnasium's own vector environments have it. Its vector wrappers that transform observations want
    accounts that restart one step later: `make_vec(..., vectorization_mode="sync")` makes such.

    `reset` takes `options={"row": n}`, one row for all or `[B]`. Seeds are as in `AccountEnv`.

    Parameters
    ----------
    simulator
        Owned by the environment from here on.
    view
        Made for the same market, of the simulator's schema.
    symbols
        Names of the columns of actions and observations, for who looks at them; unnamed where empty.
    """

    autoreset_mode = AutoresetMode.SAME_STEP
    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": autoreset_mode}  # noqa: RUF012

    def __init__(self, simulator: MarketSimulator, view: View, symbols: tuple[str, ...] = ()) -> None:
        self.symbols = symbols
        self._simulator = simulator
        self._view = view
        self.num_envs = simulator.batch
        self.single_observation_space = view.space
        self.single_action_space = _actions(simulator)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[SeenByGym, dict[str, Any]]:
        """Begin all episodes; a seed is one for all accounts together."""
        begun = self._np_random_seed is not None
        super().reset(seed=seed)
        if seed is not None or not begun:
            self._simulator.seed(cast("int", self.np_random_seed) % _SEEDS)
        with torch.inference_mode():
            observation = self._simulator.reset(_asked_rows(options, self.num_envs))
        return self._view.of(observation), {}

    def step(self, actions: NDArray[Any]) -> tuple[SeenByGym, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Trade for one bar in all accounts."""
        with torch.inference_mode():
            transition = self._simulator.advance(_weights(self._simulator, actions))
            # A copy of what the simulator goes on with: callers are free to write to what they are given.
            terminated = transition.terminated.numpy().copy()
            info: dict[str, Any] = {name: figure.numpy() for name, figure in _figures(transition).items()}
            finished = transition.finished.numpy()
            if finished.any():
                info |= {
                    "final_obs": self._last_seen(finished),
                    "_final_obs": finished,
                    "final_info": info | {f"_{name}": finished for name in info},
                    "_final_info": finished,
                }
                self._simulator.restart(transition.finished)
            observation = self._view.of(self._simulator.observe())
        return observation, transition.reward.numpy(), terminated, transition.truncated.numpy(), info

    def _last_seen(self, finished: NDArray[np.bool_]) -> NDArray[np.object_]:
        seen = self._view.of(self._simulator.observe())
        last = np.full(self.num_envs, None, dtype=object)
        for account in np.flatnonzero(finished):
            last[account] = {name: field[account] for name, field in seen.items()} if isinstance(seen, dict) else seen[account]
        return last


def _actions(simulator: MarketSimulator) -> spaces.Box:
    return spaces.Box(-1.0, 1.0, (simulator.market.assets,), np.float32)


def _weights(simulator: MarketSimulator, actions: NDArray[Any]) -> torch.Tensor:
    """Weights `[B, A]` of actions in [-1, 1]; of another shape they would be broadcast without a word."""
    asked, expected = np.asarray(actions, dtype=np.float32), (simulator.batch, simulator.market.assets)
    if asked.shape != expected:
        raise ValueError(f"actions must be {expected}, one for each account and symbol, got {asked.shape}")
    return action_weights(torch.from_numpy(asked), simulator.rules)


def _asked_rows(options: Mapping[str, Any] | None, accounts: int) -> torch.Tensor | None:
    """Rows `[B]` to begin at, where that is asked for: one for all accounts, or one for each."""
    if not options:
        return None
    unknown = [str(name) for name in options if name != "row"]
    if unknown:
        raise ValueError(f"`reset` has the option `row` and no other, got {', '.join(unknown)}")
    rows = np.asarray(options["row"])
    if rows.dtype.kind not in "iu" or rows.shape not in {(), (accounts,)}:
        raise ValueError(f"`row` must be a whole number, or one for each of {accounts} accounts, got {options['row']!r}")
    return torch.from_numpy(np.broadcast_to(rows, accounts).astype(np.int64))


def _figures(transition: Transition) -> dict[str, torch.Tensor]:
    """What is of interest beside the reward, `[B]` each."""
    result = transition.result
    return {
        "log_return": transition.log_return,
        "equity": result.equity_after,
        "fees": result.fees,
        "interest": result.interest,
        "turnover": result.turnover,
    }


def _first(seen: SeenByGym) -> SeenByGym:
    return {name: field[0] for name, field in seen.items()} if isinstance(seen, dict) else seen[0]
