"""Trials are aligned by timestamp, and those that did the same count as one."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.evaluation.return_samples import trial
from toto_ops.evaluation.statistics.trial_returns import MINIMUM_OVERLAP, SAME_TRIAL_CORRELATION, TrialReturns

GENERATOR = np.random.default_rng(3)


def drawn(bars: int = 120) -> np.ndarray:
    return GENERATOR.normal(0, 0.01, bars)


def test_returns_stand_at_their_own_moment_whatever_row_they_had():
    aligned = TrialReturns.of([trial(0, [0.1, 0.2, 0.3]), trial(1, [0.5, 0.6], first_day=2)])
    expected = [[0.1, np.nan], [0.2, np.nan], [0.3, 0.5], [np.nan, 0.6]]
    np.testing.assert_array_equal(aligned.returns, expected)
    np.testing.assert_array_equal(aligned.common, [[0.3, 0.5]])


def test_correlations_are_those_of_the_common_bars():
    one, other = drawn(), drawn()
    aligned = TrialReturns.of([trial(0, one), trial(1, other, first_day=30)])
    assert aligned.correlations()[0, 1] == pytest.approx(np.corrcoef(one[30:], other[:-30])[0, 1])


def test_a_copy_is_the_same_trial_and_an_unrelated_one_is_not():
    one = drawn()
    aligned = TrialReturns.of([trial(0, one), trial(1, drawn()), trial(2, 2.0 * one)])
    clusters = aligned.clusters()
    assert clusters[0] == clusters[2] != clusters[1]


@pytest.mark.parametrize(("shared", "clusters"), [(0.85, 1), (0.55, 2)], ids=["most of the variance", "less than half"])
def test_trials_are_one_when_they_share_at_least_half_of_their_variance(shared, clusters):
    common, own, other = (drawn(4000) for _ in range(3))
    mixed = [np.sqrt(shared) * common + np.sqrt(1 - shared) * rest for rest in (own, other)]
    assert (shared > SAME_TRIAL_CORRELATION) == (clusters == 1)
    assert len(set(TrialReturns.of([trial(0, mixed[0]), trial(1, mixed[1])]).clusters())) == clusters


def test_opposite_trials_are_two():
    one = drawn()
    assert len(set(TrialReturns.of([trial(0, one), trial(1, -one)]).clusters())) == 2


@pytest.mark.parametrize(("other", "clusters"), [("one", 1), ("two", 2)], ids=["same", "another"])
def test_where_too_few_bars_are_common_the_configuration_tells_trials_apart(other, clusters):
    few = drawn(MINIMUM_OVERLAP - 1)
    overlapping = [trial(0, few, configuration="one"), trial(1, few, configuration=other)]
    apart = [trial(0, drawn(), configuration="one"), trial(1, drawn(), first_day=500, configuration=other)]
    assert len(set(TrialReturns.of(overlapping).clusters())) == clusters
    assert len(set(TrialReturns.of(apart).clusters())) == clusters


def test_one_configuration_counts_twice_where_its_returns_differ():
    aligned = TrialReturns.of([trial(0, drawn(), configuration="one"), trial(1, drawn(), configuration="one")])
    assert len(set(aligned.clusters())) == 2


def test_policies_that_never_traded_are_one_trial():
    flat = np.zeros(60)
    clusters = TrialReturns.of([trial(0, flat), trial(1, flat), trial(2, drawn(60))]).clusters()
    assert clusters[0] == clusters[1] != clusters[2]


def test_a_cluster_earned_what_its_trials_earned_on_average():
    one = drawn(60)
    merged = TrialReturns.of([trial(0, one), trial(1, one + 0.01), trial(2, drawn(60), first_day=20)]).cluster_returns()
    column = merged[:, 0] if np.isnan(merged[:20, 1]).all() else merged[:, 1]
    np.testing.assert_allclose(column[:60], one + 0.005)


def test_no_trials_are_no_clusters():
    aligned = TrialReturns.of([])
    assert aligned.cluster_returns().shape == (0, 0)
    assert aligned.common.shape == (0, 0)
