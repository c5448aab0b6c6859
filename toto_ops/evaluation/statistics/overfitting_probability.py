"""Probability of backtest overfitting: how often what was best in one half of the bars is worse than the median in the other.

Combinatorially symmetric cross-validation of Bailey, Borwein, Lopez de Prado and Zhu (2017), "The probability of backtest
overfitting", Journal of Computational Finance 20(4), section 2.2: the bars are cut into an even number of blocks, and every
half of the blocks is once the sample a trial is chosen on, while the other half shows what became of the choice. It
judges the way a winner is chosen among trials, not the winner.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toto_ops.configuration import StrictModel
from toto_ops.evaluation.statistics.metrics import FLAT
from toto_ops.evaluation.statistics.trial_returns import TrialReturns
from toto_ops.training.ledger import Trial

Array = NDArray[np.float64]

BLOCKS = 16
"""As in the paper: 12,870 combinations."""

MINIMUM_BARS_PER_BLOCK = 4

MINIMUM_TRIALS = 2
"""Effective trials below which nothing was chosen, so that no choice can be overfitted."""


class OverfittingProbability(StrictModel):
    """What became of the trial that was best on one half of the bars, over all halves.

    Attributes
    ----------
    trials, effective_trials
        Compared, and how many different ones they are.
    bars
        That all trials have in common.
    combinations
        Halves compared.
    probability
        Share of the combinations in which the best trial came out at or below the median of the others' half. None:
        insufficient, and `note` says why.
    logits, counts
        Distribution of the logit of its relative rank out of sample, values increasing; negative is below the median.
    probability_of_loss
        Share of the combinations in which the best trial lost money in the other half.
    degradation
        Slope of its Sharpe ratio out of sample on that in sample: negative where the better it looked, the worse it did.
    """

    trials: int
    effective_trials: int
    bars: int
    combinations: int = Field(ge=0)
    probability: float | None
    logits: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    probability_of_loss: float | None = None
    degradation: float | None = None
    note: str = ""

    @property
    def sufficient(self) -> bool:
        """Whether there was a choice to judge, and bars to judge it on."""
        return self.probability is not None


def overfitting_probability_of(trials: Sequence[Trial], blocks: int = BLOCKS) -> OverfittingProbability:
    """Judge the choice among the trials of one retraining, on the validation bars they have in common."""
    aligned = TrialReturns.of(trials)
    effective = int(aligned.clusters().max(initial=-1)) + 1
    matrix = aligned.common
    problem = ""
    if effective < MINIMUM_TRIALS:
        problem = f"{effective} effective trial(s): nothing was chosen"
    elif len(matrix) < blocks * MINIMUM_BARS_PER_BLOCK:
        problem = f"{len(matrix)} common bars, {blocks * MINIMUM_BARS_PER_BLOCK} needed for {blocks} blocks"
    if problem:
        return OverfittingProbability(
            trials=len(trials),
            effective_trials=effective,
            bars=len(matrix),
            combinations=0,
            probability=None,
            note=f"insufficient: {problem}",
        )
    return overfitting_probability(matrix, blocks).model_copy(update={"effective_trials": effective})


def overfitting_probability(returns: Array, blocks: int = BLOCKS) -> OverfittingProbability:
    """Run the symmetric cross-validation over all halves at once.

    A trial that did not move over a half has a Sharpe ratio of 0 there. Of trials that tie in sample the first is taken;
    ties out of sample get their mean rank. Blocks differ by at most one bar where the bars do not divide evenly.

    Parameters
    ----------
    returns
        `[T, N]` simple returns per bar of `N >= 2` trials, all finite.
    blocks
        Even.

    Raises
    ------
    ValueError
        If there are fewer than two trials, an odd number of blocks, or fewer than two bars to a half.
    """
    bars, trials = returns.shape
    if trials < MINIMUM_TRIALS or blocks < 2 or blocks % 2 or bars < 2 * blocks:
        raise ValueError(f"{bars} bars of {trials} trials cannot be compared in {blocks} blocks")
    if not np.isfinite(returns).all():
        raise ValueError("a return is not a finite number")
    in_sample, out_of_sample = sharpes_of_halves(returns, blocks)
    rows = np.arange(len(in_sample))
    best = np.argmax(in_sample, axis=1)
    outcome = out_of_sample[rows, best]
    below = (out_of_sample < outcome[:, None]).sum(axis=1)
    equal = (out_of_sample == outcome[:, None]).sum(axis=1)
    relative_rank = (below + (equal + 1) / 2.0) / (trials + 1)
    logit = np.log(relative_rank / (1.0 - relative_rank))
    values, counts = np.unique(np.round(logit, 12), return_counts=True)
    return OverfittingProbability(
        trials=trials,
        effective_trials=trials,
        bars=bars,
        combinations=len(rows),
        probability=float(counts[values <= 0].sum() / len(rows)),
        logits=tuple(values.tolist()),
        counts=tuple(counts.tolist()),
        probability_of_loss=float((outcome < 0).mean()),
        degradation=_slope(in_sample[rows, best], outcome),
    )


def sharpes_of_halves(returns: Array, blocks: int) -> tuple[Array, Array]:
    """Sharpe ratios per bar `[C, N]` of every half of the blocks, and of the half it leaves."""
    centred = returns - returns.mean(axis=0)
    starts = np.array([part[0] for part in np.array_split(np.arange(len(returns)), blocks)])
    sums = np.add.reduceat(centred, starts, axis=0)
    squares = np.add.reduceat(centred**2, starts, axis=0)
    lengths = np.diff(np.append(starts, len(returns))).astype(np.float64)
    chosen = _halves(blocks)

    def ratios(picked: Array) -> Array:
        bars = (picked @ lengths)[:, None]
        offset = picked @ sums / bars
        variance = np.maximum(picked @ squares / bars - offset**2, 0.0) * bars / (bars - 1.0)
        moved = variance > FLAT**2
        mean = offset + returns.mean(axis=0)
        return np.where(moved, mean / np.sqrt(np.where(moved, variance, 1.0)), 0.0)

    return ratios(chosen), ratios(1.0 - chosen)


def _halves(blocks: int) -> Array:
    """Every choice of half of the blocks, as rows of 0 and 1."""
    picks = np.array(list(combinations(range(blocks), blocks // 2)))
    chosen = np.zeros((len(picks), blocks))
    np.put_along_axis(chosen, picks, 1.0, axis=1)
    return chosen


def _slope(explaining: Array, explained: Array) -> float | None:
    spread = float(np.var(explaining))
    if spread == 0.0:
        return None
    return float(np.mean((explaining - explaining.mean()) * (explained - explained.mean())) / spread)
