"""What embeddings are trained to tell of the next bars: returns, volatility and regime. Used in training alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toto_ops.features.moments import to_utc64
from toto_ops.features.panel import Panel
from toto_ops.features.state import REGIME_FEATURES
from toto_ops.forecasting.embeddings.placing import PlacedSeries
from toto_ops.forecasting.quantiles import LEVELS, NORMAL_QUANTILES, quantile_loss
from toto_ops.forecasting.scaling import RETURN_FLOOR, CausalScale
from toto_ops.forecasting.series import CLOSE, stacked
from toto_ops.learning.splits import Span

NO_REGIME = -100
"""Class of a regime that is not known: what cross entropy leaves out."""

VOLATILITY_WEIGHT = 0.3
REGIME_WEIGHT = 0.2
"""Shares of volatility and regime in the loss beside 1 for the returns: they are far easier to tell, and would drown them."""


@dataclass(frozen=True)
class Outcomes:
    """What came to be after each row, known by the end of a span; `H` is the longest horizon.

    Attributes
    ----------
    returns
        `[N, A, K]` float32 log return over each horizon, in the scale of the bar times the root of the horizon; NaN if unknown.
    volatility
        `[N, A]` float32 logarithm of the root mean square of the next `H` log returns over that of the latest; NaN likewise.
    regime
        `[N, A]` int64 volatility regime `H` bars on, as a number among `REGIME_FEATURES`; `NO_REGIME` likewise.
    """

    returns: Tensor
    volatility: Tensor
    regime: Tensor

    def take(self, rows: slice | Tensor) -> Outcomes:
        """Of some of the rows."""
        return Outcomes(self.returns[rows], self.volatility[rows], self.regime[rows])


def outcomes(panel: Panel, series: Sequence[PlacedSeries], span: Span, horizons: tuple[int, ...]) -> Outcomes:
    """Outcomes of the bars of a panel that close within a span; of other rows none is known.

    Nothing that closes after the span is looked at: the last bars of it have no outcome.
    """
    ahead = horizons[-1]
    returns = torch.full((*panel.mask.shape, len(horizons)), torch.nan)
    volatility = torch.full(panel.mask.shape, torch.nan)
    regime = torch.full(panel.mask.shape, NO_REGIME)
    regimes = _regimes(panel)
    for column, one in enumerate(series):
        bars = one.series.until(span.until)
        rows = one.rows[: len(bars)]
        counted = torch.from_numpy((rows >= 0) & (bars.close_time > to_utc64(span.after)))
        at = torch.from_numpy(rows)[counted]
        x = stacked([bars])
        scale = CausalScale.of(x)
        targets = scale.targets(x, ahead)[0, :, CLOSE]
        returns[at, column] = targets[counted][:, [step - 1 for step in horizons]].float()
        volatility[at, column] = _next_volatility(x[0, CLOSE], scale.scale[0, CLOSE], ahead)[counted].float()
        regime[at, column] = _later(regimes[:, column], torch.from_numpy(rows), ahead)[counted]
    return Outcomes(returns, volatility, regime)


def _regimes(panel: Panel) -> Tensor:
    """`[T, A]` int64 volatility regime of every row; `NO_REGIME` where masked."""
    columns = [panel.feature_names.index(name) for name in REGIME_FEATURES]
    return torch.from_numpy(np.where(panel.mask, panel.features[..., columns].argmax(axis=-1), NO_REGIME))


def _next_volatility(close: Tensor, present: Tensor, ahead: int) -> Tensor:
    """`[T]` logarithm of the root mean square of the log returns of the next bars over the present one."""
    squares = close.diff().square()
    result = torch.full_like(close, torch.nan)
    if len(squares) >= ahead:
        following = squares.unfold(0, ahead, 1).mean(dim=-1).sqrt().clamp_min(RETURN_FLOOR)
        result[: len(following)] = torch.log(following / present[: len(following)])
    return result


def _later(regime: Tensor, rows: Tensor, ahead: int) -> Tensor:
    """`[T_s]` regime of the row that the bar `ahead` bars on closes in, of a column `[T]`."""
    result = torch.full_like(rows, NO_REGIME)
    later = rows[ahead:]
    result[: len(later)] = torch.where(later >= 0, regime[later.clamp_min(0)], NO_REGIME)
    return result


@dataclass(frozen=True)
class Losses:
    """Means over what is known, each a scalar.

    Attributes
    ----------
    returns
        Quantile loss over levels and horizons, of returns in the scale of their bars.
    volatility
        Huber loss of the logarithm.
    regime
        Cross entropy, nats.
    regime_accuracy
        Share of regimes told rightly.
    """

    returns: Tensor
    volatility: Tensor
    regime: Tensor
    regime_accuracy: Tensor

    @property
    def total(self) -> Tensor:
        """`returns + VOLATILITY_WEIGHT * volatility + REGIME_WEIGHT * regime`."""
        return self.returns + VOLATILITY_WEIGHT * self.volatility + REGIME_WEIGHT * self.regime


class Outlook(nn.Module):
    """Linear readings of embeddings `[..., E]`: what they hold must lie open. Untrained it foretells a random walk."""

    def __init__(self, width: int, horizons: int) -> None:
        super().__init__()
        self.returns = nn.Linear(width, horizons * len(LEVELS))
        nn.init.zeros_(self.returns.weight)
        with torch.no_grad():
            self.returns.bias.copy_(torch.tensor(NORMAL_QUANTILES).repeat(horizons))
        self.volatility = nn.Linear(width, 1)
        self.regime = nn.Linear(width, len(REGIME_FEATURES))

    def losses(self, embeddings: Tensor, mask: Tensor, came: Outcomes) -> Losses:
        """Losses of embeddings `[N, A, E]` where `mask` says there are any, against what came to be."""
        vectors, came = embeddings[mask], Outcomes(came.returns[mask], came.volatility[mask], came.regime[mask])
        quantiles = self.returns(vectors).unflatten(-1, (-1, len(LEVELS)))
        missed = quantile_loss(quantiles, came.returns)
        logits = self.regime(vectors)
        told = came.regime != NO_REGIME
        moved = ~torch.isnan(came.volatility)
        volatility = self.volatility(vectors[moved]).squeeze(-1)
        return Losses(
            returns=_mean(missed[~torch.isnan(missed)]),
            volatility=_mean(F.huber_loss(volatility, came.volatility[moved], reduction="none")),
            regime=_mean(F.cross_entropy(logits[told], came.regime[told], reduction="none")),
            regime_accuracy=_mean((logits[told].argmax(dim=-1) == came.regime[told]).double()),
        )


def _mean(values: Tensor) -> Tensor:
    """Mean; 0 of nothing, so that a batch without an outcome of one kind teaches the others."""
    return values.sum() / max(values.numel(), 1)
