"""What the latest values of a series come to, at every bar: `[B, T]` in, `[B, T]` or `[B, T, window]` out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def log_returns(close: Tensor) -> Tensor:
    """`[B, T]` change of the log close since the bar before; NaN at the first bar."""
    return close - shifted(close, 1)


def exponential_volatility(returns: Tensor, span: float, window: int) -> Tensor:
    """`[B, T]` root of the exponentially weighted mean square of the latest `window` returns; NaN where there are fewer.

    The weight of a return falls by `1 - 2 / (span + 1)` with each bar; the weights of the window add up to 1.
    """
    return exponential_mean(returns.square(), span, window).sqrt()


def exponential_mean(values: Tensor, span: float, window: int) -> Tensor:
    """`[B, T]` exponentially weighted mean of the latest `window` values; NaN where one of them is, or where there are fewer."""
    age = torch.arange(window - 1, -1, -1, dtype=values.dtype, device=values.device)
    weights = (1.0 - 2.0 / (span + 1.0)) ** age
    padded = F.pad(values, (window, 0), value=torch.nan)
    return F.conv1d(padded.unsqueeze(1), (weights / weights.sum()).reshape(1, 1, -1)).squeeze(1)[:, 1:]


def trailing(values: Tensor, window: int) -> Tensor:
    """`[B, T, window]`: the latest values at each bar, itself included; NaN where there are fewer."""
    # One window more than there are bars, so that there is one even where there is no bar.
    return F.pad(values, (window, 0), value=torch.nan).unfold(-1, window, 1)[:, 1:]


def shifted(values: Tensor, bars: int) -> Tensor:
    """`[B, T]` with the value of so many bars ago at each bar; with a negative number, of bars to come. NaN beyond the ends."""
    length = values.shape[-1]
    if abs(bars) >= length:
        return torch.full_like(values, torch.nan)
    kept = values[:, : length - bars] if bars > 0 else values[:, -bars:]
    return F.pad(kept, (bars, 0) if bars > 0 else (0, -bars), value=torch.nan)
