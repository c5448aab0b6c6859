"""Perfect foresight: no course of sides earns more, costs, lag and limits are kept, and nothing beyond the span is read."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_ops.evaluation.baselines.perfect_foresight import perfect_foresight
from toto_ops.features.panel import Panel
from toto_ops.simulation.backtest import run_backtests
from toto_ops.simulation.entrants import Entrant, Plan
from toto_ops.simulation.rules import TradingRules

RULES = TradingRules(
    cost_rate=0.01,
    margin_rate=0.0,
    short_rate=0.0,
    cash_rate=0.0,
    gross_leverage=2.0,
    symbol_cap=0.5,
    max_positions=4,
    w_max=0.5,
    may_short=False,
    rebalancing_band=0.0,
    stop_loss=np.inf,
    max_drawdown=np.inf,
    breaker_cooldown=1,
    bankruptcy_floor=0.0,
    decision_lag=1,
)


def panel_of_opens(opens: np.ndarray, tradable: np.ndarray | None = None) -> Panel:
    """A panel of `[T, A]` opens whose closes stand where they opened."""
    rows, assets = opens.shape
    there = np.ones(opens.shape, dtype=bool) if tradable is None else tradable
    open_time = np.datetime64("2020-01-01", "us") + np.arange(rows) * np.timedelta64(1, "D")
    return Panel.of_prices(
        symbols=tuple(f"S{number}" for number in range(assets)),
        feature_names=(),
        open_time=open_time,
        close_time=open_time + np.timedelta64(1, "D"),
        features=np.zeros((*opens.shape, 0), dtype=np.float32),
        mask=there,
        open=np.where(there, opens, np.nan),
        close=np.where(there, opens, np.nan),
        ended=np.zeros(assets, dtype=bool),
    )


def panel_of_returns(returns: list[list[float]]) -> Panel:
    """A panel whose returns from open to open are `[T - 1, A]`, after one quiet bar on which nothing can be held yet."""
    quiet = np.zeros((1, len(returns[0])))
    return panel_of_opens(100.0 * np.cumprod(np.vstack((quiet, quiet, returns)) + 1.0, axis=0))


def sides_held(panel: Panel, rules: TradingRules) -> np.ndarray:
    """Sign of the position `[T, A]` from each open on, as the simulator carried the plan out."""
    (result,) = run_backtests(panel, [Entrant("oracle", perfect_foresight(panel, rules), rules)])
    return np.sign(np.round(result.weights, 9))[:-1]


def worth(course: tuple[float, ...], returns: list[float], cost: float) -> float:
    """Sum of returns less costs of a course of sides, by the book: slow and plain."""
    earned, held = 0.0, 0.0
    for side, move in zip(course, returns, strict=True):
        earned += side * move - cost * abs(side - held)
        held = side
    return earned


@settings(max_examples=60, deadline=None)
@given(
    returns=st.lists(st.sampled_from((-0.06, -0.03, -0.015, -0.004, 0.0, 0.004, 0.015, 0.03, 0.06)), min_size=1, max_size=6),
    may_short=st.booleans(),
)
def test_no_course_of_sides_earns_more(returns: list[float], may_short: bool) -> None:
    rules = replace(RULES, may_short=may_short)
    panel = panel_of_returns([[move] for move in returns])
    course = tuple(sides_held(panel, rules)[1:, 0])
    sides = (-1.0, 0.0, 1.0) if may_short else (0.0, 1.0)
    best = max(worth(other, returns, 0.01) for other in product(sides, repeat=len(returns)))
    assert worth(course, returns, 0.01) == pytest.approx(best, abs=1e-12)


def test_a_move_that_does_not_pay_for_its_costs_is_left_alone() -> None:
    assert not sides_held(panel_of_returns([[0.008], [-0.01], [0.008]]), RULES).any()
    assert sides_held(panel_of_returns([[0.025], [-0.01], [0.025]]), RULES)[1:, 0].tolist() == [1.0, 1.0, 1.0]


def test_short_sides_are_taken_only_where_shorts_are_allowed() -> None:
    falling = panel_of_returns([[-0.05], [-0.05]])
    assert not sides_held(falling, RULES).any()
    assert sides_held(falling, replace(RULES, may_short=True))[1:, 0].tolist() == [-1.0, -1.0]


@pytest.mark.parametrize("lag", [1, 2, 3])
def test_the_plan_is_decided_as_long_before_as_the_lag_asks(lag: int) -> None:
    panel = panel_of_returns([[0.0], [0.0], [0.05], [0.0], [0.0]])
    rules = replace(RULES, decision_lag=lag)
    assert sides_held(panel, rules)[:, 0].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert np.flatnonzero(~np.isnan(perfect_foresight(panel, rules).weights[:, 0])).tolist() == [3 - lag]


def test_where_too_many_are_wanted_the_largest_moves_are_taken() -> None:
    rules = replace(RULES, max_positions=2)
    held = sides_held(panel_of_returns([[0.05, 0.09, 0.07, 0.03], [0.09, 0.05, 0.07, 0.03]]), rules)
    assert held[1].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert held[2].tolist() == [1.0, 0.0, 1.0, 0.0]


def test_a_gap_in_a_calendar_belongs_to_the_return_that_spans_it() -> None:
    opens = np.array([[100.0], [100.0], [100.0], [110.0], [110.0]])
    tradable = np.array([[True], [True], [False], [True], [True]])
    assert sides_held(panel_of_opens(opens, tradable), RULES)[1, 0] == 1.0


MOVES = st.sampled_from((-0.06, -0.03, -0.004, 0.0, 0.004, 0.03, 0.06))


def panel_of_two_markets(one: list[float], other: list[float]) -> Panel:
    """The first symbol opens in even rows, the second in odd ones, and bars of both close in odd ones: a day that never
    closes around the hours of an exchange.
    """
    opens = np.full((2 * len(one) + 4, 2), np.nan)
    for column, returns in enumerate((one, other)):
        opens[column::2, column] = 100.0 * np.cumprod([1.0, 1.0, *(1.0 + move for move in returns)])
    panel = panel_of_opens(np.nan_to_num(opens, nan=100.0))
    closes_here = np.zeros(opens.shape, dtype=bool)
    closes_here[1::2] = True
    return replace(panel, open=opens, tradable=~np.isnan(opens), mask=closes_here)


@settings(max_examples=30, deadline=None)
@given(pairs=st.lists(st.tuples(MOVES, MOVES), min_size=1, max_size=5))
def test_markets_of_different_hours_are_each_foreseen_at_their_own_opens(pairs: list[tuple[float, float]]) -> None:
    returns = [list(moves) for moves in zip(*pairs, strict=True)]
    held = sides_held(panel_of_two_markets(*returns), RULES)
    for column, moves in enumerate(returns):
        course = tuple(held[column::2, column][1 : 1 + len(moves)])
        best = max(worth(other, moves, 0.01) for other in product((0.0, 1.0), repeat=len(moves)))
        assert worth(course, moves, 0.01) == pytest.approx(best, abs=1e-12)


def test_what_follows_a_gap_is_foreseen_before_the_gap() -> None:
    opens = np.array([[100.0], [100.0], [100.0], [100.0], [110.0], [110.0]])
    tradable = np.array([[True], [True], [False], [True], [True], [True]])
    assert sides_held(panel_of_opens(opens, tradable), RULES)[3, 0] == 1.0


def test_it_does_not_know_what_comes_after_its_span() -> None:
    panel = panel_of_returns([[0.0], [0.0], [0.0], [0.2]])
    cut = panel.take(np.arange(panel.rows) < panel.rows - 1)
    assert not sides_held(cut, RULES).any()
    assert sides_held(panel, RULES).any()


def test_costs_are_known_symbol_by_symbol() -> None:
    rules = replace(RULES, cost_rate=torch.tensor([0.01, 0.06], dtype=torch.float64))
    panel = panel_of_returns([[0.05, 0.05], [0.0, 0.0]])
    assert (~np.isnan(perfect_foresight(panel, rules).weights)).any(axis=0).tolist() == [True, False]


def test_nobody_without_the_future_comes_near_it(panel_of) -> None:
    panel = panel_of(200)
    always_in = Plan(np.full(panel.mask.shape, 0.5))
    oracle, other = run_backtests(
        panel, [Entrant("oracle", perfect_foresight(panel, RULES), RULES), Entrant("always in", always_in, RULES)]
    )
    assert oracle.total_return > 3 * abs(other.total_return)
