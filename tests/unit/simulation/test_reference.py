"""The batched step and the backtest agree with the scalar reference on random markets under random rules."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.simulation.market_paths import act_from_table, random_path, random_rules
from tests.unit.simulation.random_markets import RandomMarkets, draw_rules
from toto_ops.simulation.account import account_features
from toto_ops.simulation.backtest import backtest
from toto_ops.simulation.portfolio import StepResult, initial_state, mark_to_close, portfolio_step
from toto_ops.simulation.reference import ReferenceAccount, reference_backtest, reference_step
from toto_ops.simulation.rules import TradingRules

CLOSE = {"rtol": 1e-7, "atol": 1e-9}
ACCOUNTS, ROWS = 12, 14
EXAMPLES = 250
seeds = st.integers(0, 2**32 - 1)

happened: Counter[str] = Counter()
"""What the compared paths went through: agreement means little if the breaker or a pause never came."""


@settings(deadline=None, max_examples=EXAMPLES)
@given(seed=seeds)
def test_the_batched_step_agrees_with_the_scalar_reference(seed: int) -> None:
    """Every account has a market and rules of its own, so this is the test of stacked rules, too."""
    rng = np.random.default_rng(seed)
    markets = RandomMarkets.draw(rng, ACCOUNTS, ROWS)
    each = [draw_rules(rng) for _ in range(ACCOUNTS)]
    rules = TradingRules.stacked(each)
    state = initial_state(ACCOUNTS, markets.assets)
    accounts = [ReferenceAccount(markets.assets) for _ in each]
    half_a_day = torch.full((ACCOUNTS,), 0.5, dtype=torch.float64)
    batched, scalar = defaultdict(list), defaultdict(list)
    for row in range(ROWS):
        weight, hold = torch.from_numpy(markets.weight[row]), torch.from_numpy(markets.hold[row])
        step = portfolio_step(state, weight, hold, markets.bar(row), rules)
        state = mark_to_close(step.state, torch.from_numpy(markets.close[row]), torch.from_numpy(markets.closes[row]))
        take_note(step, markets, row, rules)
        for name, figure in figures_of(step, state, account_features(state, rules, half_a_day)).items():
            batched[name].append(figure.numpy())
        asked, held = markets.weight[row].tolist(), markets.hold[row].tolist()
        for b, account in enumerate(accounts):
            done = reference_step(account, asked[b], held[b], markets.reference_bar(row, b), each[b])
            account.mark_to(markets.close[row, b].tolist(), markets.closes[row, b].tolist())
            for name, figure in figures_of(done, account, account.features(each[b], 0.5)).items():
                scalar[name].append(figure)
    for name, figures in batched.items():
        mine = np.stack(figures)
        np.testing.assert_allclose(mine, np.reshape(scalar[name], mine.shape), rtol=1e-7, atol=1e-9, err_msg=name)
    happened["paths"] += ACCOUNTS


def figures_of(step: Any, account: Any, features: Any) -> dict[str, Any]:
    """Everything both simulations tell of a step and of the account after it."""
    of_step = ("equity_before", "equity_after", "interest", "costs", "fees", "turnover", "trades", "weights")
    of_account = ("cash", "units", "mark", "entry", "days_since_trade", "peak", "cooldown", "bankrupt")
    told = {name: getattr(step, name) for name in of_step} | {name: getattr(account, name) for name in of_account}
    # The scalar account goes on changing its lists.
    return {name: list(figure) if isinstance(figure, list) else figure for name, figure in told.items()} | {"features": features}


def take_note(step: StepResult, markets: RandomMarkets, row: int, rules: TradingRules) -> None:
    held_before, gone = step.value_before != 0, torch.from_numpy(markets.delisted[row].copy())
    waits = ~torch.from_numpy(markets.tradable[row]) & ~gone
    happened["bankruptcies"] += int(step.state.bankrupt.sum())
    happened["breaker"] += int((step.state.cooldown > 0).sum())
    happened["liquidations"] += int((gone & step.traded).sum())
    happened["positions that wait for a bar"] += int((held_before & waits).sum())
    happened["bars that close in a later row"] += int((markets.tradable[row] & ~markets.closes[row]).sum())
    happened["interest while nothing trades"] += int(((step.trades == 0) & (step.interest > 0)).sum())
    happened["shorts"] += int((step.value_after < 0).sum())
    happened["cap reached"] += int(
        torch.isclose(step.weights.abs().sum(-1), torch.as_tensor(rules.gross_leverage).double()).sum()
    )
    most = rules.participation * torch.from_numpy(markets.traded_value[row]) / torch.as_tensor(rules.capital).view(-1, 1)
    happened["trades cut by participation"] += int(torch.isclose((step.value_after - step.value_before).abs(), most).sum())


def test_the_random_markets_reach_every_clause_of_the_rules() -> None:
    """Runs after the comparison, in the same process, or compares for itself."""
    if not happened:
        test_the_batched_step_agrees_with_the_scalar_reference()
    print(f"compared with the reference: {dict(happened)}")
    assert happened["paths"] >= EXAMPLES * ACCOUNTS
    assert all(count >= 100 for count in happened.values()), happened


@settings(deadline=None, max_examples=60)
@given(
    seed=seeds,
    rules=random_rules,
    wildness=st.sampled_from([0.01, 0.08, 0.25]),
    reach=st.sampled_from([0.3, 1.0, 2.5]),
    several_calendars=st.booleans(),
)
def test_backtest_agrees_with_the_scalar_reference(
    seed: int, rules: TradingRules, wildness: float, reach: float, several_calendars: bool
) -> None:
    path = random_path(seed, wildness=wildness, reach=reach, several_calendars=several_calendars)
    panel = path.panel

    result = backtest(panel, act_from_table, rules)
    expected = reference_backtest(path.reference_bars(), panel.close.tolist(), [1.0] * panel.rows, path.table(), rules)

    np.testing.assert_allclose(result.equity, expected.equity, **CLOSE)
    np.testing.assert_allclose(result.weights[:-1], [step.weights for step in expected.steps], **CLOSE)
    np.testing.assert_allclose(result.costs[:-1], [step.costs for step in expected.steps], **CLOSE)
    np.testing.assert_allclose(result.fees[:-1], [step.fees for step in expected.steps], **CLOSE)
    np.testing.assert_allclose(result.interest[:-1], [step.interest for step in expected.steps], **CLOSE)
    np.testing.assert_allclose(result.turnover[:-1], [step.turnover for step in expected.steps], **CLOSE)
    np.testing.assert_allclose(result.account, expected.features, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(result.trades[:-1], [step.trades for step in expected.steps])
    np.testing.assert_array_equal(result.fill_row, expected.fill_row)
    np.testing.assert_allclose(result.trades_made.fees.sum(), sum(step.fees for step in expected.steps), **CLOSE)
