"""Many accounts in one pass: each has what it would have had alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.unit.simulation.market_paths import MarketPath, act_from_table, make_panel, make_rules, random_path, random_rules
from toto_ops.features.panel import Panel
from toto_ops.policies.cloned import ClonedPolicy
from toto_ops.simulation.backtest import BacktestResult, backtest, run_backtests
from toto_ops.simulation.entrants import Act, Entrant, Plan
from toto_ops.simulation.observation import Decision, Observation
from toto_ops.simulation.rules import TradingRules
from toto_ops.simulation.trades import Trades

HOLD = np.nan
GONE = np.nan


def column(*values: float) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)[:, None]


def opens_a_row_before_it_closes(panel: Panel) -> Panel:
    """The same bars on a finer grid: what is filled at one row is marked and decided on in the next."""
    opens = np.concatenate((panel.open[1:], np.full_like(panel.open[:1], np.nan)))
    return replace(panel, open=opens, tradable=np.isfinite(opens))


def counting(act: Act) -> tuple[Act, list[int]]:
    """A policy of its own that answers as `act` does, and the number of accounts of each call to it."""
    calls: list[int] = []

    def counted(observation: Observation) -> Decision:
        calls.append(observation.mask.shape[0])
        return act(observation)

    return counted, calls


def contrarian(observation: Observation) -> Decision:
    decision = act_from_table(observation)
    return decision._replace(weight=-decision.weight)


def adds_to_what_it_holds(observation: Observation) -> Decision:
    """A policy that depends on its account: it goes on in the direction of its position, or of the table when flat."""
    decision = act_from_table(observation)
    position = observation.account[..., 0]
    return decision._replace(weight=torch.where(position == 0, decision.weight, position.sign() * 0.3))


def assert_same(one: BacktestResult, other: BacktestResult) -> None:
    for field in fields(BacktestResult):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, Trades):
            for column_ in fields(Trades):
                assert_close(getattr(left, column_.name), getattr(right, column_.name))
        else:
            assert_close(np.asarray(left), np.asarray(right))


def assert_close(one: NDArray[np.generic], other: NDArray[np.generic]) -> None:
    if one.dtype.kind == "f" and one.dtype != np.float32:
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
    elif one.dtype.kind == "f":
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(one, other)


class TestOnePass:
    @settings(deadline=None, max_examples=15)
    @given(
        seed=st.integers(0, 2**32 - 1),
        rules=st.lists(random_rules, min_size=1, max_size=4),
        grid=st.sampled_from([lambda panel: panel, opens_a_row_before_it_closes]),
    )
    def test_every_account_has_what_it_would_have_had_alone(
        self, seed: int, rules: list[TradingRules], grid: Callable[[Panel], Panel]
    ) -> None:
        path = random_path(seed)
        panel = grid(path.panel)
        deciders: list[Act | Plan] = [act_from_table, Plan(path.weights), adds_to_what_it_holds, contrarian]
        entrants = [Entrant(str(index), deciders[index % 4], one) for index, one in enumerate(rules)]
        for entrant, together in zip(entrants, run_backtests(panel, entrants), strict=True):
            assert_same(together, run_backtests(panel, (entrant,))[0])

    def test_networks_decide_alike_in_any_company(self) -> None:
        panel = random_path(8).panel
        panel.features[...] = np.random.default_rng(0).normal(size=panel.features.shape)
        networks = []
        for seed, hidden in enumerate((64, 64, 32)):
            torch.manual_seed(seed)
            networks.append(ClonedPolicy(hidden=hidden, layers=2, dropout=0.1, w_max=0.25, may_short=True).eval())
        rules = make_rules(cost_rate=0.001)
        entrants = [
            Entrant("one", networks[0], rules),
            Entrant("other", networks[1], rules),
            Entrant("of another family", networks[2], rules),
            Entrant("one, later", networks[0], rules.with_lag(2)),
            Entrant("one, dearer", networks[0], rules.with_costs(2.0)),
        ]
        together = run_backtests(panel, entrants)
        assert len({result.total_return for result in together}) == len(entrants)
        for entrant, result in zip(entrants, together, strict=True):
            alone = run_backtests(panel, (entrant,))[0]
            np.testing.assert_array_equal(result.probabilities, alone.probabilities)
            np.testing.assert_allclose(result.equity, alone.equity, rtol=1e-12)

    def test_results_come_in_the_order_of_the_entrants(self) -> None:
        path = random_path(3)
        deciders = [Plan(path.weights), act_from_table, contrarian, Plan(-path.weights), act_from_table, contrarian]
        entrants = [Entrant("", decides, make_rules(cost_rate=0.001 * index)) for index, decides in enumerate(deciders)]
        paid = [result.fees.sum() for result in run_backtests(path.panel, entrants)]
        assert paid == pytest.approx([run_backtests(path.panel, (entrant,))[0].fees.sum() for entrant in entrants])
        assert len(set(paid)) == len(paid)

    def test_entrants_of_one_policy_are_asked_together(self) -> None:
        panel = make_panel(np.full((5, 2), 10.0), np.full((5, 2), 10.0))
        (shared, shared_calls), (alone, alone_calls) = counting(act_from_table), counting(act_from_table)
        rules = make_rules()
        run_backtests(panel, [Entrant("a", shared, rules), Entrant("b", alone, rules), Entrant("c", shared, rules.with_lag(2))])
        assert shared_calls == [2] * 5
        assert alone_calls == [1] * 5

    def test_nobody_is_asked_where_no_symbol_has_a_bar(self) -> None:
        act, calls = counting(act_from_table)
        run_backtests(make_panel(column(10, GONE, 10), column(10, GONE, 10)), [Entrant("a", act, make_rules())])
        assert len(calls) == 2

    def test_each_account_has_its_own_lag(self) -> None:
        panel = make_panel(column(10, 10, 20, 20), column(10, 10, 20, 20))
        plan = Plan(column(1.0, HOLD, HOLD, HOLD))
        entrants = [Entrant(f"lag {lag}", plan, make_rules(decision_lag=lag)) for lag in (1, 2, 3)]
        assert [result.fill_row[0, 0] for result in run_backtests(panel, entrants)] == [1, 2, -1]
        assert [result.total_return for result in run_backtests(panel, entrants)] == pytest.approx([1.0, 0.0, 0.0])

    def test_an_override_is_shown_to_its_own_entrant_alone(self) -> None:
        path = random_path(1)
        shown = np.full((*path.panel.mask.shape, 4), 0.5, dtype=np.float32)
        entrants = [
            Entrant("real", act_from_table, make_rules()),
            Entrant("overridden", act_from_table, make_rules(), account_override=shown),
        ]
        real, overridden = run_backtests(path.panel, entrants)
        np.testing.assert_array_equal(overridden.account, shown)
        assert (real.account != 0.5).any()

    def test_a_policy_is_shown_the_fields_it_takes(self) -> None:
        seen: list[Observation] = []

        def act(observation: Observation) -> Decision:
            seen.append(observation)
            return act_from_table(observation)

        path = random_path(1)
        takes = ("market", "account", "mask", "clock", "allocation")
        run_backtests(path.panel, [Entrant("one", act, make_rules(), fields=takes), Entrant("two", act, make_rules())])
        assert {tuple(observation.tensors()) for observation in seen} == {takes}
        assert seen[0].tensors()["clock"].shape == (2, 6)

    def test_a_policy_may_write_to_what_it_is_shown(self) -> None:
        path, rules = random_path(4), make_rules(cost_rate=0.001)
        features = path.panel.features.copy()

        def scribbles(observation: Observation) -> Decision:
            decision = contrarian(observation)
            for tensor in observation.tensors().values():
                tensor.fill_(1)
            return decision

        scribbler, other = run_backtests(
            path.panel, (Entrant("scribbles", scribbles, rules), Entrant("other", act_from_table, rules))
        )
        np.testing.assert_array_equal(path.panel.features, features)
        assert_same(scribbler, backtest(path.panel, contrarian, rules))
        assert_same(other, backtest(path.panel, act_from_table, rules))

    def test_the_wrong_answer_of_one_policy_is_named(self) -> None:
        def broken(observation: Observation) -> Decision:
            return act_from_table(observation)._replace(weight=observation.mask / 0.0, hold=~observation.mask)

        entrants = [Entrant("sound", act_from_table, make_rules()), Entrant("broken", broken, make_rules())]
        with pytest.raises(ValueError, match=r"'broken' .* not finite at row 0"):
            run_backtests(make_panel(column(10, 10), column(10, 10)), entrants)

    def test_no_entrants_no_results(self) -> None:
        assert run_backtests(random_path(1).panel, ()) == ()


class TestPlan:
    @settings(deadline=None, max_examples=20)
    @given(seed=st.integers(0, 2**32 - 1), rules=random_rules)
    def test_it_does_what_a_policy_with_the_same_weights_does(self, seed: int, rules: TradingRules) -> None:
        path = random_path(seed)
        planned, asked = run_backtests(
            path.panel, [Entrant("plan", Plan(path.weights), rules), Entrant("policy", act_from_table, rules)]
        )
        np.testing.assert_allclose(planned.equity, asked.equity, rtol=1e-12)
        np.testing.assert_array_equal(planned.target, asked.target)
        np.testing.assert_array_equal(planned.fill_row, asked.fill_row)

    def test_nothing_is_decided_without_a_bar(self) -> None:
        panel = make_panel(column(10, GONE, 10, 20), column(10, GONE, 10, 20))
        (result,) = run_backtests(panel, [Entrant("plan", Plan(column(HOLD, 1.0, HOLD, HOLD)), make_rules())])
        assert result.decided[:, 0].tolist() == [True, False, True, True]
        assert np.isnan(result.target).all()
        assert result.total_return == 0.0

    def test_another_shape_than_the_panel_is_refused(self) -> None:
        panel = make_panel(column(10, 10), column(10, 10))
        with pytest.raises(ValueError, match=r"plan of 'wide' must be \(2, 1\), got \(2, 3\)"):
            run_backtests(panel, [Entrant("wide", Plan(np.zeros((2, 3))), make_rules())])

    def test_infinite_weights_are_refused(self) -> None:
        with pytest.raises(ValueError, match="infinite"):
            Plan(column(0.5, np.inf))


class TestMarketsOfDifferentHours:
    """A bar that opens in one row and closes in a later one, as a stock's day does beside coins that never close."""

    @pytest.fixture
    def result(self) -> BacktestResult:
        panel = replace(
            make_panel(column(10, GONE, 20, GONE, 30, GONE, 60), column(GONE, 15, GONE, 25, GONE, 35, GONE)),
            mask=np.array([False, True, False, True, False, True, False])[:, None],
            tradable=np.array([True, False, True, False, True, False, True])[:, None],
        )
        return backtest(MarketPath.of(panel, column(HOLD, 1.0, HOLD, HOLD, HOLD, 0.0, HOLD)).panel, act_from_table, make_rules())

    def test_it_is_decided_on_where_it_closes(self, result: BacktestResult) -> None:
        assert np.flatnonzero(result.decided[:, 0]).tolist() == [1, 3, 5]

    def test_it_fills_where_it_opens(self, result: BacktestResult) -> None:
        assert result.fill_row[[1, 3, 5], 0].tolist() == [2, 4, -1]

    def test_its_profit_runs_from_open_to_open_and_is_marked_at_closes_between(self, result: BacktestResult) -> None:
        assert result.equity.tolist() == pytest.approx([1.0, 1.0, 1.0, 1.0, 1.5, 1.5, 3.0])


class TestAccounting:
    @settings(deadline=None, max_examples=20)
    @given(seed=st.integers(0, 2**32 - 1), rules=random_rules)
    def test_trades_and_interest_add_up_to_the_change_of_equity(self, seed: int, rules: TradingRules) -> None:
        panel = opens_a_row_before_it_closes(random_path(seed).panel)
        result = backtest(panel, act_from_table, rules, initial_capital=1000.0)
        made = result.trades_made.net_profit.sum() - result.interest.sum()
        assert result.equity[-1] - 1000.0 == pytest.approx(made, abs=1e-7)
        assert result.trades_made.fees.sum() == pytest.approx(result.fees.sum())

    def test_costs_are_told_by_symbol(self) -> None:
        path = random_path(5, wildness=0.03)
        result = backtest(path.panel, act_from_table, make_rules(cost_rate=0.001))
        np.testing.assert_allclose(result.costs.sum(axis=1), result.fees)
        assert result.costs.sum() > 0

    def test_trades_are_told_one_by_one(self) -> None:
        panel = make_panel(column(10, 10, 20, 20, 40), column(10, 10, 20, 20, 40))
        plan = Plan(column(0.5, 0.0, 0.5, HOLD, HOLD))
        (result,) = run_backtests(panel, [Entrant("plan", plan, make_rules())])
        trades = result.trades_made
        assert trades.entry_price.tolist() == [10.0, 20.0]
        assert np.isnat(trades.exit_time).tolist() == [False, True]
        assert trades.net_profit.tolist() == [result.profits[0], result.open_profits[0]] == pytest.approx([0.5, 0.75])
