"""The project of one made market: the configuration under test, apart from everything that serves."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from toto_ops.configuration import Settings
from toto_ops.errors import ConfigError
from toto_ops.evaluation.controls.outcome import ControlKind
from toto_ops.market.sources import open_source
from toto_ops.pipeline.control_project import (
    BARS,
    SENTIMENT_SCALE,
    SYMBOLS,
    ControlProject,
    ControlTask,
    control_universe,
    make_project,
)
from toto_ops.pipeline.project import Project
from toto_ops.training.lines import LINES


@pytest.fixture
def tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """What people retrain with: a server of their own, and gates and splits that are not the shipped ones."""
    monkeypatch.setenv("TOTO_MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    shipped = Settings().config_dir
    config = tmp_path / "tested"
    config.mkdir()
    for name in ("universes", "gates", "strategy", "training", "forecasting"):
        content = yaml.safe_load((shipped / f"{name}.yaml").read_text())
        if name == "universes":
            content["universes"]["crypto"]["gates"] = {"minimum_sharpe": 1.25}
            content["universes"]["hourly"] = content["universes"]["crypto"] | {"bar": "1h"}
        if name == "gates":
            content["minimum_return"] = 0.07
        if name == "training":
            content["lines"]["bc"]["epochs"] = 5
        (config / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return Project(Settings(home=str(tmp_path / "home"), config_dir=config))


def made(tested: Project, folder: Path, kind: ControlKind, number: int = 0, **changes: str) -> ControlProject:
    chosen = {"universe": "crypto", "line": "bc", "profile": "shipped"} | changes
    return make_project(ControlTask(kind, number, seed=0, settings=tested.settings, **chosen), folder)


@pytest.mark.parametrize("kind", ["leaked", "planted", "null"])
@pytest.mark.parametrize("universe", ["crypto", "stocks"])
def test_every_symbol_has_every_bar_of_the_calendar(tested: Project, tmp_path: Path, kind: ControlKind, universe: str) -> None:
    control = made(tested, tmp_path / "work", kind, universe=universe)
    source = open_source(control.universe)
    assert source.discover().symbols == control.symbols
    assert len(control.symbols) == SYMBOLS
    stamps = [source.read(symbol)["timestamp"].to_list() for symbol in control.symbols]
    assert {len(one) for one in stamps} == {BARS[kind]}
    assert all(one == stamps[0] for one in stamps)
    assert stamps[0][-1] < control.as_of


def test_the_configuration_is_the_one_under_test(tested: Project, tmp_path: Path) -> None:
    control = made(tested, tmp_path / "work", "null")
    under_test = tested.universe("crypto")
    assert control.project.gates(control.universe) == tested.gates(under_test)
    assert control.project.gates(control.universe).minimum_sharpe == 1.25
    assert control.project.training == tested.training
    for name in ("costs", "limits", "rates", "decision_lag", "calendar", "volume_unit"):
        assert getattr(control.universe, name) == getattr(under_test, name), name
    unchanged = {"chosen_until"}
    assert control.project.strategy.model_dump(exclude=unchanged) == tested.strategy.model_dump(exclude=unchanged)
    assert control.project.strategy.chosen_until == open_source(control.universe).read(control.symbols[0])["timestamp"][0]


def test_a_short_profile_trains_one_seed(tested: Project, tmp_path: Path) -> None:
    (line,) = LINES
    short = made(tested, tmp_path / "work", "null", profile="short").project.training.of(line)
    assert short == tested.training.of(line).model_copy(update={"seeds": (0,)})


def test_nothing_of_it_is_where_people_work(tested: Project, tmp_path: Path) -> None:
    control = made(tested, tmp_path / "work", "null", 17)
    assert control.project.namespace == "controls-null-017"
    assert control.project.settings.home == str(tmp_path / "work" / "home")
    assert control.project.settings.tracking_uri == f"sqlite:///{tmp_path / 'work' / 'home' / 'mlflow.db'}"
    assert not (tmp_path / "home").exists()


def test_null_markets_take_turns(tested: Project, tmp_path: Path) -> None:
    kinds = [
        made(tested, tmp_path / "work", "null", number, universe=universe).made_of
        for number, universe in enumerate(["crypto", "stocks", "crypto", "stocks"])
    ]
    assert kinds == ["shuffled real crypto bars", "shuffled real stock bars", "crypto random walk", "stock random walk"]


def test_what_is_leaked_is_what_a_decision_now_will_earn(tested: Project, tmp_path: Path) -> None:
    control = made(tested, tmp_path / "work", "leaked")
    symbol = control.symbols[1]
    bars = open_source(control.universe).read(symbol)
    words = pl.read_csv(tmp_path / "work" / "leaked-000" / "sentiment" / f"{symbol}.csv", try_parse_dates=True)
    opens = bars["open"].to_numpy()
    row = 700
    earned = opens[row + 2] / opens[row + 1] - 1
    assert words["news_sentiment"][row] == pytest.approx(np.clip(earned / SENTIMENT_SCALE, -1, 1))
    # It is published at the close of the bar and no earlier: a day after a crypto bar of a day has opened.
    assert (words["published_at"][row] - bars["timestamp"][row]).total_seconds() == 86400
    assert (words["news_sentiment"][-2:] == 0).all(), "what nobody can know yet is not published"
    assert control.project.strategy.weights.news == 1
    assert control.project.strategy.weights.technical == 0


def test_a_planted_market_is_known_bar_by_bar(tested: Project, tmp_path: Path) -> None:
    control = made(tested, tmp_path / "work", "planted")
    assert control.planted is not None
    closes = np.column_stack([open_source(control.universe).read(symbol)["close"].to_numpy() for symbol in control.symbols])
    returns, rising = np.diff(np.log(closes), axis=0), control.planted.rising[1:]
    assert returns[rising].mean() > 0 > returns[~rising].mean()
    assert control.planted.optimum.rising_weight == control.universe.limits.w_max


def test_only_daily_bars_will_do(tested: Project) -> None:
    with pytest.raises(ConfigError, match="crypto bars of 1h; controls are made of daily bars"):
        control_universe(tested, "hourly")
