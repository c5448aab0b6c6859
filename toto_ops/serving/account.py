"""The account a question is asked for: what one holds now, as the four account features."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toto_ops.configuration import StrictModel
from toto_ops.simulation.account import DAYS_SCALE


class AccountQuery(StrictModel):
    """State of the asking account; all defaults together are a flat account that has never traded.

    Attributes
    ----------
    position
        Weight of the asked symbol over `w_max`.
    leverage
        Gross exposure over equity; by default that of the position alone.
    cash
        Cash over equity; by default what the position leaves.
    days_since_trade
        Calendar days since the symbol was last traded; None if it never was.
    """

    position: float = Field(default=0.0, ge=-1.0, le=1.0)
    leverage: float | None = Field(default=None, ge=0.0, allow_inf_nan=False)
    cash: float | None = Field(default=None, allow_inf_nan=False)
    days_since_trade: float | None = Field(default=None, ge=0.0)

    def features(self, asked: int, symbols: int, w_max: float) -> NDArray[np.float32]:
        """Account features `[1, A, 4]` in which symbol number `asked` is held and the others are not."""
        weight = self.position * w_max
        features = np.zeros((1, symbols, 4), dtype=np.float32)
        features[0, asked, 0] = self.position
        features[0, :, 1] = abs(weight) if self.leverage is None else self.leverage
        features[0, :, 2] = 1.0 - weight if self.cash is None else self.cash
        features[0, :, 3] = 1.0
        if self.days_since_trade is not None:
            features[0, asked, 3] = math.tanh(self.days_since_trade / DAYS_SCALE)
        return features


FLAT = AccountQuery()
"""Holds nothing, all in cash, has never traded."""
