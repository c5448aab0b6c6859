"""Overfitting is called beyond 10 points of accuracy or 0.2 of loss, and not at them."""

from __future__ import annotations

import pytest

from toto_ops.training.overfitting import Overfitting


@pytest.mark.parametrize(
    ("accuracy_gap", "loss_gap", "detected"),
    [
        (0.0, 0.0, False),
        (0.10, 0.20, False),
        (0.101, 0.0, True),
        (0.0, 0.201, True),
        (-0.5, -0.5, False),
    ],
)
def test_either_gap_is_enough(accuracy_gap: float, loss_gap: float, detected: bool) -> None:
    assert Overfitting(accuracy_gap, loss_gap).detected is detected
