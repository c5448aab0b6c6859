"""The benchmark of the floor: a portfolio anyone could have held, exactly as volatile as what it is compared with."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from toto_ops.evaluation.baselines.volatility_matching import RUNGS, equal_weight_ladder, mix, volatility_matched
from toto_ops.evaluation.statistics.metrics import total_return, volatility
from toto_ops.simulation.backtest import run_backtests
from toto_ops.simulation.rules import TradingRules
from toto_ops.simulation.trades import Trades

YEAR = 365.0


@pytest.fixture(scope="module")
def panel(panel_of):
    return panel_of(rows=120)


@pytest.fixture(scope="module")
def rules(universe) -> TradingRules:
    return TradingRules.of(universe)


@pytest.fixture(scope="module")
def climb(panel, rules):
    """Backtests of the ladder, by changes of the rules."""

    def run(bars=panel, **changes):
        return run_backtests(bars, equal_weight_ladder(bars, replace(rules, **changes)))

    return run


@pytest.fixture(scope="module")
def ladder(climb):
    return climb()


@pytest.fixture(scope="module")
def natural(ladder) -> float:
    """Volatility of fully invested equal weight."""
    return float(volatility(ladder[RUNGS.index(1.0)].returns, YEAR))


@pytest.mark.parametrize("share", [0.07, 0.3, 0.77, 1.0, 1.1, 2.3, 3.9])
def test_it_is_exactly_as_volatile_as_what_it_is_compared_with(ladder, natural, share):
    match = volatility_matched(ladder, share * natural, YEAR)
    assert match.matched
    assert match.realised == pytest.approx(share * natural, rel=1e-9)
    assert float(volatility(match.result.returns, YEAR)) == match.realised
    assert match.scale == pytest.approx(share, rel=0.1)


def test_at_the_volatility_of_a_rung_it_is_that_rung(ladder, natural):
    match = volatility_matched(ladder, natural, YEAR)
    assert match.scale == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(match.result.equity, ladder[RUNGS.index(1.0)].equity, rtol=1e-9)


def test_without_volatility_it_is_cash(ladder):
    match = volatility_matched(ladder, 0.0, YEAR)
    assert (match.scale, match.matched) == (0.0, True)
    assert (match.result.returns == 0.0).all()


def test_what_is_borrowed_is_financed_and_what_is_idle_earns_its_rate(climb, natural):
    financed, free, earning = climb(), climb(margin_rate=0.0), climb(cash_rate=0.10)
    levered = volatility_matched(financed, 2 * natural, YEAR)
    assert levered.result.interest.sum() > 0.0
    assert total_return(volatility_matched(free, 2 * natural, YEAR).result.returns) > total_return(levered.result.returns)
    assert volatility_matched(earning, 0.3 * natural, YEAR).result.interest.sum() < 0.0
    assert volatility_matched(financed, 0.3 * natural, YEAR).result.interest.sum() == 0.0


def test_costs_are_paid(climb, ladder, natural):
    dear = volatility_matched(climb(cost_rate=0.01), natural, YEAR)
    assert total_return(dear.result.returns) < total_return(volatility_matched(ladder, natural, YEAR).result.returns)


class TestTargetsOutOfReach:
    def test_more_than_the_highest_rung_is_not_matched_and_the_nearest_rung_is_shown(self, ladder, natural):
        match = volatility_matched(ladder, 10 * natural, YEAR)
        assert (match.matched, match.scale) == (False, RUNGS[-1])
        assert match.realised == pytest.approx(float(volatility(ladder[-1].returns, YEAR)))

    def test_prices_that_never_move_match_nothing(self, climb, panel):
        still = replace(panel, open=np.full_like(panel.open, 100.0), close=np.full_like(panel.close, 100.0))
        assert not volatility_matched(climb(still, cost_rate=0.0), 0.3, YEAR).matched

    def test_a_rung_that_went_bankrupt_is_no_benchmark(self, climb, panel):
        crash = np.where(np.arange(panel.rows)[:, None] >= 60, 0.6, 1.0)
        ladder = climb(replace(panel, open=panel.open * crash, close=panel.close * crash))
        solvent = [scale for scale, rung in zip(RUNGS, ladder, strict=True) if not rung.bankrupt.any()]
        assert 1.0 < solvent[-1] < RUNGS[-1]
        match = volatility_matched(ladder, 5.0, YEAR)
        assert (match.matched, match.scale) == (False, solvent[-1])


class TestMix:
    @pytest.fixture
    def mixed(self, ladder):
        return mix(ladder[8], ladder[12], 0.25)

    def test_equity_is_that_of_both_accounts(self, mixed, ladder):
        np.testing.assert_allclose(mixed.equity, 0.25 * ladder[8].equity + 0.75 * ladder[12].equity)
        np.testing.assert_allclose(np.cumprod(1 + mixed.returns), mixed.equity[1:])

    def test_its_books_balance(self, mixed):
        made = mixed.trades_made.net_profit.sum() - mixed.interest.sum()
        assert mixed.equity[-1] - mixed.equity[0] == pytest.approx(made)
        assert mixed.trades_made.fees.sum() == pytest.approx(mixed.fees.sum()) == pytest.approx(mixed.costs.sum())

    def test_exposure_lies_between_those_of_the_two(self, mixed, ladder):
        invested = slice(1, None)
        assert (mixed.exposure[invested] > ladder[8].exposure[invested]).all()
        assert (mixed.exposure[invested] < ladder[12].exposure[invested]).all()

    def test_weights_are_the_held_values_over_equity(self, mixed, ladder):
        held = 0.25 * ladder[8].weights[-1] * ladder[8].equity[-1] + 0.75 * ladder[12].weights[-1] * ladder[12].equity[-1]
        np.testing.assert_allclose(mixed.weights[-1], held / mixed.equity[-1])

    def test_turnover_is_traded_value_over_equity(self, mixed, ladder, rules):
        np.testing.assert_allclose(mixed.turnover * mixed.equity * rules.cost_rate, mixed.fees)

    def test_trades_are_in_order(self, mixed):
        ended = mixed.trades_made.exit_time
        still_open = np.isnat(ended)
        assert (np.diff(still_open.astype(int)) >= 0).all()
        assert {column.name for column in fields(Trades)} == set(vars(mixed.trades_made))

    def test_all_of_one_is_that_one(self, ladder):
        same = mix(ladder[8], ladder[12], 1.0)
        np.testing.assert_array_equal(same.equity, ladder[8].equity)
        np.testing.assert_allclose(same.weights, ladder[8].weights)

    def test_accounts_of_other_bars_cannot_be_mixed(self, ladder, climb, panel):
        other = climb(panel.take(np.arange(panel.rows) < 100))
        with pytest.raises(ValueError, match="same bars"):
            mix(ladder[8], other[8], 0.5)
