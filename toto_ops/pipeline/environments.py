"""Gymnasium environments by name: importing this module registers them.

`gymnasium.make("toto_ops/MultiAsset-v0", universe="stocks")` trades the served market of a universe, the one in `TOTO_HOME`,
under its own rules; `panel=` and `rules=` in its place trade any other. `gymnasium.make_vec` makes many accounts of it, and
`market_env` the same for TorchRL. The name may bring this module along: `toto_ops.pipeline.environments:toto_ops/MultiAsset-v0`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import torch
from pydantic import AwareDatetime, Field, InstanceOf, field_validator

from toto_ops.capital import Capital
from toto_ops.configuration import Settings, StrictModel, parse_config
from toto_ops.errors import ConfigError
from toto_ops.features.panel import Panel
from toto_ops.features.panel_columns import panel_of_symbols
from toto_ops.pipeline.observed_market import served_panel
from toto_ops.pipeline.project import Project
from toto_ops.simulation.episodes import Episodes
from toto_ops.simulation.gymnasium_envs import AccountEnv, AccountsEnv, FieldsView, StateView, View
from toto_ops.simulation.market_tensors import MarketTensors
from toto_ops.simulation.observation_schema import MARKET, ObservationSchema, observation_schema
from toto_ops.simulation.rewards import LOG_RETURN, RewardConfig
from toto_ops.simulation.rules import PER_ACCOUNT, TradingRules
from toto_ops.simulation.simulator import MarketSimulator

if TYPE_CHECKING:
    from toto_ops.simulation.environment import MarketEnv

MULTI_ASSET = "toto_ops/MultiAsset-v0"
"""All symbols of a market, observed as a dictionary by schema."""

SINGLE_ASSET = "toto_ops/SingleAsset-v0"
"""One symbol, observed as the flat 34-feature state."""


class EnvironmentSettings(StrictModel):
    """What an environment trades: the keyword arguments of `gymnasium.make`.

    Attributes
    ----------
    universe
        The served market of this universe, under its rules, with forecasts and embeddings where they were made of it; or
    panel, rules
        any bars, under any rules.
    symbols
        Only these; None: all of them. Their order is that of the market whatever order they are named in; the attribute
        `symbols` of an environment tells it.
    after, until
        Only bars that close after the one and by the other, for instance those of the train span; open ends where None.
        With a time zone: a moment without one would be another one on another machine.
    episode_length
        Steps, from a random row; None: the whole span, from its first.
    reward
        What is rewarded.
    initial_capital
        Money of an account that begins.
    """

    universe: str | None = None
    panel: InstanceOf[Panel] | None = None
    rules: InstanceOf[TradingRules] | None = None
    symbols: tuple[str, ...] | None = Field(default=None, min_length=1)
    after: AwareDatetime | None = None
    until: AwareDatetime | None = None
    episode_length: int | None = Field(default=None, ge=1)
    reward: RewardConfig = LOG_RETURN
    initial_capital: Capital = 1.0

    @field_validator("symbols")
    @classmethod
    def _each_once(cls, symbols: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if symbols is not None and len(set(symbols)) < len(symbols):
            raise ValueError("a symbol is named twice")
        return symbols

    @classmethod
    def of(cls, arguments: dict[str, Any]) -> EnvironmentSettings:
        """Those given as keyword arguments.

        Raises
        ------
        ConfigError
            Naming each argument that does not fit.
        TypeError
            For a `render_mode`: nothing is drawn. It is the error by which Stable-Baselines3, which asks for one unasked,
            knows that an environment takes none.
        """
        if arguments.get("render_mode") is not None:
            raise TypeError("nothing is drawn of an environment: it takes no `render_mode`")
        arguments = {name: value for name, value in arguments.items() if name != "render_mode"}
        return parse_config(arguments, cls, Path("environment"))

    def market(self) -> tuple[Panel, TradingRules]:
        """The bars and the rules.

        Raises
        ------
        ConfigError
            Unless there is either a universe or a panel with rules, and if the universe does not exist.
        StorageError
            If nothing of the universe is served yet.
        InsufficientDataError
            If no bar is left.
        """
        panel, rules = self._source()
        return panel.between(self.after, self.until), rules

    def simulator(self, market: MarketTensors, rules: TradingRules, accounts: int, schema: ObservationSchema) -> MarketSimulator:
        """Accounts that see what `schema` says.

        Raises
        ------
        ConfigError
            If there are none, or the rules are of other accounts or symbols.
        InsufficientDataError
            If the market has too few bars for an episode.
        """
        if accounts < 1:
            raise ConfigError(
                f"an environment has at least one account, got `num_envs` {accounts}",
                where="environment",
                remedy="give 1 or more",
            )
        _refuse_rules_of_others(rules, accounts, market.assets)
        return MarketSimulator(
            market,
            rules,
            accounts,
            episodes=Episodes(self.episode_length),
            reward=self.reward,
            schema=schema,
            initial_capital=self.initial_capital,
        )

    def _source(self) -> tuple[Panel, TradingRules]:
        if self.universe is None and self.panel is not None and self.rules is not None:
            return self._chosen(self.panel), self.rules
        if self.universe is None or self.panel is not None or self.rules is not None:
            raise ConfigError("an environment needs a market", remedy="give either `universe`, or `panel` and `rules`")
        project = Project(Settings())
        universe = project.universe(self.universe)
        panel = self._chosen(served_panel(project, universe))
        return panel, TradingRules.of(universe, panel.parts)

    def _chosen(self, panel: Panel) -> Panel:
        return panel if self.symbols is None else panel_of_symbols(panel, self.symbols)


def multi_asset(*, schema: str = MARKET.name, **settings: Any) -> AccountEnv:
    """One account over all symbols of a market; `settings` are `EnvironmentSettings`."""
    simulator, view, symbols = _multi_asset(1, schema, settings)
    return AccountEnv(simulator, view, symbols)


def multi_asset_vector(num_envs: int = 1, *, schema: str = MARKET.name, **settings: Any) -> AccountsEnv:
    """Many accounts over all symbols of a market; `settings` are `EnvironmentSettings`."""
    simulator, view, symbols = _multi_asset(num_envs, schema, settings)
    return AccountsEnv(simulator, view, symbols)


def single_asset(*, symbol: str | None = None, **settings: Any) -> AccountEnv:
    """One account on one symbol, which is named unless the market has no other; `settings` are `EnvironmentSettings`."""
    simulator, view, symbols = _single_asset(1, symbol, settings)
    return AccountEnv(simulator, view, symbols)


def single_asset_vector(num_envs: int = 1, *, symbol: str | None = None, **settings: Any) -> AccountsEnv:
    """Many accounts on one symbol; `settings` are `EnvironmentSettings`."""
    simulator, view, symbols = _single_asset(num_envs, symbol, settings)
    return AccountsEnv(simulator, view, symbols)


def market_env(num_envs: int = 1, *, schema: str = MARKET.name, **settings: Any) -> MarketEnv:
    """The same for TorchRL, which has no names: many accounts over all symbols; `settings` are `EnvironmentSettings`."""
    from toto_ops.simulation.environment import MarketEnv

    simulator, _, _ = _multi_asset(num_envs, schema, settings)
    return MarketEnv(simulator)


def register_environments() -> None:
    """Make the names known to Gymnasium; those it knows already are left as they are."""
    for name, maker in ((MULTI_ASSET, multi_asset), (SINGLE_ASSET, single_asset)):
        if name not in gymnasium.registry:
            entry_point = f"{__name__}:{maker.__name__}"
            gymnasium.register(name, entry_point=entry_point, vector_entry_point=f"{entry_point}_vector")


def _multi_asset(accounts: int, schema: str, settings: dict[str, Any]) -> tuple[MarketSimulator, View, tuple[str, ...]]:
    chosen = EnvironmentSettings.of(settings)
    panel, rules = chosen.market()
    market = MarketTensors.of(panel, torch.float32)
    view = FieldsView(observation_schema(schema), market)
    return chosen.simulator(market, rules, accounts, view.schema), view, panel.symbols


def _single_asset(accounts: int, symbol: str | None, settings: dict[str, Any]) -> tuple[MarketSimulator, View, tuple[str, ...]]:
    if symbol is not None and "symbols" in settings:
        raise ConfigError("both `symbol` and `symbols` are given", where="environment", remedy="give `symbol` alone")
    chosen = EnvironmentSettings.of(settings if symbol is None else {**settings, "symbols": (symbol,)})
    panel, rules = chosen.market()
    if len(panel.symbols) != 1:
        raise ConfigError(f"the market has {len(panel.symbols)} symbols", where="environment", remedy="name one with `symbol`")
    market = MarketTensors.of(panel, torch.float32)
    view = StateView(market)
    return chosen.simulator(market, rules, accounts, view.schema), view, panel.symbols


def _refuse_rules_of_others(rules: TradingRules, accounts: int, symbols: int) -> None:
    """Rules may be stacked, or differ from symbol to symbol: then they must be of these accounts and symbols."""
    for name, rule in vars(rules).items():
        room = (accounts,) if name in PER_ACCOUNT else (accounts, symbols)
        if isinstance(rule, torch.Tensor) and any(
            own not in {1, there} for own, there in zip(reversed(rule.shape), reversed(room), strict=False)
        ):
            raise ConfigError(
                f"`rules.{name}` is {tuple(rule.shape)}, of other accounts or symbols than these ({accounts}, {symbols})",
                where="environment",
                remedy="make the rules for the symbols that are traded",
            )


register_environments()
