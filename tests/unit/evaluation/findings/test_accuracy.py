from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_ops.errors import ConfigError, InsufficientDataError
from toto_ops.evaluation.findings.accuracy import (
    accuracy_of,
    confusion_per_bar,
    directional,
    imitation,
    macro_f1_of,
    majority_share_of,
)
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig
from toto_ops.policies.contract import Policy
from toto_ops.simulation.backtest import backtest
from toto_ops.simulation.rules import TradingRules
from toto_ops.training.imitation import imitation_metrics

CONFIG = BootstrapConfig(samples=200, block_length=5)

# Teacher in rows, pupil in columns, in the order HOLD, BUY, SELL.
POOLED = np.array([[50.0, 5.0, 5.0], [6.0, 14.0, 0.0], [10.0, 2.0, 8.0]])


def test_accuracy_of_a_hand_computed_confusion():
    assert accuracy_of(POOLED) == pytest.approx(72 / 100)


def test_majority_share_is_that_of_the_teachers_most_frequent_action():
    assert majority_share_of(POOLED) == pytest.approx(60 / 100)


def test_macro_f1_of_a_hand_computed_confusion():
    hold, buy, sell = 100 / (60 + 66), 28 / (20 + 21), 16 / (20 + 13)
    assert macro_f1_of(POOLED) == pytest.approx((hold + buy + sell) / 3)


def test_an_action_that_nobody_takes_does_not_lower_macro_f1():
    assert macro_f1_of(np.diag([3.0, 4.0, 0.0])) == 1.0


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60))
def test_pooled_counts_say_what_the_trainers_own_measure_says(pairs):
    teacher, pupil = (np.array(side) for side in zip(*pairs, strict=True))
    pooled = np.zeros((3, 3))
    np.add.at(pooled, (teacher, pupil), 1.0)
    expected = imitation_metrics(teacher, pupil)
    assert accuracy_of(pooled) == pytest.approx(expected.accuracy)
    assert majority_share_of(pooled) == pytest.approx(expected.majority_share)
    assert macro_f1_of(pooled) == pytest.approx(expected.macro_f1)


def test_the_gap_is_train_minus_validation():
    good, poor = np.tile(np.diag([8.0, 1.0, 1.0]), (30, 1, 1)), np.tile(np.array([[4.0, 4, 0], [0, 1, 0], [0, 0, 1]]), (30, 1, 1))
    figures = imitation(good, poor, poor, CONFIG)
    assert figures.gap.value == pytest.approx(1.0 - 0.6)
    assert figures.accuracy.value == pytest.approx(0.6)
    assert figures.decisions == 300


def test_intervals_of_accuracy_widen_when_errors_come_in_runs():
    right, wrong = np.diag([1.0, 0.0, 0.0]), np.array([[0.0, 1, 0], [0, 0, 0], [0, 0, 0]])
    alternating = np.array([right, wrong] * 50)
    in_runs = np.array(([right] * 25 + [wrong] * 25) * 2)

    def width(test):
        figure = imitation(test, test, test, BootstrapConfig(samples=400, block_length=10)).accuracy
        return figure.high - figure.low

    assert width(in_runs) > 2 * width(alternating)


def test_a_teacher_without_decisions_cannot_be_imitated():
    some = np.tile(np.eye(3), (5, 1, 1))
    with pytest.raises(InsufficientDataError, match="on validation"):
        imitation(some, np.zeros((5, 3, 3)), some, CONFIG)


def test_the_pupil_is_asked_in_the_states_its_teacher_was_in(panel_of, universe, candidate, monkeypatch):
    panel = panel_of(rows=60)
    teacher = candidate("fallback").policy
    result = backtest(panel, teacher.act, TradingRules.of(universe))
    shown = []

    def noted(observation):
        shown.append(observation)
        return type(teacher).act(teacher, observation)

    monkeypatch.setattr(teacher, "act", noted)
    counts = confusion_per_bar(panel, result, teacher)
    np.testing.assert_array_equal(shown[0].account.numpy(), result.account)
    assert counts.sum() == result.decided.sum() == 120
    assert accuracy_of(counts.sum(axis=0)) == 1.0


def without_bars(panel, first: int, end: int):
    """The panel with no bar of its first symbol in some rows."""
    mask = panel.mask.copy()
    mask[first:end, 0] = False
    opens, closes = np.where(mask, panel.open, np.nan), np.where(mask, panel.close, np.nan)
    return replace(panel, mask=mask, tradable=mask, open=opens, close=closes)


def test_symbols_without_a_bar_are_not_counted(panel_of, universe, candidate):
    panel = without_bars(panel_of(rows=60), 10, 20)
    policy = candidate("fallback").policy
    counts = confusion_per_bar(panel, backtest(panel, policy.act, TradingRules.of(universe)), policy)
    assert counts[10:20].sum() == 10
    assert counts.sum() == 110


class SeesTheMarket(Policy):
    """Takes what no state of a teacher holds."""

    kind = "test-sees-the-market"
    inputs = ("market", "account", "mask", "context", "portfolio")

    @property
    def architecture(self):
        return {}

    def forward(self, *inputs):
        raise AssertionError("it must not be asked at all")


def test_a_pupil_that_takes_more_than_the_recorded_state_is_refused(panel_of, universe, candidate):
    panel = panel_of(rows=60)
    taught = backtest(panel, candidate("fallback").policy, TradingRules.of(universe))
    says = "'market/2', with context, portfolio; decisions of a teacher are recorded with observations 'state34/1' alone"
    with pytest.raises(ConfigError, match=says):
        confusion_per_bar(panel, taught, SeesTheMarket())


def test_directional_accuracy_of_a_hand_computed_example(panel_of, universe, candidate):
    panel = panel_of(rows=5)
    prices = np.array([[10.0, 10.0], [11.0, 9.0], [12.0, 9.0], [11.0, 10.0], [12.0, 11.0]])
    panel = replace(panel, open=prices)
    result = backtest(panel, candidate("bc", idle=True).policy.act, TradingRules.of(universe))
    weights = np.array([[0.5, 0.5], [0.5, 0.5], [0.5, -0.5], [0.0, 0.5], [0.5, 0.5]])
    figures = directional(panel, replace(result, weights=weights), CONFIG)
    # Moves: up down / up still / down up / up up. Positions on moves: right wrong / right - / wrong wrong / - right.
    assert figures.positions == 6
    assert figures.accuracy.value == pytest.approx(3 / 6)
    # Prices rose in 5 of 7 moves; five longs and one short.
    assert figures.base_rate == pytest.approx((5 * 5 / 7 + 1 * 2 / 7) / 6)


def test_a_move_over_missing_opens_ends_at_the_next_one_there_is(panel_of, universe, candidate):
    gappy = without_bars(panel_of(rows=30), 10, 20)
    result = backtest(gappy, candidate("bc").policy.act, TradingRules.of(universe))
    everywhere = replace(result, weights=np.ones_like(result.weights))
    assert directional(gappy, everywhere, CONFIG).positions == 29 + 29 - 10


def test_a_bar_that_opens_in_one_row_and_closes_in_a_later_one_moves_between_its_opens(panel_of, universe, candidate):
    panel = panel_of(rows=30)
    mask = panel.mask.copy()
    mask[10, 0] = False
    across = replace(panel, mask=mask, close=np.where(mask, panel.close, np.nan))
    result = backtest(across, candidate("bc").policy.act, TradingRules.of(universe))
    assert directional(across, replace(result, weights=np.ones_like(result.weights)), CONFIG).positions == 29 + 29


def test_symbols_that_never_open_in_neighbouring_rows_are_judged_by_their_own_opens(panel_of, universe, candidate):
    panel = panel_of(rows=6)
    tradable = np.array([[True, False], [False, True]] * 3)
    prices = np.array([[10.0, np.nan], [np.nan, 10.0], [11.0, np.nan], [np.nan, 9.0], [12.0, np.nan], [np.nan, 10.0]])
    interleaved = replace(panel, open=prices, tradable=tradable, mask=~tradable)
    result = backtest(interleaved, candidate("bc", idle=True).policy.act, TradingRules.of(universe))
    figures = directional(interleaved, replace(result, weights=np.full((6, 2), 0.5)), CONFIG)
    # Two moves each: up up, down up; all held long.
    assert (figures.positions, figures.accuracy.value, figures.base_rate) == (4, pytest.approx(3 / 4), pytest.approx(3 / 4))


def test_no_position_has_no_accuracy(panel_of, universe, candidate):
    panel = panel_of(rows=30)
    figures = directional(panel, backtest(panel, candidate("bc", idle=True).policy.act, TradingRules.of(universe)), CONFIG)
    assert (figures.accuracy.value, figures.base_rate, figures.positions) == (None, None, 0)
