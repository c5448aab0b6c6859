from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from toto_ops.evaluation.baselines import VOLATILITY_TOLERANCE, cash, equal_weight, match_volatility
from toto_ops.evaluation.metrics import total_return, volatility
from toto_ops.simulation.backtest import backtest
from toto_ops.simulation.observation import Observation
from toto_ops.simulation.rules import TradingRules


@pytest.fixture
def rules(universe) -> TradingRules:
    return TradingRules.of(universe).for_baselines()


@pytest.fixture
def matched(panel_of, rules):
    panel = panel_of(rows=120)
    unscaled = backtest(panel, equal_weight(), rules)

    def run(target: float, **changes):
        return match_volatility(panel, replace(rules, **changes), unscaled, target=target, periods_per_year=365)

    return run


def observe(mask: list[bool]) -> Observation:
    shape = (1, len(mask))
    return Observation(torch.zeros(*shape, 30), torch.zeros(*shape, 4), torch.tensor([mask]))


def test_equal_weight_gives_each_symbol_with_a_bar_the_same_share():
    decision = equal_weight(1.5)(observe([True, False, True]))
    assert decision.weight.tolist() == [[0.75, 0.0, 0.75]]
    assert decision.hold.tolist() == [[False, True, False]]


def test_equal_weight_without_any_bar_holds():
    decision = equal_weight()(observe([False, False]))
    assert decision.hold.all()
    assert torch.isfinite(decision.weight).all()


def test_cash_never_trades(panel_of, rules):
    result = backtest(panel_of(rows=60), cash(), rules)
    assert result.trades.sum() == 0
    assert (result.equity == 1.0).all()


def test_equal_weight_without_costs_earns_the_mean_return_of_the_symbols(panel_of, rules):
    panel = panel_of(rows=60)
    result = backtest(panel, equal_weight(), replace(rules, cost_rate=0.0))
    moves = panel.open[1:] / panel.open[:-1] - 1
    np.testing.assert_allclose(result.returns[1:], moves[1:].mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("share", [0.3, 1.0, 2.5])
def test_the_matched_benchmark_is_as_volatile_as_what_it_is_matched_to(matched, share):
    natural = matched(target=1e-9).target and matched(target=0.2).realised / matched(target=0.2).scale
    target = share * natural
    match = matched(target=target)
    assert match.matched
    assert match.realised == pytest.approx(target, rel=VOLATILITY_TOLERANCE)
    assert float(volatility(match.result.returns, 365)) == match.realised
    assert match.scale == pytest.approx(share, rel=0.1)


def test_a_levered_benchmark_pays_interest_and_an_unlevered_one_does_not(matched):
    calm, wild = matched(target=0.10), matched(target=0.60)
    assert calm.scale < 1 < wild.scale
    assert calm.result.interest.sum() == 0.0
    assert wild.result.interest.sum() > 0.0
    free = matched(target=0.60, margin_rate=0.0)
    assert total_return(free.result.returns) > total_return(wild.result.returns)


def test_a_calm_target_is_reached_with_cash_that_earns_its_rate(matched):
    earning = matched(target=0.05, cash_rate=0.10)
    assert earning.result.interest.sum() < 0.0


def test_the_matched_benchmark_pays_costs(matched):
    assert total_return(matched(target=0.3, cost_rate=0.01).result.returns) < total_return(matched(target=0.3).result.returns)


def test_no_volatility_to_match_is_matched_by_cash(matched):
    match = matched(target=0.0)
    assert (match.scale, match.matched) == (0.0, True)
    assert (match.result.returns == 0.0).all()


def test_prices_that_never_move_cannot_be_matched_and_say_so(panel_of, rules):
    panel = panel_of(rows=60)
    still = replace(panel, open=np.full_like(panel.open, 100.0), close=np.full_like(panel.close, 100.0))
    free = replace(rules, cost_rate=0.0)
    match = match_volatility(still, free, backtest(still, equal_weight(), free), target=0.3, periods_per_year=365)
    assert not match.matched
