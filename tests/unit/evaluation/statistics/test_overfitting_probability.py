"""Golden values are published outputs of the R package `pbo`, reproduced draw by draw, for the papers' own test case too.

`pbo` 1.x by M. Barry (github.com/mrbcuda/pbo): the summaries printed in its vignette, whose first example is the test case
of Bailey, Borwein, Lopez de Prado and Zhu in which all trials have the same Sharpe ratio over the whole sample, so that
the probability of overfitting is 1; and the bounds in its own unit test. Its "slope" is the intercept of the regression of
the in-sample ratio on the one out of sample.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from tests.unit.evaluation.return_samples import trial
from toto_ops.evaluation.statistics.overfitting_probability import (
    overfitting_probability,
    overfitting_probability_of,
    sharpes_of_halves,
)

RISK_FREE = 0.03 / 252


def r_normals(seed: int, count: int) -> np.ndarray:
    """What `set.seed(seed); rnorm(count)` gives in R: its scrambled Mersenne Twister, and inversion with two draws each."""
    word, words = seed, []
    for step in range(50 + 625):
        word = (69069 * word + 1) % 2**32
        if step >= 50:
            words.append(word)
    twister = np.random.MT19937()
    twister.state = {**twister.state, "state": {"key": np.array(words[1:], dtype=np.uint32), "pos": 624}}
    uniform = twister.random_raw(2 * count) * 2.3283064365386963e-10
    return norm.ppf((np.floor(2.0**27 * uniform[0::2]) + uniform[1::2]) / 2.0**27)


def regression_in_r(returns: np.ndarray, blocks: int) -> tuple[float, float]:
    """Intercept and adjusted R squared of the best trial's ratio in sample on its ratio out of sample."""
    in_sample, out_of_sample = sharpes_of_halves(returns, blocks)
    rows, best = np.arange(len(in_sample)), in_sample.argmax(axis=1)
    explaining, explained = out_of_sample[rows, best], in_sample[rows, best]
    _, intercept = np.polyfit(explaining, explained, 1)
    squared = np.corrcoef(explaining, explained)[0, 1] ** 2
    return intercept, 1 - (1 - squared) * (len(rows) - 1) / (len(rows) - 2)


def test_the_random_numbers_are_those_of_r():
    assert r_normals(42, 3) == pytest.approx([1.37095845, -0.56469817, 0.36312841], abs=1e-8)


@pytest.mark.parametrize(
    ("blocks", "intercept", "r_squared"), [(8, -0.003046, 0.97), (4, -0.005909, 0.88)], ids=["eight blocks", "four blocks"]
)
def test_trials_of_equal_sharpe_are_overfitted_for_certain_as_published(blocks, intercept, r_squared):
    returns = r_normals(765, 100 * 2400).reshape(100, 2400).T
    returns = returns / returns.std(axis=0, ddof=1) / np.sqrt(252)
    returns = returns - returns.mean(axis=0) - RISK_FREE
    judged = overfitting_probability(returns, blocks)
    assert (judged.probability, judged.probability_of_loss) == (1.0, 1.0)
    assert regression_in_r(returns, blocks) == (pytest.approx(intercept, abs=5e-7), pytest.approx(r_squared, abs=5e-3))


def test_noise_is_judged_as_in_the_packages_own_test():
    returns = r_normals(852, 40 * 200).reshape(200, 40) - RISK_FREE
    judged = overfitting_probability(returns, 4)
    assert judged.combinations == 6
    assert judged.probability == 0.5
    assert judged.probability_of_loss == 0.5
    intercept, r_squared = regression_in_r(returns, 4)
    assert 0.19 < intercept < 0.20
    assert -0.24 < r_squared < -0.22


def judged_in_loops(returns: np.ndarray, blocks: int) -> tuple[float, list[float]]:
    """The method of the paper, one combination and one trial after the other."""
    from itertools import combinations

    parts = np.array_split(np.arange(len(returns)), blocks)
    logits = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[block] for block in chosen])
        outside = np.concatenate([parts[block] for block in range(blocks) if block not in chosen])
        ratios = [[part.mean() / part.std(ddof=1) for part in returns[rows].T] for rows in (inside, outside)]
        best = int(np.argmax(ratios[0]))
        rank = sorted(ratios[1]).index(ratios[1][best]) + 1
        share = rank / (returns.shape[1] + 1)
        logits.append(np.log(share / (1 - share)))
    return float(np.mean(np.array(logits) <= 0)), sorted(logits)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.integers(2, 9), st.integers(20, 61), st.sampled_from([2, 4, 6]))
def test_all_halves_at_once_agree_with_plain_loops(seed, trials, bars, blocks):
    returns = np.random.default_rng(seed).normal(0.0005, 0.01, (bars, trials))
    judged = overfitting_probability(returns, blocks)
    probability, logits = judged_in_loops(returns, blocks)
    assert judged.probability == pytest.approx(probability)
    assert np.repeat(judged.logits, judged.counts) == pytest.approx(np.array(logits), abs=1e-9)


def test_a_trial_with_real_skill_is_chosen_rightly():
    returns = np.random.default_rng(2).normal(0, 0.01, (640, 20))
    returns[:, 7] += 0.003
    judged = overfitting_probability(returns)
    assert judged.combinations == 12870
    assert judged.probability < 0.01
    assert judged.probability_of_loss < 0.01


def test_noise_is_overfitted_about_half_of_the_time():
    generator = np.random.default_rng(4)
    judged = [overfitting_probability(generator.normal(0, 0.01, (320, 20)), 8).probability for _ in range(60)]
    assert np.mean(judged) == pytest.approx(0.5, abs=0.06)


def test_a_trial_that_never_trades_ties_with_cash_and_divides_by_nothing():
    returns = np.random.default_rng(4).normal(-0.002, 0.01, (160, 3))
    returns[:, 1] = 0.0
    judged = overfitting_probability(returns, 4)
    assert judged.probability is not None
    assert sum(judged.counts) == judged.combinations == 6


def test_only_what_can_be_compared_is_compared():
    with pytest.raises(ValueError, match="cannot be compared"):
        overfitting_probability(np.zeros((100, 1)))
    with pytest.raises(ValueError, match="cannot be compared"):
        overfitting_probability(np.zeros((100, 3)), blocks=5)
    with pytest.raises(ValueError, match="finite"):
        overfitting_probability(np.full((100, 3), np.nan))


def test_seeds_of_one_configuration_are_no_choice_to_judge():
    one = np.random.default_rng(0).normal(0, 0.01, 200)
    judged = overfitting_probability_of([trial(0, one), trial(1, one + 1e-5), trial(2, one * 1.01)])
    assert not judged.sufficient
    assert (judged.trials, judged.effective_trials, judged.probability) == (3, 1, None)
    assert "1 effective trial" in judged.note


def test_no_trials_at_all_are_insufficient():
    assert not overfitting_probability_of([]).sufficient


def test_too_few_common_bars_are_insufficient():
    generator = np.random.default_rng(0)
    judged = overfitting_probability_of([trial(number, generator.normal(0, 0.01, 40)) for number in range(3)])
    assert not judged.sufficient
    assert "40 common bars" in judged.note


def test_different_trials_are_judged_on_the_bars_they_share():
    generator = np.random.default_rng(0)
    judged = overfitting_probability_of([trial(number, generator.normal(0, 0.01, 150), first_day=number) for number in range(4)])
    assert judged.sufficient
    assert (judged.bars, judged.effective_trials) == (147, 4)
