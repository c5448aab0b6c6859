"""Pictures of forecasts and embeddings: the same values give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toto_ops.errors import InsufficientDataError
from toto_ops.evaluation.reports.line_plots import COLOURS, SIZE, as_png
from toto_ops.features.trends import TREND_FEATURES

if TYPE_CHECKING:
    from toto_ops.evaluation.forecasts.fans import Fans

MOST_POINTS = 4_000
"""Embeddings drawn; of more, every so-manieth is."""

SQUARE = (7.0, 5.2)


def fan_plot(fans: Fans) -> bytes:
    """Draw what was foretold of a symbol at several bars over what happened, as PNG."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    axes.plot(fans.close_time, fans.close, color="#222222", linewidth=1.1, label="close", zorder=3)
    middle = fans.quantiles.shape[-1] // 2
    for fan, (origin, foretold) in enumerate(zip(fans.origins, fans.quantiles, strict=True)):
        # Each fan opens at the price it was foretold from.
        bars = fans.close_time[origin : origin + len(foretold) + 1]
        paths = np.vstack([np.full(foretold.shape[-1], fans.close[origin]), foretold])
        for inner in range(middle):
            label = "quantiles" if fan == inner == 0 else None
            axes.fill_between(
                bars, paths[:, inner], paths[:, -1 - inner], color=COLOURS[2], alpha=0.6 / middle, linewidth=0, label=label
            )
        axes.plot(bars, paths[:, middle], color=COLOURS[1], linewidth=1.1, label=None if fan else "median", zorder=4)
    dates = AutoDateLocator(maxticks=10)  # type: ignore[no-untyped-call] # matplotlib has few annotations
    axes.xaxis.set_major_locator(dates)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(dates))  # type: ignore[no-untyped-call]
    axes.set_ylabel(f"{fans.symbol}, price")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return as_png(figure)


def embedding_plot(embeddings: NDArray[np.floating[Any]], regimes: Sequence[str]) -> bytes:
    """Draw the first two principal components of embeddings, coloured by regime, as PNG.

    Parameters
    ----------
    embeddings
        `[N, D]`; rows that are not known (NaN) are left out.
    regimes
        `[N]` name of the regime each was made in.

    Raises
    ------
    InsufficientDataError
        If fewer than three embeddings are known.
    """
    from matplotlib.figure import Figure

    named = np.asarray(regimes, dtype=np.str_)
    if len(named) != len(embeddings):
        raise ValueError(f"{len(embeddings)} embeddings have {len(named)} regimes")
    known = np.flatnonzero(np.isfinite(embeddings).all(axis=1))
    if len(known) < 3:
        raise InsufficientDataError(
            f"{len(known)} of {len(embeddings)} embeddings are known: too few to draw", remedy="show a span with more history"
        )
    drawn = known[:: -(-len(known) // MOST_POINTS)]
    points, shares = principal_components(embeddings[drawn].astype(np.float64))
    figure = Figure(figsize=SQUARE, layout="constrained")
    axes = figure.subplots()
    for position, regime in enumerate(np.unique(named[drawn])):
        of_regime = points[named[drawn] == regime]
        axes.scatter(
            of_regime[:, 0],
            of_regime[:, 1],
            s=8,
            alpha=0.6,
            linewidths=0,
            color=COLOURS[position % len(COLOURS)],
            label=f"{regime} ({len(of_regime)})",
        )
    axes.set_xlabel(f"first principal component ({shares[0]:.0%} of the variance)")
    axes.set_ylabel(f"second principal component ({shares[1]:.0%} of the variance)")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return as_png(figure)


def trend_regimes(one_hot: NDArray[np.floating[Any]]) -> list[str]:
    """Names of the trend regimes of `[N, 4]` one-hot `TREND_FEATURES`, for `embedding_plot`; `unknown` before there is one."""
    names = [name.removeprefix("trend_") for name in TREND_FEATURES]
    known = np.isfinite(one_hot).all(axis=1) & (one_hot.sum(axis=1) > 0)
    return [names[column] if told else "unknown" for column, told in zip(one_hot.argmax(axis=1), known, strict=True)]


def principal_components(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points `[N, D]` on their first two principal axes, `[N, 2]`, and the share of the variance `[2]` on each.

    Of each axis the loading that is largest in absolute value is positive. Points of one dimension lie on a line; points that
    are all the same have no variance to share.
    """
    from sklearn.decomposition import PCA

    projected, shares = np.zeros((len(points), 2)), np.zeros(2)
    if np.ptp(points, axis=0).any():
        axes = PCA(min(2, points.shape[1]), svd_solver="full").fit(points)
        projected[:, : axes.n_components_] = axes.transform(points)
        shares[: axes.n_components_] = axes.explained_variance_ratio_
    return projected, shares
