"""The portfolios anyone can hold: what they decide, when, and that they know nothing of the future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from toto_ops.errors import InsufficientDataError
from toto_ops.evaluation.baselines.plans import (
    BASELINES,
    REBALANCE_ROWS,
    baseline_entrants,
    baseline_plans,
)
from toto_ops.evaluation.baselines.price_history import MOMENTUM_BARS, RISK_ROWS
from toto_ops.features.moments import to_aware
from toto_ops.simulation.backtest import run_backtests
from toto_ops.simulation.rules import TradingRules

NAMES = [baseline.name for baseline in BASELINES]
ROWS = 400
SPAN = 300
"""Row the span begins at: whatever looks back can."""


@pytest.fixture
def panel(panel_of):
    return panel_of(rows=ROWS, symbols=("AAA", "BBB", "CCC"))


@pytest.fixture
def rules(universe) -> TradingRules:
    return TradingRules.of(universe)


def at_row(panel, row):
    """A moment after which the span begins at `row`."""
    return to_aware(panel.close_time[row - 1 : row])[0]


def without(panel, *cells):
    """The panel with the bars of some rows and columns taken away."""
    mask = panel.mask.copy()
    for rows, column in cells:
        mask[rows, column] = False
    return replace(
        panel,
        mask=mask,
        tradable=mask,
        open=np.where(mask, panel.open, np.nan),
        close=np.where(mask, panel.close, np.nan),
    )


def weights_of(name, panel, row=SPAN):
    return baseline_plans(panel, at_row(panel, row))[name].weights


def decided_rows(weights):
    return np.flatnonzero(np.isfinite(weights).any(axis=1)).tolist()


def test_there_are_six():
    assert NAMES == [
        "cash",
        "equal weight",
        "equal weight rebalanced",
        "momentum",
        "inverse volatility",
        "risk parity",
    ]


class TestWeights:
    def test_cash_never_holds_anything(self, panel):
        assert not np.nan_to_num(weights_of("cash", panel)).any()

    def test_equal_weight_is_bought_once_and_held(self, panel):
        weights = weights_of("equal weight", panel)
        assert decided_rows(weights) == [0]
        assert weights[0].tolist() == pytest.approx([1 / 3] * 3)

    def test_rebalanced_equal_weight_decides_at_every_bar(self, panel):
        assert (weights_of("equal weight rebalanced", panel) == 1 / 3).all()

    @pytest.mark.parametrize("name", ["momentum", "inverse volatility", "risk parity"])
    def test_what_is_estimated_is_decided_once_a_month(self, panel, name):
        assert decided_rows(weights_of(name, panel)) == list(range(0, ROWS - SPAN, REBALANCE_ROWS))

    def test_momentum_holds_what_has_risen_and_cash_for_the_rest(self, panel):
        past = panel.close[SPAN] / panel.close[SPAN - MOMENTUM_BARS] - 1
        assert 0 < (past > 0).sum() < 3
        assert weights_of("momentum", panel)[0].tolist() == pytest.approx(np.where(past > 0, 1 / 3, 0.0).tolist())

    def test_momentum_counts_the_bars_of_the_symbol_itself(self, panel):
        rising = replace(panel, close=np.linspace([100.0] * 3, [200.0] * 3, ROWS))
        gap = without(rising, (slice(100, 200), 1))
        assert weights_of("momentum", gap)[0].tolist() == pytest.approx([1 / 3, 0.0, 1 / 3])
        assert weights_of("momentum", gap, row=MOMENTUM_BARS + 100)[0].tolist() == pytest.approx([1 / 3] * 3)

    def test_inverse_volatility_gives_the_calmer_symbol_more(self, panel):
        deviation = np.diff(np.log(panel.close), axis=0)[SPAN - RISK_ROWS : SPAN].std(axis=0)
        expected = (1 / deviation) / (1 / deviation).sum()
        assert weights_of("inverse volatility", panel)[0].tolist() == pytest.approx(expected.tolist())

    def test_risk_parity_shares_the_risk(self, panel):
        returns = np.diff(np.log(panel.close), axis=0)[SPAN - RISK_ROWS : SPAN]
        shrunk = 0.9 * np.cov(returns, rowvar=False, ddof=0) + 0.1 * np.diag(returns.var(axis=0))
        weights = weights_of("risk parity", panel)[0]
        np.testing.assert_allclose(weights * (shrunk @ weights) / (weights @ shrunk @ weights), 1 / 3, rtol=1e-8)

    @pytest.mark.parametrize("name", ["momentum", "inverse volatility", "risk parity"])
    def test_what_looks_back_needs_the_bars_before_the_span(self, panel, name):
        assert weights_of(name, panel)[0].any()
        alone = panel.between(at_row(panel, SPAN), None)
        assert not np.nan_to_num(baseline_plans(alone)[name].weights[: min(RISK_ROWS, alone.rows)]).any()

    @pytest.mark.parametrize("name", ["inverse volatility", "risk parity"])
    def test_a_symbol_whose_price_never_moved_has_no_risk_to_go_by(self, panel, name):
        still = replace(panel, close=np.where([False, True, False], 100.0, panel.close))
        weights = weights_of(name, still)[0]
        assert weights[1] == 0.0
        assert weights.sum() == pytest.approx(1.0)


class TestSymbolsThatComeAndGo:
    def test_one_that_pauses_keeps_its_share_and_decides_at_its_next_bar(self, panel):
        paused = without(panel, (slice(SPAN, SPAN + 3), 1))
        held = weights_of("equal weight", paused)
        assert decided_rows(held) == [0, 3]
        assert held[3, 1] == held[0, 0] == pytest.approx(1 / 3)
        assert weights_of("equal weight rebalanced", paused)[0, 0] == pytest.approx(1 / 3)

    def test_one_that_has_been_gone_for_a_week_is_no_longer_counted(self, panel):
        weights = weights_of("equal weight rebalanced", without(panel, (slice(SPAN + 10, None), 1)))
        assert weights[16, 0] == pytest.approx(1 / 3)
        assert weights[17, 0] == pytest.approx(1 / 2)
        assert np.isnan(weights[10:, 1]).all()

    def test_one_that_comes_later_is_rebalanced_into_but_not_bought_by_who_bought_once(self, panel):
        late = without(panel, (slice(0, SPAN + 30), 1))
        assert weights_of("equal weight rebalanced", late)[30].tolist() == pytest.approx([1 / 3] * 3)
        assert not np.nan_to_num(weights_of("equal weight", late)[:, 1]).any()

    def test_the_first_row_with_any_symbol_is_where_they_begin(self, panel):
        empty = without(panel, *((slice(0, 20), column) for column in range(3)))
        assert decided_rows(baseline_plans(empty)["equal weight"].weights) == [20]


class TestSpan:
    def test_plans_have_the_rows_of_the_span(self, panel):
        after, until = at_row(panel, SPAN), at_row(panel, SPAN + 50)
        shapes = {plan.weights.shape for plan in baseline_plans(panel, after, until).values()}
        assert shapes == {panel.between(after, until).mask.shape} == {(50, 3)}

    def test_a_span_without_rows_is_an_error(self, panel):
        with pytest.raises(InsufficientDataError, match="no bar"):
            baseline_plans(panel, at_row(panel, SPAN), at_row(panel, SPAN))

    @pytest.mark.parametrize("name", NAMES)
    def test_bars_to_come_change_nothing(self, panel, name):
        cut = SPAN + 45
        rng = np.random.default_rng(1)
        garbage = panel.close * np.where(np.arange(ROWS)[:, None] > cut, rng.lognormal(0, 2, panel.close.shape), 1.0)
        altered = without(replace(panel, close=garbage), (slice(cut + 5, None, 2), 0))
        truncated = panel.take(np.arange(ROWS) <= cut)
        whole = weights_of(name, panel)[: cut + 1 - SPAN]
        np.testing.assert_array_equal(weights_of(name, altered)[: cut + 1 - SPAN], whole)
        np.testing.assert_array_equal(weights_of(name, truncated), whole)


class TestBacktest:
    def run(self, panel, rules):
        after = at_row(panel, SPAN)
        results = run_backtests(panel.between(after, None), baseline_entrants(panel, rules, after))
        return dict(zip(NAMES, results, strict=True))

    def test_cash_stays_as_it_is(self, panel, rules):
        assert (self.run(panel, rules)["cash"].equity == 1.0).all()

    def test_costs_are_paid_and_the_limits_of_the_universe_do_not_bind(self, panel, rules):
        tight = replace(rules, symbol_cap=0.01, gross_leverage=0.01, rebalancing_band=0.5, max_positions=1)
        results = self.run(panel, tight)
        assert results["equal weight"].exposure[1:].min() > 0.9
        assert results["equal weight"].fees.sum() == pytest.approx(0.0005, rel=0.01)

    def test_the_lag_is_that_of_the_universe(self, panel, rules):
        assert self.run(panel, rules.with_lag(3))["equal weight"].exposure[:4].tolist() == pytest.approx([0, 0, 0, 1], abs=1e-3)

    def test_bought_once_trades_once_and_rebalanced_trades_every_day(self, panel, rules):
        results = self.run(panel, rules)
        assert results["equal weight"].trades.sum() == 3
        assert results["equal weight rebalanced"].trades.sum() > 200

    def test_rebalanced_without_costs_earns_the_mean_return_of_the_symbols(self, panel, rules):
        span = panel.between(at_row(panel, SPAN), None)
        result = self.run(panel, replace(rules, cost_rate=0.0))["equal weight rebalanced"]
        moves = span.open[1:] / span.open[:-1] - 1
        np.testing.assert_allclose(result.returns[1:], moves[1:].mean(axis=1), atol=1e-12)
