"""What a specialist learns from and is judged by: the states of its symbol's bars and what their next bars came to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import torch
from torch import Tensor

from toto_ops.features.moments import to_utc64
from toto_ops.forecasting.backbones.contract import Backbone
from toto_ops.forecasting.scaling import CausalScale
from toto_ops.forecasting.series import CLOSE, BarSeries, stacked
from toto_ops.forecasting.spans import ForecastingSpans
from toto_ops.learning.splits import Span


@dataclass(frozen=True)
class Bars:
    """Bars whose outcomes over every horizon are known.

    Attributes
    ----------
    states
        `[N, D]` float32.
    outcomes
        `[N, K]` float32: `CausalScale.targets` of the close over each horizon.
    """

    states: Tensor
    outcomes: Tensor

    def __len__(self) -> int:
        return len(self.states)


@dataclass(frozen=True)
class Lesson:
    """The bars of one symbol that its specialist is fitted on, and those that decide whether it is kept."""

    symbol: str
    fit: Bars
    validation: Bars

    @property
    def numbers(self) -> int:
        """How many numbers the states are: what a lesson takes of memory."""
        return self.fit.states.numel() + self.validation.states.numel()


def lesson_of(series: BarSeries, backbone: Backbone, spans: ForecastingSpans, horizons: tuple[int, ...]) -> Lesson:
    """The lesson of a symbol; a span that its bars do not reach is empty.

    No outcome reaches beyond the span it counts in, although states look back on all bars before.
    """
    known = series.until(spans.validation.until)
    states = torch.empty(len(known), backbone.width)
    if len(known) < backbone.minimum_bars:
        states.fill_(torch.nan)
    else:
        with torch.no_grad():
            states = backbone.states(stacked([known]))[0]
    return Lesson(
        series.symbol,
        _bars_of(known, states, spans.fit, horizons),
        _bars_of(known, states, spans.validation, horizons),
    )


def _bars_of(series: BarSeries, states: Tensor, span: Span, horizons: tuple[int, ...]) -> Bars:
    within = series.until(span.until)
    outcomes = _outcomes(within, horizons)
    first = _first_after(series, span.after)
    states, outcomes = states[first : len(within)], outcomes[first:]
    usable = torch.isfinite(states).all(dim=-1) & torch.isfinite(outcomes).all(dim=-1)
    return Bars(states[usable], outcomes[usable])


def _outcomes(series: BarSeries, horizons: tuple[int, ...]) -> Tensor:
    x = stacked([series])
    targets = CausalScale.of(x).targets(x, max(horizons))[0, :, CLOSE]
    return targets[:, [horizon - 1 for horizon in horizons]].float()


def _first_after(series: BarSeries, moment: datetime) -> int:
    return int(series.close_time.searchsorted(to_utc64(moment), side="right"))
