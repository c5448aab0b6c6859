"""The cloning loss is alpha CE + beta MSE, and each remedy against rare actions does what its name says."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_ops.simulation.observation import Action
from toto_ops.training.bc_config import BehaviourCloningConfig, Imbalance
from toto_ops.training.bc_loss import CloningLoss, class_weights, epoch_order, focal_loss

LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 3.0]])
ACTIONS = torch.tensor([0, 1, 0, 0])
STRENGTH = torch.tensor([0.1, 0.5, 0.9, 0.4])
TEACHER_STRENGTH = torch.tensor([0.0, 0.5, 1.0, 0.0])


def cross_entropies() -> list[float]:
    """By hand: log of the sum of exponentials less the logit of the action taken."""
    rows = zip(LOGITS.tolist(), ACTIONS.tolist(), strict=True)
    return [math.log(sum(math.exp(logit) for logit in logits)) - logits[action] for logits, action in rows]


def loss(**settings_: object) -> float:
    config = BehaviourCloningConfig.model_validate(settings_)
    return float(CloningLoss(config, ACTIONS)(LOGITS, STRENGTH, ACTIONS, TEACHER_STRENGTH))


def test_alpha_weighs_the_action_and_beta_the_strength() -> None:
    action = sum(cross_entropies()) / 4
    strength = (0.1**2 + 0 + 0.1**2 + 0.4**2) / 4
    assert loss(alpha=1.0, beta=0.0) == pytest.approx(action, abs=1e-6)
    assert loss(alpha=0.0, beta=1.0) == pytest.approx(strength, abs=1e-6)
    assert loss(alpha=2.0, beta=3.0) == pytest.approx(2 * action + 3 * strength, abs=1e-6)


def test_weighted_loss_counts_each_action_by_how_rare_it_is() -> None:
    weights = [4 / (2 * 3), 4 / (2 * 1), 4 / (2 * 3), 4 / (2 * 3)]  # HOLD three times, BUY once, SELL never
    expected = sum(weight * value for weight, value in zip(weights, cross_entropies(), strict=True)) / sum(weights)
    assert loss(beta=0.0, imbalance="weighted") == pytest.approx(expected, abs=1e-6)


def test_focal_loss_discounts_what_is_known_already() -> None:
    expected = sum((1 - math.exp(-value)) ** 2 * value for value in cross_entropies()) / 4
    assert loss(beta=0.0, imbalance="focal", focal_gamma=2.0) == pytest.approx(expected, abs=1e-6)


def test_focal_loss_without_discount_is_cross_entropy() -> None:
    assert loss(imbalance="focal", focal_gamma=0.0) == pytest.approx(loss(), abs=1e-6)


def test_focal_loss_has_a_gradient_even_where_the_answer_is_certain() -> None:
    logits = torch.tensor([[60.0, 0.0, 0.0]], requires_grad=True)
    focal_loss(logits, torch.tensor([0]), 2.0).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=60))
def test_class_weights_give_every_action_present_the_same_total(taken: list[int]) -> None:
    actions = torch.tensor(taken)
    weights = class_weights(actions)
    totals = [float(weights[action] * taken.count(action)) for action in range(3) if action in taken]
    assert totals == pytest.approx([len(taken) / len(totals)] * len(totals), rel=1e-5)
    assert all(float(weights[action]) == 0 for action in range(3) if action not in taken)


@pytest.mark.parametrize("imbalance", ["none", "weighted", "focal"])
def test_an_epoch_sees_every_decision_once(imbalance: Imbalance) -> None:
    order = epoch_order(ACTIONS, BehaviourCloningConfig(imbalance=imbalance), torch.Generator().manual_seed(1))
    assert sorted(order.tolist()) == [0, 1, 2, 3]


def test_oversampling_draws_rare_actions_as_often_as_common_ones() -> None:
    actions = torch.tensor([0] * 900 + [1] * 80 + [2] * 20)
    order = epoch_order(actions, BehaviourCloningConfig(imbalance="oversample"), torch.Generator().manual_seed(1))
    assert len(order) == 1000
    drawn = torch.bincount(actions[order], minlength=len(Action)) / 1000
    torch.testing.assert_close(drawn, torch.full((3,), 1 / 3), atol=0.06, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [1, 1]}, "two trials"),
        ({"seeds": []}, "at least 1 item"),
        ({"imbalance": "smote"}, "'none', 'weighted', 'focal' or 'oversample'"),
        ({"dropout": 1.0}, "less than 1"),
        ({"learnin_rate": 0.1}, "Extra inputs"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BehaviourCloningConfig.model_validate(changes)
