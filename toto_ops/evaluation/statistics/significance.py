"""Whether a Sharpe ratio is more than luck: of the sample, of the shape of its returns, and of having tried often.

The probabilistic Sharpe ratio (Bailey and Lopez de Prado, 2012, "The Sharpe ratio efficient frontier") is the confidence
that the true ratio exceeds a benchmark, given how few returns there are and how skewed and fat-tailed they are. The deflated
one (Bailey and Lopez de Prado, 2014, "The deflated Sharpe ratio") takes for its benchmark what the best of as many trials
would have shown without any skill. Ratios in here are per bar, never annualised, unless a name says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toto_ops.configuration import StrictModel
from toto_ops.errors import InsufficientDataError
from toto_ops.evaluation.statistics.metrics import FLAT
from toto_ops.evaluation.statistics.trial_returns import TrialReturns
from toto_ops.training.ledger import Trial

Array = NDArray[np.float64]

EULER_MASCHERONI = 0.5772156649015329


@dataclass(frozen=True)
class SharpeSample:
    """What the significance of a Sharpe ratio is computed from.

    Attributes
    ----------
    sharpe
        Mean over standard deviation, per bar; 0 for a flat line, which earns nothing at no risk.
    skew, kurtosis
        Third and fourth standardised moments; 0 and 3 for a normal distribution.
    bars
        Returns.
    """

    sharpe: float
    skew: float
    kurtosis: float
    bars: int

    @classmethod
    def of(cls, returns: Array) -> SharpeSample:
        """Measure `[n]` simple returns per bar.

        Raises
        ------
        InsufficientDataError
            If there are fewer than two.
        """
        if len(returns) < 2:
            raise InsufficientDataError(f"{len(returns)} return(s) have no Sharpe ratio", remedy="judge on a longer span")
        mean, spread = float(np.mean(returns)), float(np.std(returns, ddof=1))
        if spread <= FLAT:
            return cls(0.0, 0.0, 3.0, len(returns))
        standardised = (returns - mean) / np.std(returns)
        return cls(mean / spread, float(np.mean(standardised**3)), float(np.mean(standardised**4)), len(returns))

    @property
    def variance_factor(self) -> float:
        """`1 - skew * S + (kurtosis - 1) / 4 * S**2`: what the shape of the returns makes of the variance of the estimate."""
        factor = 1.0 - self.skew * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2
        # Where returns take two values only, it can be zero, which rounding takes for less.
        return max(factor, float(np.finfo(np.float64).eps))


def probabilistic_sharpe(sample: SharpeSample, benchmark: float = 0.0) -> float:
    """Confidence in [0, 1] that the true Sharpe ratio per bar exceeds `benchmark` (2012, equation 9).

    Raises
    ------
    ValueError
        If no distribution has these moments.
    """
    from scipy.stats import norm

    _require_possible(sample)
    score = (sample.sharpe - benchmark) * np.sqrt(sample.bars - 1) / np.sqrt(sample.variance_factor)
    return float(norm.cdf(score))


def minimum_track_record(sample: SharpeSample, benchmark: float = 0.0, confidence: float = 0.95) -> float | None:
    """Bars such returns must go on for until the true ratio exceeds `benchmark` with `confidence` (2012, equation 11).

    None where the sample is not above the benchmark: no length would do.
    """
    from scipy.stats import norm

    _require_possible(sample)
    if sample.sharpe <= benchmark:
        return None
    return float(1.0 + sample.variance_factor * (norm.ppf(confidence) / (sample.sharpe - benchmark)) ** 2)


def expected_maximum_sharpe(trials: int, variance: float) -> float:
    """Sharpe ratio per bar that the best of `trials` independent ones without skill is expected to show (2014, equation 1).

    Parameters
    ----------
    trials
        Independent trials; of a single one nothing was chosen, and the answer is 0.
    variance
        Of the trials' ratios per bar.
    """
    if trials < 1 or variance < 0:
        raise ValueError(f"{trials} trials of variance {variance} have no expected maximum")
    if trials == 1:
        return 0.0
    from scipy.stats import norm

    scores = norm.ppf([1.0 - 1.0 / trials, 1.0 - 1.0 / (trials * np.e)])
    return float(np.sqrt(variance) * ((1.0 - EULER_MASCHERONI) * scores[0] + EULER_MASCHERONI * scores[1]))


def deflated_sharpe(sample: SharpeSample, trials: int, variance: float) -> float:
    """Confidence in [0, 1] that the ratio exceeds what the best of `trials` would show by luck (2014, equation 2)."""
    return probabilistic_sharpe(sample, expected_maximum_sharpe(trials, variance))


def minimum_detectable_sharpe(bars: int, periods_per_year: float, *, significance: float = 0.05, power: float = 0.80) -> float:
    """Smallest true annualised Sharpe ratio that a span of this length would tell from zero.

    From the standard error of a Sharpe ratio of zero, `sqrt(periods_per_year / bars)` (Lo, 2002), for a one-sided test.
    """
    from scipy.stats import norm

    return float((norm.ppf(1 - significance) + norm.ppf(power)) * np.sqrt(periods_per_year / bars))


class Significance(StrictModel):
    """How much of a challenger's Sharpe ratio on the test span may be luck. Ratios are annualised.

    Attributes
    ----------
    bars, sharpe, skew, kurtosis
        Of the challenger's returns.
    probabilistic_sharpe
        Confidence that its true ratio exceeds 0.
    trials
        Entries of the ledger that informed it.
    effective_trials
        Clusters of trials whose returns go together; at least the challenger itself.
    earlier_openings
        Looks at overlapping test bars before this one; each counts as one more trial.
    trial_deviation
        Standard deviation of the ratios of trials: observed over the clusters, and no less than what trials without any
        skill would scatter by on as many bars as the test span has.
    expected_maximum_sharpe
        What the best of so many trials would show by luck.
    deflated_sharpe
        Confidence that the challenger's true ratio exceeds that.
    minimum_track_record
        Bars such returns would have to go on for until their ratio exceeds 0 with 95 % confidence; None: it is not above 0.
    minimum_detectable_sharpe
        What a true ratio would have to be for a span this short to show it (5 % significance, 80 % power).
    """

    bars: int
    sharpe: float
    skew: float
    kurtosis: float
    probabilistic_sharpe: float
    trials: int
    effective_trials: int = Field(ge=1)
    earlier_openings: int = Field(ge=0)
    trial_deviation: float
    expected_maximum_sharpe: float
    deflated_sharpe: float
    minimum_track_record: float | None
    minimum_detectable_sharpe: float


def significance_of(
    returns: Array,
    trials: Sequence[Trial],
    *,
    earlier_openings: int,
    periods_per_year: float,
    trial_periods_per_year: float,
) -> Significance:
    """Weigh `[n]` returns of the test span against everything that was tried before them.

    Parameters
    ----------
    returns
        Simple returns per bar of the challenger.
    trials
        Every trial that informed it, with its validation returns: all of the universe's ledger.
    earlier_openings
        Looks at overlapping test bars, this one not counted.
    periods_per_year, trial_periods_per_year
        Rows per year of the test span, and of the validation span the trials were measured on.

    Raises
    ------
    InsufficientDataError
        If there are fewer than two returns.
    """
    sample = SharpeSample.of(returns)
    clusters = TrialReturns.of(trials).cluster_returns()
    effective = max(1, clusters.shape[1])
    counted = effective + earlier_openings
    # A year of trials has as much luck in it on either span, whatever number of rows it is cut into.
    observed = _variance_of_sharpes(clusters) * trial_periods_per_year / periods_per_year
    variance = max(observed, 1.0 / (sample.bars - 1))
    year = float(np.sqrt(periods_per_year))
    return Significance(
        bars=sample.bars,
        sharpe=sample.sharpe * year,
        skew=sample.skew,
        kurtosis=sample.kurtosis,
        probabilistic_sharpe=probabilistic_sharpe(sample),
        trials=len(trials),
        effective_trials=effective,
        earlier_openings=earlier_openings,
        trial_deviation=float(np.sqrt(variance)) * year,
        expected_maximum_sharpe=expected_maximum_sharpe(counted, variance) * year,
        deflated_sharpe=deflated_sharpe(sample, counted, variance),
        minimum_track_record=minimum_track_record(sample),
        minimum_detectable_sharpe=minimum_detectable_sharpe(sample.bars, periods_per_year),
    )


def _variance_of_sharpes(clusters: Array) -> float:
    """Variance over the clusters `[T, K]` of their Sharpe ratios per bar; 0 for fewer than two."""
    earned = [column[~np.isnan(column)] for column in clusters.T]
    ratios = [SharpeSample.of(column).sharpe for column in earned if len(column) >= 2]
    return float(np.var(ratios, ddof=1)) if len(ratios) >= 2 else 0.0


def _require_possible(sample: SharpeSample) -> None:
    if sample.bars < 2:
        raise ValueError(f"{sample.bars} return(s) have no sampling distribution")
    if sample.kurtosis < 1.0 + sample.skew**2 - 1e-9:
        raise ValueError(f"no distribution has skew {sample.skew} and kurtosis {sample.kurtosis}")
