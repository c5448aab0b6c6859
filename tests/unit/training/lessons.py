"""A small market with a teacher whose rule is known, so that a test can tell learning from not learning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toto_ops.features.panel import Panel
from toto_ops.features.state import ACCOUNT_FEATURES, ACCOUNT_SLICE, MARKET_FEATURES, STATE_FEATURES
from toto_ops.learning.splits import SplitConfig, make_splits
from toto_ops.simulation.observation import Action
from toto_ops.simulation.rules import TradingRules
from toto_ops.storage.store import ArtefactStore
from toto_ops.training.bc_config import BehaviourCloningConfig
from toto_ops.training.ledger import TrialLedger
from toto_ops.training.line import TrainingInputs
from toto_ops.training.offline_dataset import OfflineDataset

UNIVERSE = "lessons"
SYMBOLS = ("AAA", "BBB")
QUICK = BehaviourCloningConfig(hidden=16, layers=1, epochs=6, batch=64, learning_rate=0.01, patience=6, seeds=(0, 1))

RULES = TradingRules(
    cost_rate=0.001,
    margin_rate=0.05,
    short_rate=0.02,
    cash_rate=0.0,
    gross_leverage=2.0,
    symbol_cap=0.5,
    max_positions=4,
    w_max=0.5,
    may_short=False,
    rebalancing_band=0.01,
    stop_loss=0.25,
    max_drawdown=0.3,
    breaker_cooldown=5,
    bankruptcy_floor=0.05,
    decision_lag=1,
)


def make_panel(rows: int = 500, seed: int = 0) -> Panel:
    """Daily random walk of `SYMBOLS` with 30 features of unit size that say nothing of what follows."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal((rows, len(SYMBOLS))), axis=0))
    open_time = np.datetime64("2020-01-01", "us") + np.arange(rows) * np.timedelta64(1, "D")
    return Panel.of_prices(
        symbols=SYMBOLS,
        feature_names=MARKET_FEATURES,
        open_time=open_time,
        close_time=open_time + np.timedelta64(1, "D"),
        features=rng.standard_normal((rows, len(SYMBOLS), len(MARKET_FEATURES))).astype(np.float32),
        mask=np.ones((rows, len(SYMBOLS)), dtype=bool),
        open=np.vstack([close[:1], close[:-1]]),
        close=close,
        ended=np.zeros(len(SYMBOLS), dtype=bool),
    )


def taught(states: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The teacher's rule: buy on a high RSI, sell on a low one, hold in between; stronger the farther."""
    score = states[:, STATE_FEATURES.index("rsi")]
    actions = np.where(score > 0.7, Action.BUY, np.where(score < -0.7, Action.SELL, Action.HOLD)).astype(np.int64)
    return actions, np.clip(np.abs(score) / 3, 0, 1).astype(np.float32)


def make_dataset(panel: Panel, symbol: int, seed: int = 0) -> OfflineDataset:
    """The teacher's decisions on one symbol, in accounts drawn at random."""
    rng = np.random.default_rng([seed, symbol])
    market = panel.features[:, symbol]
    account = rng.standard_normal((panel.rows, len(ACCOUNT_FEATURES))).astype(np.float32)
    states = np.concatenate([market[:, : ACCOUNT_SLICE.start], account, market[:, ACCOUNT_SLICE.start :]], axis=1)
    return OfflineDataset(states, *taught(states), panel.close_time)


def make_inputs(root: Path, rows: int = 500, inputs_hash: str = "a" * 16) -> TrainingInputs:
    """What a trainer gets: a market cut at the end of validation."""
    panel = make_panel(rows)
    splits = make_splits(panel.close_time, SplitConfig(embargo_bars=5))
    known = panel.between(None, splits.validation.until)
    return TrainingInputs(
        universe=UNIVERSE,
        panel=known,
        datasets={symbol: make_dataset(known, column) for column, symbol in enumerate(SYMBOLS)},
        splits=splits,
        rules=RULES,
        ledger=TrialLedger(ArtefactStore(root / "store", "test"), UNIVERSE),
        data_hash="d" * 16,
        inputs_hash=inputs_hash,
        code_version="1",
    )


def shuffled(dataset: OfflineDataset) -> OfflineDataset:
    """The same decisions in other states: nothing is left to learn."""
    order = np.random.default_rng(0).permutation(len(dataset))
    return replace(dataset, actions=dataset.actions[order], strengths=dataset.strengths[order])
