"""Has a trainer learnt its train span by heart? The two gaps that tell, and where they begin to matter."""

from __future__ import annotations

from dataclasses import dataclass

ACCURACY_GAP = 0.10
"""Train accuracy this far above validation accuracy is overfitting."""

LOSS_GAP = 0.20
"""Validation loss this far above train loss is overfitting."""


@dataclass(frozen=True)
class Overfitting:
    """Gaps between train and validation, measured alike on both: without dropout and noise.

    Attributes
    ----------
    accuracy_gap
        Train accuracy less validation accuracy, in shares of 1.
    loss_gap
        Validation loss less train loss.
    """

    accuracy_gap: float
    loss_gap: float

    @property
    def detected(self) -> bool:
        """Whether either gap is too wide."""
        return self.accuracy_gap > ACCURACY_GAP or self.loss_gap > LOSS_GAP
