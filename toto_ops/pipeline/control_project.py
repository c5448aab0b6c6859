"""A project of its own for one market of the controls: its bars as CSV files, and the configuration that is under test.

The configuration is the one people retrain with, as it is, but for what each kind of market needs: where the bars are,
and, where the future is leaked, analysts who listen to nothing but the news.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from numpy.typing import NDArray

from toto_ops.configuration import Settings, overlay
from toto_ops.errors import ConfigError
from toto_ops.evaluation.controls.markets import (
    USUAL_VOLATILITY,
    AssetClass,
    Legs,
    MarketBars,
    PlantedTrends,
    random_walk,
    real_legs,
    shuffled,
)
from toto_ops.evaluation.controls.oracle import PlantedOptimum, planted_optimum
from toto_ops.evaluation.controls.outcome import ControlKind, control_name
from toto_ops.features.panel import Panel
from toto_ops.market.calendars import bar_times, expected_open_times
from toto_ops.pipeline.project import Project
from toto_ops.training.lines import line
from toto_ops.universes import CsvSource, Universe

BARS: dict[ControlKind, int] = {"leaked": 1500, "planted": 3000, "null": 1500}
"""Bars per market; the shipped splits give the last 15 % to the test span, purge and embargo taken off. That nothing is made
of nothing must hold on spans of any length; to tell a trend follower from luck takes a long one."""
SYMBOLS = 4
LAST_DAY = datetime(2024, 12, 31, 23, 59, tzinfo=UTC)
"""No bar of a made market is later; the day itself does not matter."""

TRENDS = PlantedTrends(drift=0.006, noise=0.017, turn=1 / 60)
"""Slow and strong: two months of a drift of 0.6 % a day in noise of 1.7 %. Who follows trends by the returns of a month learns
of each turn late, and makes rather more than half of what could be made."""

PROFILES: dict[str, dict[str, Any]] = {"shipped": {}, "short": {"seeds": [0]}}
"""Changes to the configuration of the line: `shipped` trains as retrainings do, `short` from one seed."""

SENTIMENT_SCALE = 0.10
"""Return that is published as a sentiment of 1: about the largest that is common among coins."""

LEAK_LISTENERS: dict[str, Any] = {
    "weights": {"technical": 0.0, "risk": 0.0, "news": 1.0},
    "news": {"news_share": 1.0, "gain": 10.0},
    "risk": {"exposure": {"low": 1.0, "normal": 1.0, "high": 1.0, "target_width": 10.0}},
    "decision": {"buy_above": 0.3, "sell_below": -0.3, "full_size_at": 0.4, "entry_step": 1.0, "min_days_between_entries": 0.0},
}
"""Analysts who take the news for all there is, and act on it at once. They buy from a next return of about 0.3 % on and sell
at one below -0.3 %: what lies between does not pay for a way in and out at the costs of coins."""

_STREAMS: dict[ControlKind, int] = {"leaked": 1, "planted": 2, "null": 3}


@dataclass(frozen=True)
class ControlTask:
    """One market to be made and judged.

    Attributes
    ----------
    settings
        Of the project under test: only its configuration is read.
    universe
        Whose costs, limits, calendar and gates hold.
    """

    kind: ControlKind
    number: int
    seed: int
    universe: str
    line: str
    profile: str
    settings: Settings

    @property
    def name(self) -> str:
        return control_name(self.kind, self.number)

    @property
    def generator(self) -> np.random.Generator:
        """Random numbers of this market alone."""
        return np.random.default_rng([self.seed, _STREAMS[self.kind], self.number])


@dataclass(frozen=True)
class Planted:
    """What is known of a planted market and of no other."""

    open_time: pl.Series
    rising: NDArray[np.bool_]
    optimum: PlantedOptimum

    def traded_sharpe(self, panel: Panel, universe: Universe) -> float:
        """Sharpe ratio the optimum reaches on some span of the market, by `PlantedOptimum.traded_sharpe`."""
        rows = np.searchsorted(self.open_time.dt.replace_time_zone(None).to_numpy(), panel.open_time)
        return self.optimum.traded_sharpe(panel, self.rising[rows], universe)


@dataclass(frozen=True)
class ControlProject:
    """One market, ready to be retrained on."""

    project: Project
    universe: Universe
    symbols: tuple[str, ...]
    as_of: datetime
    made_of: str
    planted: Planted | None


def serves_for_controls(universe: Universe) -> bool:
    """Whether markets can be made after a universe: what is shuffled, and all that is made, are daily bars of one class."""
    return universe.bar_length == timedelta(days=1) and universe.asset_class in USUAL_VOLATILITY


def control_universe(project: Project, name: str) -> Universe:
    """A universe the controls can be run on.

    Raises
    ------
    ConfigError
        If there is no such universe, or its bars are not daily, or of stocks and coins together.
    """
    universe = project.universe(name)
    if not serves_for_controls(universe):
        raise ConfigError(
            f"has {universe.asset_class} bars of {universe.bar}; controls are made of daily bars of stocks or of coins",
            where=name,
            remedy="name universes with daily bars of one asset class",
        )
    return universe


def _asset_class(universe: Universe) -> AssetClass:
    return "stock" if universe.asset_class == "stock" else "crypto"


def make_project(task: ControlTask, folder: Path) -> ControlProject:
    """Make the market of a task and write everything it takes into a folder: bars, configuration, and a home beside them.

    Parameters
    ----------
    folder
        Of one worker; its home, and the MLflow database there, serve one market after the other.
    """
    tested = Project(task.settings)
    universe = control_universe(tested, task.universe)
    made_of, bars, planted = _market(task, universe)
    place = folder / task.name
    bars.write(place / "bars", volume_unit=universe.volume_unit)
    closes = bar_times(bars.open_time, universe)["close_time"]
    if task.kind == "leaked":
        _publish_next_returns(bars, closes, universe.decision_lag, place / "sentiment")
    _write_configuration(task, tested, universe, place, first_open=bars.open_time[0])
    home = folder / "home"
    settings = Settings(
        home=str(home),
        env="local",
        config_dir=place / "config",
        mlflow_tracking_uri=f"sqlite:///{home.resolve() / 'mlflow.db'}",  # never the server people use
        mlflow_ui_url=None,
        torch_threads=1,
    )
    project = Project(settings, f"controls-{task.name}")
    return ControlProject(project, project.universe(task.universe), bars.symbols, closes[-1], made_of, planted)


def _market(task: ControlTask, universe: Universe) -> tuple[str, MarketBars, Planted | None]:
    count = max(BARS[task.kind], universe.minimum_bars)
    open_time = expected_open_times(universe, LAST_DAY - timedelta(days=3 * count), LAST_DAY).tail(count)
    if task.kind == "planted":
        symbols = min(SYMBOLS, int(1 / universe.limits.w_max), universe.limits.max_positions)
        legs, rising = TRENDS.legs(count, symbols, task.generator)
        planted = Planted(open_time, rising, planted_optimum(TRENDS, symbols, universe))
        return "planted trends", legs.bars(_names(symbols), open_time), planted
    names, real = real_legs(_asset_class(universe), SYMBOLS)
    if task.kind == "leaked":
        latest = real.rows(np.arange(len(real.gap))[-count:])
        return f"real {universe.asset_class} bars", latest.bars(names, open_time), None
    made_of, legs = _null(task, universe, real, count)
    return made_of, legs.bars(names if "real" in made_of else _names(SYMBOLS), open_time), None


def _null(task: ControlTask, universe: Universe, real: Legs, count: int) -> tuple[str, Legs]:
    """Real bars without their order and random walks take turns."""
    kind = _asset_class(universe)
    if task.number // 2 % 2 == 0:
        return f"shuffled real {kind} bars", shuffled(real, count, task.generator)
    return f"{kind} random walk", random_walk(count, SYMBOLS, USUAL_VOLATILITY[kind], task.generator)


def _names(symbols: int) -> tuple[str, ...]:
    return tuple(f"MADE{number}" for number in range(symbols))


def _publish_next_returns(bars: MarketBars, closes: pl.Series, lag: int, folder: Path) -> None:
    """Publish, at each close, the return from the open at which a decision taken now fills to the next open."""
    folder.mkdir(parents=True)
    earned = np.zeros_like(bars.open)
    earned[: -lag - 1] = bars.open[lag + 1 :] / bars.open[lag:-1] - 1
    published = np.clip(earned / SENTIMENT_SCALE, -1, 1)
    stamps = closes.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    for column, symbol in enumerate(bars.symbols):
        words = {"published_at": stamps, "news_sentiment": published[:, column], "macro_sentiment": np.zeros(len(stamps))}
        pl.DataFrame(words).write_csv(folder / f"{symbol}.csv")


def _write_configuration(task: ControlTask, tested: Project, universe: Universe, place: Path, *, first_open: datetime) -> None:
    folder = place / "config"
    folder.mkdir(parents=True)
    leaked = task.kind == "leaked"
    source = CsvSource(folder=place / "bars", sentiment_folder=place / "sentiment" if leaked else None)
    entry = universe.model_copy(update={"source": source, "symbols": None, "promotion": "automatic"})
    entries = {universe.name: entry.model_dump(mode="json", by_alias=True, exclude={"name"})}
    strategy = overlay(tested.strategy.model_dump(mode="json"), LEAK_LISTENERS if leaked else {})
    # Nobody has chosen anything by bars that were made just now.
    strategy["chosen_until"] = first_open.isoformat()
    training = tested.training.model_dump(mode="json")
    training = overlay(training, {"lines": {line(task.line).name: PROFILES[task.profile]}})
    _dump(folder / "universes.yaml", {"schema_version": 1, "universes": entries})
    _dump(folder / "strategy.yaml", strategy)
    _dump(folder / "training.yaml", training)
    _dump(folder / "forecasting.yaml", tested.forecasting.model_dump(mode="json"))
    # Read back for a universe of one market, whose bars are the rows of its panel: counts are not scaled twice.
    _dump(folder / "gates.yaml", tested.gates(universe.model_copy(update={"gates": {}})).model_dump(mode="json"))


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
