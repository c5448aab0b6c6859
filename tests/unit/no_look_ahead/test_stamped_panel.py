"""A panel on which everything known at a close is the number of its row: whoever looks must find the row he stands at.

Prices are stamped too (the open of row t is 1000 + 2t, its close 1001 + 2t), so that the account's own figures tell which
price they were taken at.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from tests.unit.no_look_ahead.contestants import RULES as SHIPPED
from tests.unit.no_look_ahead.contestants import teacher
from tests.unit.no_look_ahead.markets import stamped, two_markets
from toto_ops.analysts.decisions import record_decisions
from toto_ops.configuration import Settings
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.features.panel_forecasts import panel_with_forecasts
from toto_ops.features.state import MARKET_FEATURES
from toto_ops.market.snapshot import Snapshot, SnapshotEntry
from toto_ops.registry.onnx_export import DecisionArrays
from toto_ops.serving.market_view import MarketView
from toto_ops.serving.predict import Predictor
from toto_ops.simulation.backtest import BacktestResult, run_backtests
from toto_ops.simulation.entrants import Entrant
from toto_ops.simulation.episodes import Episodes
from toto_ops.simulation.market_tensors import MarketTensors
from toto_ops.simulation.observation import Action, Decision, Observation, decide
from toto_ops.simulation.observation_schema import FIELDS, MARKET, PORTFOLIO_FEATURES
from toto_ops.simulation.simulator import MarketSimulator
from toto_ops.training.offline_dataset import OfflineDataset
from toto_ops.universes import load_universes

RULES = replace(SHIPPED, slippage=0.0, impact=0.0, participation=math.inf)
"""Stamps make nonsense of costs that depend on volatility or volume."""

OF_THE_MARKET = set(FIELDS) - {"mask", "clock", "account", "portfolio", "allocation"}
"""Fields that hold stamps: all that are not known otherwise and do not belong to the account, so that a new one is one."""


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Shares and coins: rows in which all, some or none of the symbols open or close."""
    panel = two_markets().panel
    panel = panel.between(to_aware(panel.close_time[[-250]])[0], None)
    blank = np.zeros((*panel.mask.shape, 3), dtype=np.float32)
    return stamped(panel_with_forecasts(panel, ("forecast_1_q10", "forecast_1_q50", "forecast_1_up"), blank, blank[..., :2]))


def sines_and_cosines(close: np.datetime64) -> list[float]:
    """Time of day, week and year of a close, computed once more."""
    moment = close.item()
    day = (moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)) / timedelta(days=1)
    new_year = moment.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0)
    year = (moment - new_year) / (new_year.replace(year=moment.year + 1) - new_year)
    turns = [day, (moment.weekday() + day) / 7, year]
    return [wave(2 * np.pi * turn) for turn in turns for wave in (np.sin, np.cos)]


def assert_stands_at(panel: Panel, row: int, seen: Observation, account: int) -> None:
    """Every field of the market, found by introspection of the schema, is of this row and no other."""
    shown = {name: tensor[account].numpy() for name, tensor in seen.tensors().items()}
    assert set(shown) == set(FIELDS)
    for name in OF_THE_MARKET:
        assert shown[name].size > 0, name
        assert (shown[name] == row).all(), name
    np.testing.assert_array_equal(shown["mask"], panel.mask[row])
    np.testing.assert_allclose(shown["clock"], sines_and_cosines(panel.close_time[row]), atol=1e-6)


class Books:
    """An account kept beside the simulator from what was traded: what it must show at each close, and nothing later."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.mark = np.ones(len(panel.symbols))

    def at_close(self, row: int, equity: float, weights: np.ndarray) -> dict[str, np.ndarray | float]:
        """After the trades at the open of `row`, which left `equity` and `weights`, marked to its close."""
        self.mark = np.where(self.panel.tradable[row], self.panel.open[row], self.mark)
        units, cash = weights * equity / self.mark, equity * (1 - weights.sum())
        self.mark = np.where(self.panel.mask[row], self.panel.close[row], self.mark)
        worth = cash + units @ self.mark
        return {
            "allocation": units * self.mark / worth,
            "cash_ratio": cash / worth,
            "balance_ratio": worth,
            "gross": np.abs(units * self.mark).sum() / worth,
            "net": units @ self.mark / worth,
        }


def assert_account(expected: dict[str, np.ndarray | float], seen: Observation, account: int) -> None:
    assert seen.portfolio is not None
    assert seen.allocation is not None
    portfolio = dict(zip(PORTFOLIO_FEATURES, seen.portfolio[account].tolist(), strict=True))
    np.testing.assert_allclose(seen.allocation[account].numpy(), expected["allocation"], rtol=1e-5, atol=1e-7)
    for name in ("cash_ratio", "balance_ratio", "gross", "net"):
        assert portfolio[name] == pytest.approx(expected[name], rel=1e-5), name


# -- backtest ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def backtested(panel: Panel) -> tuple[BacktestResult, list[Observation]]:
    """A backtest of one who changes his mind at every close, and all that he was shown."""
    shown: list[Observation] = []

    def act(observation: Observation) -> Decision:
        shown.append(observation)
        strength = ((torch.arange(observation.mask.shape[1]) + len(shown)) % 4 / 3.0).expand_as(observation.mask).float()
        action = torch.full_like(observation.mask, int(Action.BUY), dtype=torch.int64)
        chances = torch.nn.functional.one_hot(action, 3).float()
        return decide(action, strength, chances, observation.mask, w_max=RULES.w_max, may_short=False)

    (result,) = run_backtests(panel, (Entrant("restless", act, RULES, MARKET.fields),))
    return result, shown


def test_a_backtest_shows_the_row_it_stands_at(panel: Panel, backtested: tuple[BacktestResult, list[Observation]]) -> None:
    rows = np.flatnonzero(panel.mask.any(axis=1))
    assert len(rows) == len(backtested[1])
    for row, seen in zip(rows, backtested[1], strict=True):
        assert_stands_at(panel, int(row), seen, account=0)


def test_a_backtest_shows_the_account_at_the_close_it_stands_at(
    panel: Panel, backtested: tuple[BacktestResult, list[Observation]]
) -> None:
    result, shown = backtested
    assert result.trades.sum() > 100
    books, seen_at = Books(panel), dict(zip(np.flatnonzero(panel.mask.any(axis=1)).tolist(), shown, strict=True))
    for row in range(panel.rows - 1):
        expected = books.at_close(row, result.equity[row] - result.fees[row], result.weights[row])
        if row in seen_at:
            assert_account(expected, seen_at[row], account=0)


def test_an_order_fills_at_the_next_open_of_its_symbol(
    panel: Panel, backtested: tuple[BacktestResult, list[Observation]]
) -> None:
    """Decided at a close, filled at an open that comes later, at the price of that open."""
    result, _ = backtested
    decided, symbol = np.nonzero(result.fill_row >= 0)
    filled = result.fill_row[decided, symbol]
    assert (panel.open_time[filled] >= panel.close_time[decided]).all()
    assert panel.tradable[filled, symbol].all()
    trades = result.trades_made.closed
    opened = {symbol: set(panel.open_time[panel.tradable[:, a]]) for a, symbol in enumerate(panel.symbols)}
    assert len(trades) > 20
    assert all(moment in opened[name] for name, moment in zip(trades.symbol, trades.entry_time, strict=True))


# -- simulator -----------------------------------------------------------------------------------------------------

ACCOUNTS = 16


@pytest.fixture
def simulator(panel: Panel) -> MarketSimulator:
    market = MarketTensors.of(panel, torch.float64)
    return MarketSimulator(market, RULES, ACCOUNTS, episodes=Episodes(length=25), schema=MARKET, seed=3)


def whims(simulator: MarketSimulator, step: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(step)
    return RULES.w_max * torch.rand((ACCOUNTS, simulator.market.assets), generator=generator, dtype=torch.float64)


def test_every_account_of_the_simulator_sees_the_row_it_stands_at(panel: Panel, simulator: MarketSimulator) -> None:
    """Sixteen accounts on rows of their own, through several episodes each."""
    seen = simulator.reset()
    stood = set()
    for step in range(80):
        for account, row in enumerate(simulator.accounts.row.tolist()):
            assert_stands_at(panel, row, seen, account)
            stood.add(row)
        seen, _ = simulator.step_and_restart(whims(simulator, step))
    assert len(stood) > 200


def test_the_simulator_s_accounts_and_rewards_know_no_later_price(panel: Panel, simulator: MarketSimulator) -> None:
    seen = simulator.reset()
    start = simulator.accounts.row.tolist()
    ledgers = [Books(panel) for _ in start]
    worth = np.ones(ACCOUNTS)
    for step in range(25):
        seen, transition = simulator.step(whims(simulator, step))
        for account, books in enumerate(ledgers):
            row = start[account] + step + 1
            result = transition.result
            expected = books.at_close(row, float(result.equity_after[account]), result.weights[account].numpy())
            assert_account(expected, seen, account)
            assert float(transition.log_return[account]) == pytest.approx(
                np.log(expected["balance_ratio"] / worth[account]), abs=1e-9
            )
            worth[account] = expected["balance_ratio"]
    assert (worth != 1).all()


# -- offline states ------------------------------------------------------------------------------------------------


def test_offline_states_are_what_was_known_at_their_close(panel: Panel) -> None:
    histories = record_decisions(panel, teacher(), RULES)
    row_of = {moment: row for row, moment in enumerate(panel.close_time)}
    for a, symbol in enumerate(panel.symbols):
        decisions = histories[symbol]
        rows = np.array([row_of[close] for close in decisions["close_time"].dt.replace_time_zone(None).to_numpy()])
        np.testing.assert_array_equal(rows, np.flatnonzero(panel.mask[:, a]))
        for name in MARKET_FEATURES:
            np.testing.assert_array_equal(decisions[name].to_numpy(), rows.astype(np.float32), err_msg=name)
        filled = decisions.filter(pl.col("fill_time").is_not_null())
        assert filled.height > 0
        assert (filled["fill_time"] >= filled["close_time"]).all()
        dataset = OfflineDataset.from_decisions(decisions)
        np.testing.assert_array_equal(dataset.close_time, panel.close_time[rows])
        np.testing.assert_array_equal(dataset.states[:, 0], rows)


# -- serving -------------------------------------------------------------------------------------------------------


class Listener:
    """A session that writes down what it is shown."""

    is_fallback = True

    def __init__(self, panel: Panel) -> None:
        self.manifest = SimpleNamespace(symbols=panel.symbols)
        self.version = SimpleNamespace(name="toto-tried", version=1, line="bc", knows_until=None, label="toto-tried version 1")
        self.shown: list[tuple[np.ndarray, ...]] = []

    def decide(self, *inputs: np.ndarray) -> DecisionArrays:
        self.shown.append(inputs)
        shape = inputs[0].shape[:2]
        chances = np.tile(np.array([1, 0, 0], dtype=np.float32), (*shape, 1))
        return DecisionArrays(
            np.zeros(shape, np.float32), np.ones(shape, bool), np.zeros(shape, np.int64), np.zeros(shape, np.float32), chances
        )


def test_serving_shows_the_newest_bar_that_had_closed(panel: Panel) -> None:
    universe = load_universes(Settings()).universe("crypto").model_copy(update={"max_bar_age_days": 30.0})
    (end,) = to_aware(panel.close_time[-1:])
    entries = tuple(
        SnapshotEntry(symbol=symbol, status="included", bars="b", inputs_hash="i", last_close=end) for symbol in panel.symbols
    )
    snapshot = Snapshot(universe="crypto", retrain_id="r", as_of=end, config_hash="c", entries=entries)
    session = Listener(panel)
    predictor = Predictor(universe, MarketView(snapshot, panel), session)  # type: ignore[arg-type]
    for row in range(20, panel.rows, 17):
        for a, symbol in enumerate(panel.symbols):
            for late in (timedelta(0), timedelta(hours=5), timedelta(microseconds=-1)):
                now = to_aware(panel.close_time[row : row + 1])[0] + late
                closed = panel.mask[:, a] & (panel.close_time <= np.datetime64(now.replace(tzinfo=None), "us"))
                newest = int(np.flatnonzero(closed)[-1])
                answer = predictor.predict(symbol, now)
                market, _, mask = session.shown[-1]
                assert (market[0, mask[0]] == newest).all()
                np.testing.assert_array_equal(mask[0], panel.mask[newest])
                assert answer.bar_close == to_aware(panel.close_time[newest : newest + 1])[0] <= now
