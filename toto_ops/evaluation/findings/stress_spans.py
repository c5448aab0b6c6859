"""How a strategy fared in hard times: the worst months of the market, its wildest quarter, and every regime.

Regimes are those each symbol was known to be in at the close before an open; the market is in the regime most of its
symbols are in. The worst months and the most volatile quarter are found with hindsight, and say so: they show a strategy
under stress, nobody could have traded on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toto_ops.evaluation.baselines.market_index import market_returns
from toto_ops.evaluation.baselines.price_history import PriceHistory
from toto_ops.evaluation.findings.documents import Labelled, StressSpanResult
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig, estimate_of, resamples_of
from toto_ops.evaluation.statistics.metrics import FLAT, log_returns, max_drawdown, ratio, total_return, with_still_draws
from toto_ops.features.panel import Panel
from toto_ops.features.state import REGIME_FEATURES
from toto_ops.features.trends import TREND_FEATURES

Array = NDArray[np.float64]

WORST_MONTHS = 3
"""Calendar months shown as the worst."""

VOLATILITY_WINDOW = 20
"""Returns of the market whose deviation is its volatility at a bar."""

VOLATILE_SHARE = 0.25

REGIME_TITLES = {
    "trend_bull": "bull market",
    "trend_bear": "bear market",
    "trend_volatile": "volatile market",
    "trend_sideways": "sideways market",
    "regime_low": "low volatility",
    "regime_normal": "normal volatility",
    "regime_high": "high volatility",
}


@dataclass(frozen=True)
class StressSpan:
    """Some of the returns of a span.

    Attributes
    ----------
    chosen
        `[T - 1]` bool: the returns, open to open, that belong to it; possibly none.
    market
        `[T - 1]` returns of the equal-weight market over the whole span.
    """

    name: str
    labelled: Labelled
    chosen: NDArray[np.bool_]
    market: Array


def stress_spans(panel: Panel) -> tuple[StressSpan, ...]:
    """Every stress span of a panel: worst months, most volatile quarter, trend regimes, volatility regimes.

    Regimes that the panel does not carry are left out; those that never occurred are there, without bars.
    """
    market = market_returns(panel)
    hindsight = {
        f"{WORST_MONTHS} worst months of the market": _worst_months(panel.open_time[:-1], market),
        "most volatile quarter of the bars": _most_volatile(market),
    }
    return (
        *(StressSpan(name, "with hindsight", chosen, market) for name, chosen in hindsight.items()),
        *(
            StressSpan(REGIME_TITLES[name], "known at the time", chosen, market)
            for name, chosen in {**_regimes(panel, TREND_FEATURES), **_regimes(panel, REGIME_FEATURES)}.items()
        ),
    )


def measure_stress_spans(
    spans: Sequence[StressSpan], returns: Sequence[Array], *, periods_per_year: float, config: BootstrapConfig
) -> tuple[tuple[StressSpanResult, ...], ...]:
    """Figures of several strategies on every stress span.

    Whole spans are resampled in blocks and the bars of the stress span drawn with them are measured, so that the number of
    its bars varies as it would in another history.

    Parameters
    ----------
    returns
        `[T - 1]` simple returns of each strategy, bar by bar of the panel the spans were found in.

    Returns
    -------
    tuple[tuple[StressSpanResult, ...], ...]
        For each strategy one result per span.
    """
    if not spans or not returns:
        return tuple(() for _ in returns)
    resamples = resamples_of(len(spans[0].market), config)
    chosen = np.stack([span.chosen for span in spans], axis=1).astype(np.float64)
    bars = resamples.sums(chosen)
    measured = []
    for series in returns:
        centred = (series - series.mean())[:, None]
        columns = (log_returns(series)[:, None] * chosen, centred * chosen, centred**2 * chosen)
        growth, drift, squares = np.split(resamples.sums(np.concatenate(columns, axis=1)), 3, axis=1)
        drift, squares = ratio(drift, bars, 0.0), ratio(squares, bars, 0.0)
        spread = np.sqrt(np.maximum(squares - drift**2, 0.0) * ratio(bars, bars - 1.0, 0.0))
        compounded = np.where(bars > 0, np.exp(growth) - 1.0, np.nan)
        sharpe = with_still_draws(ratio(series.mean() + drift, spread, FLAT)) * np.sqrt(periods_per_year)
        sharpe = np.where(bars > 1, sharpe, np.nan)
        measured.append(
            tuple(
                StressSpanResult(
                    name=span.name,
                    labelled=span.labelled,
                    bars=int(span.chosen.sum()),
                    share=float(span.chosen.mean()),
                    total_return=estimate_of(compounded[:, column], config.level),
                    sharpe=estimate_of(sharpe[:, column], config.level),
                    max_drawdown=float(max_drawdown(series[span.chosen])) if span.chosen.any() else None,
                    market_return=float(total_return(span.market[span.chosen])) if span.chosen.any() else None,
                )
                for column, span in enumerate(spans)
            )
        )
    return tuple(measured)


def _worst_months(open_time: NDArray[np.datetime64], market: Array) -> NDArray[np.bool_]:
    """Returns of the calendar months (UTC, of the open they begin at) in which the market fell furthest from a peak."""
    months = open_time.astype("datetime64[M]")
    names = np.unique(months)
    fall = np.array([float(max_drawdown(market[months == month])) for month in names])
    worst = np.argsort(-fall, kind="stable")[:WORST_MONTHS]
    return np.isin(months, names[worst[fall[worst] > 0]])


def _most_volatile(market: Array) -> NDArray[np.bool_]:
    """Returns that end a window of market returns whose deviation is among the highest quarter of the span."""
    chosen = np.zeros(len(market), dtype=bool)
    if len(market) < VOLATILITY_WINDOW:
        return chosen
    deviation = np.lib.stride_tricks.sliding_window_view(market, VOLATILITY_WINDOW).std(axis=1)
    chosen[VOLATILITY_WINDOW - 1 :] = deviation > np.quantile(deviation, 1.0 - VOLATILE_SHARE)
    return chosen


def _regimes(panel: Panel, names: tuple[str, ...]) -> dict[str, NDArray[np.bool_]]:
    """Returns that followed a close at which most symbols were in each regime; the first of `names` where they tie.

    The return from open `t` to open `t + 1` belongs to the regime known at the close of row `t - 1`. A symbol without a bar
    there is in the regime of its latest one, for as long as baselines count it as present.
    """
    carried = dict(zip(panel.feature_names, np.moveaxis(panel.features, -1, 0), strict=True))
    carried |= dict(zip(panel.context_names, np.moveaxis(panel.context, -1, 0), strict=True))
    if any(name not in carried for name in names):
        return {}
    history = PriceHistory(panel.mask, panel.close, panel.close_time)
    votes = np.stack(
        [np.where(history.present, np.take_along_axis(carried[name], history.latest, axis=0), 0.0).sum(axis=1) for name in names]
    )
    leading = np.where(votes.max(axis=0) > 0, votes.argmax(axis=0), -1)[:-2]
    known = np.concatenate([np.full(min(1, panel.rows - 1), -1), leading])
    return {name: known == number for number, name in enumerate(names)}
