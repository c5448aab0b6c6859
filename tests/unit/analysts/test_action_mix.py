"""The bundled strategy on the bundled bars: a mix of actions a pupil can learn from. Train span only."""

from __future__ import annotations

import polars as pl
import pytest

from tests.unit.analysts.analyst_samples import CONFIG_DIR
from toto_ops.analysts.decisions import record_decisions
from toto_ops.analysts.ensemble import EnsemblePolicy
from toto_ops.analysts.strategy import load_strategy
from toto_ops.configuration import Settings
from toto_ops.features.compute import FeatureConfig, compute_features
from toto_ops.features.panel_builder import build_panel
from toto_ops.features.state import ACCOUNT_FEATURES
from toto_ops.learning.splits import SplitConfig, make_splits
from toto_ops.market.calendars import with_bar_times
from toto_ops.market.sources import open_source
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.simulation.observation import Action
from toto_ops.simulation.rules import TradingRules
from toto_ops.training.offline_dataset import OfflineDataset, action_distribution
from toto_ops.universes import load_universes


@pytest.mark.parametrize("name", ["stocks", "crypto"])
def test_teaches_all_three_actions_and_every_account_feature(name: str) -> None:
    universe = load_universes(Settings()).universe(name)
    source = open_source(universe)
    symbols = universe_symbols(universe, source)
    bars = pl.concat(
        with_bar_times(source.read(symbol), universe).select(pl.lit(symbol).alias("symbol"), pl.all()) for symbol in symbols
    )
    panel = build_panel(compute_features(bars, universe, None, FeatureConfig()), symbols)
    train = make_splits(panel.close_time, SplitConfig()).train
    rules = TradingRules.of(universe)
    histories = record_decisions(panel.between(None, train.until), EnsemblePolicy.of(load_strategy(CONFIG_DIR), rules), rules)

    shares = action_distribution(OfflineDataset.from_decisions(history) for history in histories.values())
    assert 0.45 < shares[Action.HOLD] < 0.75
    assert shares[Action.BUY] > 0.08
    assert shares[Action.SELL] > 0.08
    everything = pl.concat(histories.values())
    for feature in ACCOUNT_FEATURES:
        assert everything[feature].std() > 0.1, f"{feature} hardly varies"  # type: ignore[operator]
    bought = everything.filter(pl.col("action") == int(Action.BUY))["strength"]
    assert bought.n_unique() > 0.8 * len(bought), "strength hardly varies"
