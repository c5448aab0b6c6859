"""The batched step and the backtest agree with the scalar reference on random markets under random rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.simulation.market_paths import act_from_table, make_rules, random_path, random_rules
from toto_ops.simulation.account import account_features
from toto_ops.simulation.backtest import backtest
from toto_ops.simulation.portfolio import BarPrices, initial_state, mark_to_close, portfolio_step
from toto_ops.simulation.reference import ReferenceAccount, ReferenceBar, reference_backtest, reference_step
from toto_ops.simulation.rules import TradingRules

CLOSE = {"rtol": 1e-7, "atol": 1e-9}
seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=60)
@given(seed=seeds, rules=random_rules, wildness=st.sampled_from([0.01, 0.08, 0.25]), reach=st.sampled_from([0.3, 1.0, 2.5]))
def test_backtest_agrees_with_the_scalar_reference(seed: int, rules: TradingRules, wildness: float, reach: float) -> None:
    path = random_path(seed, wildness=wildness, reach=reach)
    panel = path.panel

    result = backtest(panel, act_from_table, rules)
    expected = reference_backtest(path.reference_bars(), panel.close.tolist(), [1.0] * panel.rows, path.table(), rules)

    np.testing.assert_allclose(result.equity, expected.equity, **CLOSE)
    np.testing.assert_allclose(result.weights[:-1], [step.weights for step in expected.steps], **CLOSE)
    np.testing.assert_allclose(result.fees[:-1], [step.fees for step in expected.steps], **CLOSE)
    np.testing.assert_allclose(result.interest[:-1], [step.interest for step in expected.steps], **CLOSE)
    np.testing.assert_allclose(result.turnover[:-1], [step.turnover for step in expected.steps], **CLOSE)
    np.testing.assert_allclose(result.account, expected.features, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(result.trades[:-1], [step.trades for step in expected.steps])
    np.testing.assert_array_equal(result.fill_row, expected.fill_row)


@settings(deadline=None, max_examples=15)
@given(seed=seeds, rules=random_rules)
def test_accounts_of_one_batch_do_not_touch_each_other(seed: int, rules: TradingRules) -> None:
    rng = np.random.default_rng(seed)
    accounts, assets = 4, 3
    state = initial_state(accounts, assets)
    references = [ReferenceAccount(assets) for _ in range(accounts)]
    price = np.full((accounts, assets), 20.0)
    for _ in range(12):
        price = price * np.exp(rng.normal(0, 0.1, price.shape))
        tradable = rng.random(price.shape) > 0.15
        weight, hold = rng.uniform(-1.5, 1.5, price.shape), rng.random(price.shape) < 0.3
        days = rng.choice([1.0, 3.0], accounts)
        nowhere = np.zeros_like(tradable)
        bar = BarPrices.of_prices(*(torch.from_numpy(part) for part in (price, tradable, nowhere, days)))
        step = portfolio_step(state, torch.from_numpy(weight), torch.from_numpy(hold), bar, rules)
        state = mark_to_close(step.state, torch.from_numpy(price), torch.from_numpy(tradable))
        features = account_features(state, rules, torch.full((accounts,), 0.5, dtype=torch.float64))
        for b, account in enumerate(references):
            scalar_bar = ReferenceBar(price[b].tolist(), tradable[b].tolist(), nowhere[b].tolist(), float(days[b]))
            expected = reference_step(account, weight[b].tolist(), hold[b].tolist(), scalar_bar, rules)
            account.mark_to(price[b].tolist(), tradable[b].tolist())
            assert step.equity_after[b].item() == pytest.approx(expected.equity_after, rel=1e-7, abs=1e-9)
            np.testing.assert_allclose(step.weights[b], expected.weights, **CLOSE)
            np.testing.assert_allclose(state.units[b], account.units, **CLOSE)
            np.testing.assert_allclose(state.entry[b], account.entry, **CLOSE)
            np.testing.assert_allclose(features[b], account.features(rules, 0.5), **CLOSE)
            assert bool(state.bankrupt[b]) == account.bankrupt
            assert int(state.cooldown[b]) == account.cooldown


def test_the_random_markets_reach_every_clause_of_the_rules() -> None:
    """Agreement means little if the breaker, bankruptcy or a pause never happened in the compared paths."""
    bite = make_rules(
        cost_rate=0.0015, margin_rate=0.07, gross_leverage=2.0, stop_loss=0.1, max_drawdown=0.1, bankruptcy_floor=0.5
    )
    results = [backtest(random_path(seed, reach=2.5).panel, act_from_table, bite) for seed in range(20)]
    assert any(result.bankrupt.any() for result in results)
    assert any(result.breaker.any() for result in results)
    assert any((result.interest > 0).any() for result in results)
    assert any((result.weights < 0).any() for result in results)
    assert any(np.isclose(result.exposure, 2.0).any() for result in results)
    assert any((~result.decided).any() for result in results)
    assert any(random_path(seed).panel.ended.any() for seed in range(20))
