"""Golden values are those of the papers: Bailey and Lopez de Prado, 2012 (PSR, track record) and 2014 (DSR)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evaluation.return_samples import trial
from toto_ops.errors import InsufficientDataError
from toto_ops.evaluation.statistics.significance import (
    SharpeSample,
    deflated_sharpe,
    expected_maximum_sharpe,
    minimum_detectable_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    significance_of,
)

HEDGE_FUND = {"sharpe": 0.458, "bars": 24}
"""2012, section on the probabilistic Sharpe ratio: two years of monthly returns, 1.59 annualised."""

STRATEGIST = 2.5 / np.sqrt(250)
"""2014, numerical example: 2.5 annualised over five years of daily returns."""

HUNDRED_TRIALS_VARIANCE = 0.5 / 250
"""The same: trials whose annualised ratios have a variance of one half."""


def test_probabilistic_sharpe_of_the_papers_hedge_fund_if_its_returns_were_normal():
    assert probabilistic_sharpe(SharpeSample(skew=0.0, kurtosis=3.0, **HEDGE_FUND)) == pytest.approx(0.982, abs=5e-4)


def test_probabilistic_sharpe_of_the_papers_hedge_fund_as_its_returns_were():
    sample = SharpeSample(skew=-2.448, kurtosis=10.164, **HEDGE_FUND)
    assert probabilistic_sharpe(sample) == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize(("per_year", "years"), [(250, 2.73), (52, 2.83), (12, 3.24)], ids=["daily", "weekly", "monthly"])
def test_track_record_that_tells_a_sharpe_of_two_from_one(per_year, years):
    # 2012, section on the minimum track record length: normal returns, 95 % confidence
    sample = SharpeSample(2 / np.sqrt(per_year), 0.0, 3.0, 100)
    assert minimum_track_record(sample, 1 / np.sqrt(per_year)) / per_year == pytest.approx(years, abs=5e-3)


def test_track_record_that_skewed_and_fat_tailed_returns_need():
    # 2012, the same section: monthly returns with skew -0.72 and kurtosis 5.78 need 4.99 years
    sample = SharpeSample(2 / np.sqrt(12), -0.72, 5.78, 100)
    assert minimum_track_record(sample, 1 / np.sqrt(12)) / 12 == pytest.approx(4.99, abs=5e-3)


def test_expected_maximum_of_the_papers_hundred_trials():
    assert expected_maximum_sharpe(100, HUNDRED_TRIALS_VARIANCE) == pytest.approx(0.1132, abs=5e-5)


@pytest.mark.parametrize(
    ("trials", "skew", "kurtosis", "expected"),
    [(100, -3.0, 10.0, 0.9004), (46, -3.0, 10.0, 0.9505), (88, 0.0, 3.0, 0.9505)],
    ids=["hundred trials", "forty-six trials", "eighty-eight trials, normal returns"],
)
def test_deflated_sharpe_of_the_papers_strategist(trials, skew, kurtosis, expected):
    sample = SharpeSample(STRATEGIST, skew, kurtosis, 1250)
    assert deflated_sharpe(sample, trials, HUNDRED_TRIALS_VARIANCE) == pytest.approx(expected, abs=6e-5)


def test_expected_maximum_agrees_with_drawing_trials():
    drawn = np.random.default_rng(1).normal(0, 0.03, (4000, 40)).max(axis=1).mean()
    assert expected_maximum_sharpe(40, 0.03**2) == pytest.approx(drawn, rel=0.02)


def test_a_single_trial_was_not_chosen_from_anything():
    assert expected_maximum_sharpe(1, 0.01) == 0.0


def test_the_interval_of_a_sharpe_ratio_holds_the_truth_as_often_as_promised():
    generator = np.random.default_rng(5)
    samples = [SharpeSample.of(generator.normal(0.05, 1.0, 250)) for _ in range(2000)]
    below = np.mean([probabilistic_sharpe(sample, 0.05) < 0.10 for sample in samples])
    assert below == pytest.approx(0.10, abs=0.02)


def test_minimum_detectable_sharpe_of_four_years_is_that_of_one_halved():
    # (1.6449 + 0.8416) for 5 % one-sided and 80 % power, over one year
    assert minimum_detectable_sharpe(252, 252) == pytest.approx(2.4865, abs=1e-3)
    assert minimum_detectable_sharpe(1008, 252) == pytest.approx(2.4865 / 2, abs=1e-3)


def test_moments_of_a_hand_computed_sample():
    # mean 1; deviations 1, -1, 1, -1: variance 4 / 3 of the sample, standardised fourth powers all 1
    sample = SharpeSample.of(np.array([2.0, 0.0, 2.0, 0.0]))
    assert (sample.sharpe, sample.skew, sample.kurtosis) == pytest.approx((1 / np.sqrt(4 / 3), 0.0, 1.0))


def test_returns_that_never_move_have_a_sharpe_of_zero_and_prove_nothing():
    sample = SharpeSample.of(np.zeros(50))
    assert probabilistic_sharpe(sample) == 0.5
    assert minimum_track_record(sample) is None


def test_returns_whose_sharpe_ratio_has_no_variance_still_have_a_confidence():
    """Of two values, where skew times Sharpe ratio is 2: the variance of the estimate is zero, or less by rounding."""
    jumps = np.where(np.arange(1000) < 100, 1.0, 0.0)
    skew = (1 - 2 * 0.1) / np.sqrt(0.1 * 0.9)
    returns = jumps - jumps.mean() + 2 / skew * jumps.std(ddof=1)
    assert probabilistic_sharpe(SharpeSample.of(returns)) == 1.0


@given(st.integers(2, 500), st.integers(1, 200))
def test_more_trials_only_ever_deflate(trials, more):
    sample = SharpeSample(0.1, -0.5, 5.0, 500)
    assert deflated_sharpe(sample, trials + more, 1 / 499) < deflated_sharpe(sample, trials, 1 / 499)


@pytest.mark.parametrize("wrong", [SharpeSample(0.1, 3.0, 2.0, 100), SharpeSample(0.1, 0.0, 3.0, 1)], ids=["moments", "one bar"])
def test_what_no_distribution_has_is_refused(wrong):
    with pytest.raises(ValueError, match="no"):
        probabilistic_sharpe(wrong)


def test_too_few_returns_are_refused():
    with pytest.raises(InsufficientDataError, match="no Sharpe ratio"):
        SharpeSample.of(np.array([0.1]))


GENERATOR = np.random.default_rng(11)
EARNED = GENERATOR.normal(0.001, 0.01, 400)
DIFFERENT = [trial(number, GENERATOR.normal(0, 0.01, 300)) for number in range(6)]
SEEDS = [trial(10 + number, np.asarray(DIFFERENT[0].returns) + GENERATOR.normal(0, 0.001, 300)) for number in range(5)]


def weigh(trials, earlier_openings=0):
    return significance_of(EARNED, trials, earlier_openings=earlier_openings, periods_per_year=365, trial_periods_per_year=365)


def test_seeds_of_one_configuration_are_one_effective_trial():
    weighed = weigh(SEEDS)
    assert (weighed.trials, weighed.effective_trials, weighed.expected_maximum_sharpe) == (5, 1, 0.0)
    assert weighed.deflated_sharpe == weighed.probabilistic_sharpe


def test_different_trials_count_and_deflate():
    weighed = weigh([*DIFFERENT, *SEEDS])
    assert (weighed.trials, weighed.effective_trials) == (11, 6)
    assert weighed.deflated_sharpe < weighed.probabilistic_sharpe


def test_every_earlier_opening_is_one_more_trial():
    opened = weigh(SEEDS, earlier_openings=3)
    assert opened.expected_maximum_sharpe == pytest.approx(expected_maximum_sharpe(1 + 3, 1 / 399) * np.sqrt(365))
    assert weigh(SEEDS).deflated_sharpe > opened.deflated_sharpe > weigh(SEEDS, earlier_openings=30).deflated_sharpe


def test_trials_scatter_at_least_as_much_as_chance_alone_makes_them():
    alike = weigh(SEEDS, earlier_openings=9)
    assert alike.trial_deviation == pytest.approx(np.sqrt(365 / 399))


def test_the_scatter_of_trials_is_that_of_a_year_however_many_rows_it_is_cut_into():
    """Trials of two rows to a bar, judged on a span with one: the same ratios of a year, the same luck."""
    wide = [trial(20 + number, GENERATOR.normal(0.002 * number, 0.01, 300)) for number in range(6)]

    def deviation(rows):
        weighed = significance_of(EARNED, wide, earlier_openings=0, periods_per_year=365, trial_periods_per_year=rows)
        return weighed.trial_deviation

    assert deviation(2 * 365) == pytest.approx(np.sqrt(2) * deviation(365))


def test_a_challenger_without_any_ledger_is_its_own_single_trial():
    weighed = weigh([])
    assert (weighed.trials, weighed.effective_trials) == (0, 1)
    assert weighed.sharpe == pytest.approx(EARNED.mean() / EARNED.std(ddof=1) * np.sqrt(365))
