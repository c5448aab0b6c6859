"""Imitation figures against ones worked out by hand, and policies asked in their teacher's states."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.training.lessons import make_dataset, make_panel
from toto_ops.errors import ConfigError, InsufficientDataError
from toto_ops.features.state import STATE_FEATURES
from toto_ops.policies.cloned import ClonedPolicy
from toto_ops.training.imitation import imitation_metrics, measure_imitation, predicted_actions


def test_figures_are_those_worked_out_by_hand() -> None:
    teacher = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    pupil = np.array([0, 0, 0, 1, 1, 0, 2, 2])
    measured = imitation_metrics(teacher, pupil)
    assert measured.decisions == 8
    assert measured.accuracy == 6 / 8
    assert measured.majority_share == 4 / 8
    assert measured.margin == 2 / 8
    assert measured.macro_f1 == pytest.approx((6 / 8 + 2 / 4 + 1) / 3)


def test_always_answering_the_majority_has_no_margin_and_a_poor_f1() -> None:
    teacher = np.array([0] * 8 + [1, 2])
    measured = imitation_metrics(teacher, np.zeros(10, dtype=np.int64))
    assert measured.accuracy == 0.8
    assert measured.margin == 0
    assert measured.macro_f1 == pytest.approx((16 / 18) / 3)


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(InsufficientDataError):
        imitation_metrics(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    with pytest.raises(InsufficientDataError):
        measure_imitation(ClonedPolicy(hidden=4, layers=1, dropout=0.0, w_max=0.1, may_short=False), [])


def test_actions_of_other_lengths_are_not_compared() -> None:
    with pytest.raises(ValueError, match="of the pupil"):
        imitation_metrics(np.zeros(3, dtype=np.int64), np.zeros(1, dtype=np.int64))


def test_a_policy_is_asked_in_the_very_state_of_its_teacher() -> None:
    """A policy whose only connected input is `cash` follows the sign of that feature of the state vector."""
    policy = ClonedPolicy(hidden=2, layers=1, dropout=0.0, w_max=0.1, may_short=False).eval()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.zero_()
        first_layer = next(layer for layer in policy.modules() if isinstance(layer, torch.nn.Linear))
        first_layer.weight[:, STATE_FEATURES.index("cash")] = torch.tensor([1.0, -1.0])
        policy.action_head.weight[1, 0] = 1.0
        policy.action_head.weight[2, 1] = 1.0
    states = make_dataset(make_panel(50), 0).states
    expected = np.where(states[:, STATE_FEATURES.index("cash")] > 0, 1, 2)
    assert np.array_equal(predicted_actions(policy, states), expected)


def test_several_datasets_count_by_decision_and_empty_ones_not_at_all() -> None:
    policy = ClonedPolicy(hidden=4, layers=1, dropout=0.0, w_max=0.1, may_short=False).eval()
    panel = make_panel(60)
    long, short = make_dataset(panel, 0), make_dataset(make_panel(20), 1)
    empty = type(short)(short.states[:0], short.actions[:0], short.strengths[:0], short.close_time[:0])
    measured = measure_imitation(policy, [long, empty, short])
    parts = [measure_imitation(policy, [part]) for part in (long, short)]
    assert measured.decisions == 80
    assert measured.accuracy == pytest.approx((60 * parts[0].accuracy + 20 * parts[1].accuracy) / 80)


def test_a_policy_that_takes_more_than_the_recorded_state_is_refused() -> None:
    class SeesTheClock(ClonedPolicy):
        inputs = ("market", "account", "mask", "clock")

    policy = SeesTheClock(hidden=4, layers=1, dropout=0.0, w_max=0.1, may_short=False).eval()
    with pytest.raises(ConfigError, match=r"takes observations 'market/2', with clock.* Remedy: clone with a policy that takes"):
        measure_imitation(policy, [make_dataset(make_panel(20), 0)])
