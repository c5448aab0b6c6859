"""A forecaster and the baselines asked at the close of each bar of a span."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from toto_ops.errors import InsufficientDataError
from toto_ops.evaluation.forecasts.documents import FORECASTER
from toto_ops.evaluation.forecasts.span_forecasts import SpanForecasts, SymbolForecasts, realised_returns, seasonal_scale
from toto_ops.features.moments import to_utc64
from toto_ops.forecasting.baselines import BASELINES, baseline_quantiles
from toto_ops.forecasting.config import ForecastingConfig
from toto_ops.forecasting.forecaster import Forecaster, QuantileForecaster
from toto_ops.forecasting.scaling import CausalScale
from toto_ops.forecasting.series import CLOSE, BarSeries, stacked
from toto_ops.learning.splits import Span

CONTESTANTS = (FORECASTER, *BASELINES)

STATES_AT_ONCE = 16_000_000
"""Numbers in the states of the series that go through the backbone together: 64 MB."""


def span_forecasts(
    forecaster: Forecaster,
    asked: QuantileForecaster,
    series: Sequence[BarSeries],
    *,
    part: str,
    span: Span,
    fit: Span,
    config: ForecastingConfig,
) -> SpanForecasts:
    """Ask a forecaster and every baseline at the close of each bar of a span.

    Parameters
    ----------
    asked
        Who foretells from the forecaster's states: itself, or its specialists.
    series
        Whole series: bars before the span are looked back on, bars after it are not read.
    part
        Name of the span, for reports.
    fit
        Span the forecaster's weights were fitted on: the scale of MASE comes from it.
    config
        Horizons, and how the baselines look back.

    Raises
    ------
    InsufficientDataError
        If no symbol has a bar in the span.
    """
    known = [one.until(span.until) for one in series]
    answers = []
    for group in _groups(known, forecaster.backbone.width):
        x = stacked(group)
        with torch.no_grad():
            states = forecaster.backbone.states(x)
        for row, one in enumerate(group):
            bars = slice(row, row + 1), slice(0, len(one))
            answers.append(_of_symbol(asked, one, states[bars], span=span, fit=fit, config=config))
    if not any(len(one.close_time) for one in answers):
        raise InsufficientDataError(
            f"no symbol has a bar from {span.after:%Y-%m-%d} to {span.until:%Y-%m-%d}",
            where=f"forecasts of {part}",
            remedy="move the splits in training.yaml, or add history",
        )
    about = forecaster.manifest
    return SpanForecasts(
        universe=about.universe,
        part=part,
        span=span,
        forecaster=forecaster.identity,
        backbone=about.backbone,
        knows_until=about.knows_until,
        possibly_knows_until=about.possibly_knows_until,
        season=config.statistical.season,
        horizons=config.horizons,
        contestants=CONTESTANTS,
        symbols=tuple(answers),
    )


def _of_symbol(
    asked: QuantileForecaster,
    series: BarSeries,
    states: Tensor,
    *,
    span: Span,
    fit: Span,
    config: ForecastingConfig,
) -> SymbolForecasts:
    """`states` `[1, T, D]` are those of the whole series, which ends with the span."""
    x = stacked([series])
    first = int(np.searchsorted(series.close_time, to_utc64(span.after), side="right"))
    bars = slice(first, len(series))
    with torch.no_grad():
        own = CausalScale.of(x).at(bars).returns(asked.quantiles(states[:, bars], (series.symbol,)), config.horizons)[0]
        theirs = [baseline_quantiles(name, x, config.horizons, config.statistical)[0, bars] for name in BASELINES]
    log_close = series.values[:, CLOSE]
    fitted = (series.close_time > to_utc64(fit.after)) & (series.close_time <= to_utc64(fit.until))
    return SymbolForecasts(
        symbol=series.symbol,
        close_time=series.close_time[bars],
        quantiles=np.stack([quantiles.float().numpy() for quantiles in (own, *theirs)]),
        realised=realised_returns(log_close, config.horizons)[bars],
        scale=seasonal_scale(log_close[fitted], config.statistical.season),
    )


def _groups(series: Sequence[BarSeries], width: int) -> Iterator[Sequence[BarSeries]]:
    """Series that go through the backbone together: as many as their states leave room for, and at least one."""
    longest = max(map(len, series), default=0)
    count = max(1, STATES_AT_ONCE // max(longest * width, 1))
    for first in range(0, len(series), count):
        yield series[first : first + count]
