"""Block-bootstrap intervals: how much of a figure could be the luck of the sample.

Returns of a policy depend on each other from bar to bar, so bars are resampled in blocks: the stationary bootstrap of
Politis and Romano (1994), with geometric block lengths on the series bent into a circle. All resamples are drawn once per
length and configuration, and serve every series of that length.

Most figures are functions of sums over bars, and a resample matters to a sum only by how often it drew each bar: one product
of the counts `[samples, n]` with the columns `[n, k]` gives the sums of all series on all resamples. Only figures of a path,
such as a drawdown, need the drawn bars in their order; they walk through all resamples bar by bar at once.

Percentile intervals of blocks are somewhat too narrow on spans of a few hundred bars: a nominal 90 % interval of the
mean of an autoregressive process (correlation 0.6, blocks of 20) held the truth in 83 % of samples of 400 bars and in
85 % of samples of 1,000. Resampling single bars instead held it in 56 %.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toto_ops.configuration import StrictModel
from toto_ops.errors import InsufficientDataError

Array = NDArray[np.float64]

Statistic = Callable[..., Array]
"""Takes series as `[..., n]` and reduces the last axis."""

MINIMUM_DEFINED = 0.5
"""Share of the resamples on which a statistic must be defined before an interval is drawn from them."""


LEAST_BLOCKS = 4
"""Mean number of blocks in a resample: were blocks as long as the span, every resample would be the span itself, only begun
elsewhere, and every interval a point. Shorter spans have shorter blocks."""


class BootstrapConfig(StrictModel):
    """How intervals are drawn."""

    samples: int = Field(default=1000, ge=100, description="resamples")
    block_length: float = Field(default=20.0, ge=1, description="mean bars per block; 1 is the bootstrap of independent bars")
    level: float = Field(default=0.90, gt=0, lt=1, description="two-sided coverage")
    seed: int = Field(default=20, ge=0)


class Estimate(StrictModel):
    """A figure and its bootstrap interval; None where it is not defined, such as the Sharpe ratio of cash."""

    value: float | None
    low: float | None = None
    high: float | None = None


def resample_indices(length: int, config: BootstrapConfig) -> NDArray[np.intp]:
    """Bars of every resample, `[samples, length]`: the same configuration draws the same bars.

    Raises
    ------
    InsufficientDataError
        If there is nothing to resample.
    """
    if length < 1:
        raise InsufficientDataError("no bars to resample", remedy="judge on a longer span")
    generator = np.random.default_rng(config.seed)
    shape = (config.samples, length)
    starts = generator.integers(length, size=shape)
    is_start = generator.random(shape) < 1.0 / max(1.0, min(config.block_length, length / LEAST_BLOCKS))
    is_start[:, 0] = True
    position = np.arange(length)
    block_start = np.maximum.accumulate(np.where(is_start, position, 0), axis=1)
    drawn = np.take_along_axis(starts, block_start, axis=1) + position - block_start
    return np.where(drawn < length, drawn, drawn - length)


@dataclass(frozen=True)
class Resamples:
    """The sample itself and its resamples, as every figure of one span uses them.

    Attributes
    ----------
    order
        `[n, 1 + samples]` bars in the order they were drawn; the first column is the sample itself.
    counts
        `[1 + samples, n]` how often each bar was drawn; in the first row every bar once.
    """

    order: NDArray[np.intp]
    counts: Array

    def sums(self, columns: Array) -> Array:
        """Sums of `[n, k]` columns over the bars of the sample and of each resample, `[1 + samples, k]`."""
        if len(columns) != len(self.order):
            raise ValueError(f"{len(columns)} bars cannot be summed over resamples of {len(self.order)}")
        return self.counts @ columns


def draw_counts(indices: NDArray[np.intp]) -> Array:
    """How often each resample drew each bar, `[samples, length]`, from the bars `[samples, length]` it drew."""
    samples, length = indices.shape
    offsets = np.arange(samples)[:, None] * length
    return np.bincount((indices + offsets).ravel(), minlength=indices.size).reshape(indices.shape).astype(np.float64)


@lru_cache(maxsize=4)
def resamples_of(length: int, config: BootstrapConfig) -> Resamples:
    """Draw the resamples of spans of one length; once, since all contestants are measured on the same bars.

    Raises
    ------
    InsufficientDataError
        If there is nothing to resample.
    """
    indices = resample_indices(length, config)
    order = np.concatenate([np.arange(length)[None], indices]).T.copy()
    counts = np.concatenate([np.ones((1, length)), draw_counts(indices)])
    order.flags.writeable = counts.flags.writeable = False
    return Resamples(order, counts)


def estimate(value: float, resampled: Array, level: float) -> Estimate:
    """Percentile interval of a statistic from its values on the resamples.

    Parameters
    ----------
    value
        The statistic on the sample itself; not finite where it is undefined.
    resampled
        `[samples]`; not finite where the statistic is undefined on a resample.
    level
        Two-sided coverage.
    """
    if not np.isfinite(value):
        return Estimate(value=None)
    defined = resampled[np.isfinite(resampled)]
    if defined.size < MINIMUM_DEFINED * resampled.size:
        return Estimate(value=float(value))
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value=float(value), low=float(low), high=float(high))


def estimate_of(values: Array, level: float) -> Estimate:
    """Estimate from `[1 + samples]` values, the sample's own first, as `Resamples` orders them."""
    return estimate(float(values[0]), values[1:], level)


def block_estimate(statistic: Statistic, series: tuple[Array, ...], config: BootstrapConfig) -> Estimate:
    """Estimate any statistic of one or several series that are resampled together, bar by bar.

    It gathers the drawn bars, whatever the statistic is; figures that are functions of sums have a faster way in
    `Resamples.sums`, which this is the reference for.

    Parameters
    ----------
    statistic
        Takes as many series as are given.
    series
        Each `[n]`; the same bars are drawn from all of them, so that what happened together stays together.
    """
    if len(series[0]) == 0:
        return Estimate(value=None)
    drawn = resamples_of(len(series[0]), config).order[:, 1:].T
    return estimate(float(statistic(*series)), statistic(*(values[drawn] for values in series)), config.level)


def paired_difference(statistic: Statistic, one: Array, other: Array, config: BootstrapConfig) -> Estimate:
    """Estimate `statistic(one) - statistic(other)` on the same bars: what both lived through cancels.

    Parameters
    ----------
    one, other
        `[n]` each, bar by bar of the same span.
    """
    if one.shape != other.shape:
        raise ValueError(f"paired series must cover the same bars, got {one.shape} and {other.shape}")
    return block_estimate(lambda left, right: statistic(left) - statistic(right), (one, other), config)
