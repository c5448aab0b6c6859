"""The backbone without weights: statistics in place of hidden states, drift and volatility in place of a network."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from toto_ops.forecasting.backbones.contract import Backbone, Capabilities
from toto_ops.forecasting.backbones.pieces import in_pieces
from toto_ops.forecasting.backbones.statistical_features import FORMULAS_VERSION, STATISTICS, reach, statistics
from toto_ops.forecasting.config import StatisticalConfig
from toto_ops.forecasting.quantiles import LEVELS, NORMAL_QUANTILES
from toto_ops.forecasting.scaling import RETURN_FLOOR
from toto_ops.forecasting.series import CLOSE, lengths_of, newest
from toto_ops.forecasting.trailing import exponential_volatility, log_returns
from toto_ops.storage.hashing import value_hash

AT_ONCE = 16384
"""Bars whose windows are in memory together: tens of megabytes."""


class StatisticalBackbone(Backbone):
    """States are the `STATISTICS` of `statistical_features`; nothing in it is fitted, so nothing can be lost or overfitted.

    Its own forecast of the close is a random walk: the drift of the latest `look_back` bars, shrunk by how little it differs
    from chance, and normal quantiles of the exponentially weighted volatility. Range and volume are foretold, however far
    ahead, by the quantiles of their latest `look_back` values.
    """

    kind: ClassVar[str] = "statistical"
    capabilities: ClassVar[Capabilities] = Capabilities(can_fine_tune=False, multivariate=False, causal_per_patch=True)

    def __init__(self, config: StatisticalConfig) -> None:
        super().__init__()
        self.config = config
        self.width = len(STATISTICS)
        self.patch = 1
        self.minimum_bars = reach(config)

    @property
    def identity(self) -> str:
        return value_hash({"kind": self.kind, "statistics": STATISTICS, "formulas": FORMULAS_VERSION, "config": self.config})

    def embed(self, x: Tensor) -> Tensor:
        """`[B, 1, T, D]`: variates share one state, and every bar has its own; NaN where it is not known."""
        lengths_of(x)
        return in_pieces(lambda piece: statistics(piece, self.config), x, self.minimum_bars, AT_ONCE).unsqueeze(1)

    def latest_states(self, x: Tensor, count: int) -> Tensor:
        return super().latest_states(newest(x, self.minimum_bars + count - 1), count)

    def forecast(self, x: Tensor, horizon: int) -> Tensor:
        self._lengths_to_forecast(x)
        recent = newest(x, self.config.look_back + 1)
        steps = torch.arange(1, horizon + 1, dtype=x.dtype, device=x.device)
        levels = torch.tensor(LEVELS, dtype=x.dtype, device=x.device)
        climate = torch.quantile(recent[..., 1:], levels, dim=-1).unsqueeze(-1).repeat(1, 1, 1, horizon)
        climate[:, :, CLOSE] = self._random_walk(recent[:, CLOSE], steps)
        return climate

    def _random_walk(self, close: Tensor, steps: Tensor) -> Tensor:
        """Quantiles `[Q, B, H]` of the log close, from those of the latest `look_back + 1` bars `[B, look_back + 1]`."""
        returns = log_returns(close)
        window = returns.shape[-1] - 1
        volatility = exponential_volatility(returns, self.config.span, window)[:, -1].clamp_min(RETURN_FLOOR)
        drift = returns[:, 1:].mean(dim=-1)
        # James-Stein: a drift within what chance makes of none is taken for none.
        chance = returns[:, 1:].var(dim=-1) / window
        drift = drift * (1.0 - chance / drift.square().clamp_min(torch.finfo(drift.dtype).tiny)).clamp_min(0.0)
        normal = torch.tensor(NORMAL_QUANTILES, dtype=close.dtype, device=close.device).reshape(-1, 1, 1)
        return close[:, -1:] + drift.unsqueeze(-1) * steps + volatility.unsqueeze(-1) * steps.sqrt() * normal
