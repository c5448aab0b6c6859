"""The risk analyst speaks for calm markets and against stress, falling prices and borrowed money.

It also limits the size of a position by volatility regime. Scaling exposure down when volatility is high follows
Moreira and Muir, "Volatility-Managed Portfolios" (Journal of Finance, 2017).
"""

from __future__ import annotations

import torch
from torch import Tensor

from toto_ops.analysts.opinion import Opinion, band_width, feature, recent_return
from toto_ops.analysts.strategy import ExposureLimits, RiskConfig

FALL_BARS = 5
"""Bars over which a fall counts as recent."""


def risk_opinion(state: Tensor, config: RiskConfig) -> Opinion:
    """Opinion on `[..., 34]` states from the regime, the last five returns, `leverage` and `data_health`.

    The confidence is that of the regime: 0 where none is known yet.
    """
    regime = config.calm_bonus * feature(state, "regime_low") - config.stress_penalty * feature(state, "regime_high")
    fall = torch.relu(-recent_return(state, FALL_BARS) / band_width(state))
    borrowed = torch.relu(feature(state, "leverage") - config.comfortable_leverage)
    signal = torch.tanh(regime - config.fall_penalty * fall - config.leverage_penalty * borrowed)
    known = feature(state, "regime_low") + feature(state, "regime_normal") + feature(state, "regime_high")
    return Opinion(signal, known.clamp(0.0, 1.0))


def exposure_limit(state: Tensor, limits: ExposureLimits) -> Tensor:
    """Largest position `[...]` in [0, 1] as a share of `w_max`.

    The regime says how volatile the symbol is for itself, the Bollinger width how volatile it is at all: the limit of
    the regime (that of high volatility where none is known) holds up to `target_width` and falls in proportion above.
    """
    low, normal = feature(state, "regime_low"), feature(state, "regime_normal")
    of_regime = limits.high + (limits.low - limits.high) * low + (limits.normal - limits.high) * normal
    return of_regime * (limits.target_width / band_width(state)).clamp_max(1.0)
