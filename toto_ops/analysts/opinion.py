"""What an analyst says of one symbol, and how analysts read the state."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from toto_ops.features.state import RETURN_FEATURES, STATE_FEATURES

FLATTEST_BAND = 0.01
"""Narrowest Bollinger width that prices are measured in: flat prices must not turn noise into conviction."""


class Opinion(NamedTuple):
    """One analyst's view, per account and symbol.

    Attributes
    ----------
    signal
        `[...]` in [-1, 1]: -1 against holding the symbol, 1 for it.
    confidence
        `[...]` in [0, 1]; an analyst with confidence 0 abstains.
    """

    signal: Tensor
    confidence: Tensor


def feature(state: Tensor, name: str) -> Tensor:
    """One named feature `[...]` of a state `[..., 34]`."""
    return state[..., STATE_FEATURES.index(name)]


def recent_return(state: Tensor, bars: int) -> Tensor:
    """Log return `[...]` over the latest `bars` bars, at most 20."""
    start = STATE_FEATURES.index(RETURN_FEATURES[0])
    # Gains that cancel leave a small sum of rounding errors, and what follows divides it by a small width: in float32
    # two runtimes that add up in another order would then disagree on the decision.
    return state[..., start : start + bars].double().sum(dim=-1).to(state.dtype)


def band_width(state: Tensor) -> Tensor:
    """Bollinger width `[...]`: the symbol's own yardstick, so that one threshold fits calm stocks and wild coins."""
    return feature(state, "bollinger_width").clamp_min(FLATTEST_BAND)
