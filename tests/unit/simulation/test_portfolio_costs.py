"""What trades cost: flat rates, slippage that grows with volatility, and impact by the square-root law."""

from __future__ import annotations

import math

import pytest
import torch

from tests.unit.simulation.market_paths import make_rules
from tests.unit.simulation.portfolio_steps import knowing, money, open_at, portfolio, step
from toto_ops.simulation.portfolio import (
    initial_state,
    portfolio_step,
)
from toto_ops.simulation.rules import TradingRules


class TestCosts:
    """Of buying a tenth of an account that stands for a million, where a million is traded in a usual bar."""

    @staticmethod
    def fees(rules: TradingRules, *, volatility: float = 0.04, traded_value: float = 1e6, capital: float = 1.0) -> float:
        bar = knowing(open_at(10.0), volatility=volatility, traded_value=traded_value)
        weight = money(0.1).unsqueeze(0)
        return portfolio_step(initial_state(1, 1, capital), weight, weight.isnan(), bar, rules).fees.item()

    def test_slippage_is_as_stated_at_the_volatility_stated_and_grows_with_it(self) -> None:
        rules = make_rules(slippage=0.002, slippage_volatility=0.04)
        assert self.fees(rules, volatility=0.04) == pytest.approx(0.1 * 0.002, rel=1e-3)
        assert self.fees(rules, volatility=0.08) == pytest.approx(0.1 * 0.004, rel=1e-3)
        assert self.fees(rules, volatility=0.0) == 0.0

    def test_slippage_is_as_stated_where_volatility_is_unknown(self) -> None:
        assert self.fees(make_rules(slippage=0.002), volatility=math.nan) == pytest.approx(0.1 * 0.002, rel=1e-3)

    def test_slippage_takes_no_more_than_what_is_traded(self) -> None:
        rules = make_rules(slippage=0.1, slippage_volatility=0.02)
        assert self.fees(rules, volatility=0.4) == self.fees(rules, volatility=0.2) == pytest.approx(0.1, rel=0.2)

    def test_slippage_comes_on_top_of_the_flat_costs(self) -> None:
        rules = make_rules(cost_rate=0.001, slippage=0.002, slippage_volatility=0.04)
        assert self.fees(rules) == pytest.approx(0.1 * 0.003, rel=1e-3)

    def test_impact_follows_the_square_root_law(self) -> None:
        rules = make_rules(impact=1.0)
        # A tenth of a usual bar: volatility times its root, as a fraction of the trade.
        assert self.fees(rules) == pytest.approx(0.1 * 0.04 * math.sqrt(0.1), rel=1e-2)
        assert self.fees(rules, traded_value=4e6) == pytest.approx(0.1 * 0.04 * math.sqrt(0.025), rel=1e-2)
        assert self.fees(make_rules(impact=0.5)) == pytest.approx(self.fees(rules) / 2, rel=1e-2)

    def test_impact_costs_no_more_than_all_that_is_traded(self) -> None:
        state = portfolio([0.5], [10.0], make_rules())
        bar = knowing(open_at(10.0), volatility=0.5, traded_value=1.0)
        assert step(state, [0.0], bar, make_rules(impact=1.0)).fees.item() == pytest.approx(0.5)

    @pytest.mark.parametrize("unknown", [{"volatility": math.nan}, {"traded_value": math.nan}, {"traded_value": 0.0}], ids=str)
    def test_there_is_no_impact_where_volatility_or_volume_is_unknown(self, unknown: dict[str, float]) -> None:
        assert self.fees(make_rules(impact=1.0), **unknown) == 0.0

    def test_an_account_of_one_pays_the_share_that_one_of_its_capital_would(self) -> None:
        rules = make_rules(cost_rate=0.001, slippage=0.002, impact=1.0, capital=1e6)
        assert self.fees(rules, capital=1e6) == pytest.approx(1e6 * self.fees(rules, capital=1.0), rel=1e-12)
        assert self.fees(make_rules(impact=1.0, capital=1e8)) > 5 * self.fees(make_rules(impact=1.0, capital=1e6))

    def test_targets_are_met_by_the_equity_that_every_cost_leaves(self) -> None:
        rules = make_rules(cost_rate=0.001, slippage=0.002, slippage_volatility=0.04, impact=1.0, gross_leverage=1.5)
        bar = knowing(open_at(10.0, 20.0), volatility=0.04, traded_value=1e6)
        result = step(initial_state(1, 2), [1.0, -1.0], bar, rules)
        assert result.weights[0].tolist() == pytest.approx([0.75, -0.75], rel=1e-10)
        assert result.equity_after.item() == pytest.approx(result.equity_before.item() - result.costs.sum().item())

    def test_costs_are_told_symbol_by_symbol(self) -> None:
        rules = make_rules(cost_rate=0.01)
        result = step(portfolio([0.5, 0.0], [10.0, 10.0], make_rules()), [0.5, 0.2], open_at(10.0, 10.0), rules)
        change = (result.value_after - result.value_before).abs()
        torch.testing.assert_close(result.costs, 0.01 * change)
        torch.testing.assert_close(result.fees, result.costs.sum(-1))
