"""Forecast fans: what was foretold for every one of the next bars, at several moments of a symbol."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from toto_ops.errors import InsufficientDataError
from toto_ops.features.moments import to_utc64
from toto_ops.forecasting.forecaster import Forecaster, QuantileForecaster
from toto_ops.forecasting.scaling import CausalScale
from toto_ops.forecasting.series import CLOSE, BarSeries, stacked
from toto_ops.learning.splits import Span


@dataclass(frozen=True)
class Fans:
    """What happened to a symbol, and what was foretold of it.

    Attributes
    ----------
    close_time
        `[T]` `datetime64[us]`, UTC: the bars of the span.
    close
        `[T]` prices.
    origins
        `[F]` rows of `close_time` at whose close was foretold; the bars foretold are the next `H` rows.
    quantiles
        `[F, H, Q]` prices.
    """

    symbol: str
    close_time: NDArray[np.datetime64]
    close: NDArray[np.float64]
    origins: NDArray[np.intp]
    quantiles: NDArray[np.float64]


def forecast_fans(forecaster: Forecaster, asked: QuantileForecaster, series: BarSeries, span: Span, count: int) -> Fans:
    """Fans at moments spread evenly over a span, of those whose whole horizon lies in it.

    Parameters
    ----------
    asked
        Who foretells from the forecaster's states: itself, or its specialists.

    Raises
    ------
    InsufficientDataError
        If there is no such moment at which the forecaster has a state.
    """
    known = series.until(span.until)
    first = int(np.searchsorted(known.close_time, to_utc64(span.after), side="right"))
    x = stacked([known])
    with torch.no_grad():
        states = forecaster.backbone.states(x)
        last = len(known) - forecaster.head.horizon
        usable = first + np.flatnonzero(torch.isfinite(states[0, first : max(last, first)]).all(dim=-1).numpy())
        if not len(usable):
            raise InsufficientDataError(
                f"none of its {len(known) - first} bars has a forecast whose {forecaster.head.horizon} bars have all closed",
                where=series.symbol,
                remedy="show a symbol with more history, or a longer span",
            )
        origins = np.unique(usable[np.linspace(0, len(usable) - 1, count).round().astype(np.intp)])
        at = torch.from_numpy(origins)
        foretold = asked.quantiles(states[:, at], (series.symbol,))
        prices = CausalScale.of(x).at(at.unsqueeze(0)).real_units(foretold)[0, :, CLOSE].double().exp()
    return Fans(
        symbol=series.symbol,
        close_time=known.close_time[first:],
        close=np.exp(known.values[first:, CLOSE]),
        origins=origins - first,
        quantiles=prices.numpy(),
    )
