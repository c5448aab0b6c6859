"""The technical analyst follows the trend: momentum, MACD and RSI, in units of the symbol's own volatility.

Time-series momentum after Moskowitz, Ooi and Pedersen, "Time Series Momentum" (Journal of Financial Economics, 2012):
past return over volatility predicts the sign of the next. MACD and RSI see the same trend over other horizons, which
steadies the sum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from toto_ops.analysts.opinion import Opinion, band_width, feature, recent_return
from toto_ops.analysts.strategy import TechnicalConfig
from toto_ops.features.state import RETURN_LAGS


def technical_opinion(state: Tensor, config: TechnicalConfig) -> Opinion:
    """Opinion on `[..., 34]` states from returns, `macd_signal`, `rsi`, `bollinger_width` and `volume_ratio`.

    Moves on more volume than usual count for more: the part `volume_influence` of the confidence is v / (1 + v) of
    the volume ratio v; all of it is scaled by data health.
    """
    width = band_width(state)
    momentum = recent_return(state, RETURN_LAGS) / width
    trend = feature(state, "macd_signal") / width
    excess = feature(state, "rsi") - 0.5
    signal = torch.tanh(config.momentum_gain * momentum + config.macd_gain * trend + config.rsi_gain * excess)
    volume = feature(state, "volume_ratio").clamp_min(0.0)
    backing = 1.0 - config.volume_influence + config.volume_influence * volume / (1.0 + volume)
    return Opinion(signal, backing * feature(state, "data_health").clamp(0.0, 1.0))
