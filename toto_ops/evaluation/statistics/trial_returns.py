"""The returns of every trial side by side, aligned by timestamp, and how many different trials they really are.

Seeds of one configuration, and retrainings on nearly the same bars, earn nearly the same returns: counted one by one they
would make luck look bigger than it was. Trials whose returns go together are one cluster, and the number of clusters is the
effective number of trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from toto_ops.features.moments import to_utc64
from toto_ops.training.ledger import Trial

Array = NDArray[np.float64]

SAME_TRIAL_CORRELATION = sqrt(0.5)
"""From this correlation on, two trials share at least half of their variance and count as one."""

MINIMUM_OVERLAP = 20
"""Common bars below which a correlation says nothing."""


STILL = 1e-16
"""Variance per bar below which a trial did not move: rounding error of its sums."""


@dataclass(frozen=True)
class TrialReturns:
    """Validation returns of `N` trials over the union of their bars.

    Attributes
    ----------
    configurations
        `N` line and configuration of each trial, seeds apart: trials that share it differ by luck and by their bars alone.
    moments
        `[T]` `datetime64[us]`, UTC, increasing.
    returns
        `[T, N]` simple returns per bar; NaN where a trial has none.
    """

    configurations: tuple[tuple[str, str], ...]
    moments: NDArray[np.datetime64]
    returns: Array

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> TrialReturns:
        """Align the trials of a ledger."""
        stamps = [np.array([to_utc64(moment) for moment in trial.timestamps], dtype="datetime64[us]") for trial in trials]
        moments = np.unique(np.concatenate([np.empty(0, dtype="datetime64[us]"), *stamps]))
        returns = np.full((len(moments), len(trials)), np.nan)
        for column, (trial, when) in enumerate(zip(trials, stamps, strict=True)):
            returns[np.searchsorted(moments, when), column] = trial.returns
        return cls(tuple((trial.line, trial.config_hash) for trial in trials), moments, returns)

    @property
    def common(self) -> Array:
        """`[T', N]` returns on the bars that every trial has; possibly none."""
        return self.returns[~np.isnan(self.returns).any(axis=1)]

    def correlations(self) -> Array:
        """`[N, N]` Pearson correlations on the bars that both of a pair have.

        0 for a pair of which only one moved, and 1 for two that never moved: both held cash. Where fewer than
        `MINIMUM_OVERLAP` bars are common, returns cannot tell; then it is 1 for trials of one configuration, such as the
        folds of a cross-validation, and 0 for others.
        """
        present = (~np.isnan(self.returns)).astype(np.float64)
        filled = np.where(present > 0, self.returns, 0.0)
        bars = present.T @ present
        count = np.maximum(bars, 1.0)
        sums = filled.T @ present
        squares = (filled**2).T @ present
        covariance = filled.T @ filled / count - sums * sums.T / count**2
        variance = np.maximum(squares / count - (sums / count) ** 2, 0.0)
        moved = variance > STILL
        comparable = bars >= MINIMUM_OVERLAP
        defined = comparable & moved & moved.T
        correlation = np.where(defined, covariance / np.sqrt(np.where(defined, variance * variance.T, 1.0)), 0.0)
        configuration = np.array([self.configurations.index(of) for of in self.configurations], dtype=np.int64)
        alike = configuration[:, None] == configuration[None, :]
        same = (comparable & ~moved & ~moved.T) | (~comparable & alike) | np.eye(len(bars), dtype=bool)
        return np.where(same, 1.0, np.clip(correlation, -1.0, 1.0))

    def clusters(self) -> NDArray[np.int64]:
        """`[N]` cluster of each trial, numbered from 0: average linkage, cut at `SAME_TRIAL_CORRELATION`.

        The distance of two trials is `sqrt((1 - correlation) / 2)`, as in Lopez de Prado and Lewis (2019), "Detection of
        false investment strategies using unsupervised learning methods". Their silhouette score needs at least two
        clusters and could never say that all seeds of one configuration are a single trial; a fixed cut can.
        """
        if len(self.configurations) < 2:
            return np.zeros(len(self.configurations), dtype=np.int64)
        from scipy.cluster.hierarchy import fcluster, linkage
        from scipy.spatial.distance import squareform

        distance = np.sqrt(np.maximum(1.0 - self.correlations(), 0.0) / 2.0)
        tree = linkage(squareform(distance, checks=False), method="average")
        cut = sqrt((1.0 - SAME_TRIAL_CORRELATION) / 2.0)
        return np.asarray(fcluster(tree, t=cut, criterion="distance"), dtype=np.int64) - 1

    def cluster_returns(self) -> Array:
        """`[T, K]` mean return of the trials of each cluster; NaN where none of them has a bar."""
        clusters = self.clusters()
        columns = [_mean_present(self.returns[:, clusters == number]) for number in range(int(clusters.max(initial=-1)) + 1)]
        return np.stack(columns, axis=1) if columns else np.empty((len(self.moments), 0))


def _mean_present(returns: Array) -> Array:
    present = ~np.isnan(returns)
    return np.where(present.any(axis=1), np.where(present, returns, 0.0).sum(axis=1) / np.maximum(present.sum(axis=1), 1), np.nan)
