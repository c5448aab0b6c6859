"""The decision history: complete, true to the backtest it came from, and without a look ahead."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from tests.unit.analysts.analyst_samples import make_rules, make_strategy, swinging_panel
from toto_ops.analysts.decisions import DECISION_SCHEMA, load_decisions, record_decisions, save_decisions
from toto_ops.analysts.ensemble import EnsemblePolicy
from toto_ops.errors import InsufficientDataError, StorageError
from toto_ops.features.state import ACCOUNT_FEATURES, STATE_FEATURES
from toto_ops.simulation.backtest import backtest
from toto_ops.simulation.observation import Action, Observation, split_state

RULES = make_rules()
POLICY = EnsemblePolicy.of(make_strategy(), RULES)
PANEL = swinging_panel()


@pytest.fixture(scope="module")
def histories() -> dict[str, pl.DataFrame]:
    return record_decisions(PANEL, POLICY, RULES)


def test_every_symbol_has_a_row_per_decision_in_time_order(histories: dict[str, pl.DataFrame]) -> None:
    assert tuple(histories) == PANEL.symbols
    for column, symbol in enumerate(PANEL.symbols):
        assert histories[symbol].height == PANEL.mask[:, column].sum()
        assert histories[symbol]["close_time"].is_sorted()
        assert dict(histories[symbol].schema) == dict(DECISION_SCHEMA)


def test_only_what_may_be_missing_is(histories: dict[str, pl.DataFrame]) -> None:
    for history in histories.values():
        never_null = history.drop("target_weight", "fill_time")
        assert never_null.null_count().sum_horizontal().item() == 0
        assert history["target_weight"].is_null().equals(history["action"] == int(Action.HOLD))


def test_the_account_is_the_real_one_of_that_moment(histories: dict[str, pl.DataFrame]) -> None:
    result = backtest(PANEL, POLICY.act, RULES)
    for column, symbol in enumerate(PANEL.symbols):
        kept = PANEL.mask[:, column]
        np.testing.assert_array_equal(histories[symbol].select(ACCOUNT_FEATURES).to_numpy(), result.account[kept, column])
        for name in ACCOUNT_FEATURES:
            assert histories[symbol][name].n_unique() > 20, f"{name} hardly varies"


def test_the_state_reproduces_the_decision(histories: dict[str, pl.DataFrame]) -> None:
    for history in histories.values():
        market, account = split_state(torch.from_numpy(history.select(STATE_FEATURES).to_numpy()).unsqueeze(1))
        again = POLICY.act(Observation(market, account, torch.ones(history.height, 1, dtype=torch.bool)))
        np.testing.assert_array_equal(again.action[:, 0].numpy(), history["action"].to_numpy())
        np.testing.assert_allclose(again.strength[:, 0].numpy(), history["strength"].to_numpy(), atol=1e-6)


def test_the_vote_is_that_of_the_analysts_signals(histories: dict[str, pl.DataFrame]) -> None:
    weights = POLICY.strategy.weights
    said = pl.sum_horizontal(
        getattr(weights, name) * pl.col(f"{name}_signal") * pl.col(f"{name}_confidence") for name in ("technical", "risk", "news")
    )
    cast = pl.sum_horizontal(getattr(weights, name) * pl.col(f"{name}_confidence") for name in ("technical", "risk", "news"))
    for history in histories.values():
        np.testing.assert_allclose(history["vote"].to_numpy(), history.select(said / cast).to_series().to_numpy(), atol=1e-5)


def test_a_decision_takes_effect_at_the_open_that_follows(histories: dict[str, pl.DataFrame]) -> None:
    # In this 24/7 market the next bar opens the moment this one closes.
    filled = histories["S0"].drop_nulls("fill_time")
    assert filled.height >= histories["S0"].height - 2
    assert (filled["fill_time"] == filled["close_time"]).all()


def test_a_longer_lag_delays_the_fill() -> None:
    history = record_decisions(PANEL, POLICY, RULES.with_lag(3))["S0"].drop_nulls("fill_time")
    assert (history["fill_time"] - history["close_time"]).unique().to_list() == [timedelta(days=2)]


def test_later_bars_do_not_change_earlier_decisions(histories: dict[str, pl.DataFrame]) -> None:
    cut = 150
    shorter = record_decisions(PANEL.take(np.arange(PANEL.rows) < cut), POLICY, RULES)
    until = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=cut)
    for symbol, history in shorter.items():
        whole = histories[symbol].filter(pl.col("close_time") <= until)
        assert history.drop("fill_time").equals(whole.drop("fill_time"))


def test_a_symbol_listed_after_the_panel_has_an_empty_history() -> None:
    mask = PANEL.mask.copy()
    mask[:, 2] = False
    prices = {name: np.where(mask, getattr(PANEL, name), np.nan) for name in ("open", "close")}
    unlisted = replace(PANEL, mask=mask, tradable=mask, **prices)
    history = record_decisions(unlisted, POLICY, RULES)["S2"]
    assert history.height == 0
    assert dict(history.schema) == dict(DECISION_SCHEMA)


def test_a_bankrupt_account_takes_no_further_decisions() -> None:
    price = PANEL.open.copy()
    crash = 100
    price[crash:] *= 1e-3
    ruined = replace(PANEL, open=price, close=price)
    rules = make_rules(w_max=3.0, symbol_cap=3.0, gross_leverage=5.0, stop_loss=9.0, max_drawdown=9.0)
    history = record_decisions(ruined, EnsemblePolicy.of(make_strategy(), rules), rules)["S0"]
    assert history.height == crash


def test_a_single_bar_is_no_history() -> None:
    with pytest.raises(InsufficientDataError):
        record_decisions(PANEL.take(np.arange(PANEL.rows) == 0), POLICY, RULES)


def test_a_panel_of_other_features_is_refused() -> None:
    with pytest.raises(ValueError, match="34-feature state"):
        record_decisions(replace(PANEL, feature_names=PANEL.feature_names[::-1]), POLICY, RULES)


class TestStorage:
    def test_parquet_keeps_everything(self, histories: dict[str, pl.DataFrame], tmp_path: Path) -> None:
        path = tmp_path / "decisions.parquet"
        save_decisions(histories["S1"], path)
        assert load_decisions(path).equals(histories["S1"])

    def test_what_is_no_history_is_refused(self, histories: dict[str, pl.DataFrame], tmp_path: Path) -> None:
        other, garbage = tmp_path / "other.parquet", tmp_path / "garbage.parquet"
        histories["S0"].drop("vote").write_parquet(other)
        garbage.write_bytes(b"\x00\xffnot parquet")
        for path, message in ((other, "other columns"), (garbage, "not a decision history"), (tmp_path / "absent", "not a")):
            with pytest.raises(StorageError, match=message):
                load_decisions(path)
