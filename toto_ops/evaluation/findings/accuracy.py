"""The two accuracies: repeating a teacher's actions, and pointing the way prices go.

Decisions at one bar are not independent of each other, nor of their neighbours in time, so intervals resample whole
bars in blocks: all counts of a bar are drawn together.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from toto_ops.errors import InsufficientDataError
from toto_ops.evaluation.baselines.market_index import own_open_returns
from toto_ops.evaluation.findings.documents import DirectionalResult, ImitationResult
from toto_ops.evaluation.statistics.bootstrap import (
    BootstrapConfig,
    Estimate,
    block_estimate,
    draw_counts,
    estimate,
    resample_indices,
)
from toto_ops.features.panel import Panel
from toto_ops.policies.contract import Policy
from toto_ops.simulation.backtest import BacktestResult
from toto_ops.simulation.observation import Action, Observation
from toto_ops.training.imitation import require_state

Counts = NDArray[np.float64]

ACTIONS = len(Action)


def confusion_per_bar(panel: Panel, teacher: BacktestResult, pupil: Policy) -> Counts:
    """What the pupil would have done in every state the teacher was in.

    The pupil sees the account as the teacher had it, so the two answer the same question; a pupil that drifts into an
    account of its own is measured by its returns, not by this.

    Parameters
    ----------
    panel
        The span.
    teacher
        Backtest of the teacher on that span.
    pupil
        Whom to ask; what is recorded of the teacher is the 34-feature state, so it must take no more than that.

    Returns
    -------
    Counts
        `[T, 3, 3]` decisions per bar by the teacher's action and the pupil's.

    Raises
    ------
    ConfigError
        If the pupil takes other observations.
    """
    require_state(pupil)
    if teacher.decided.shape != panel.mask.shape:
        raise ValueError(f"teacher decided over {teacher.decided.shape}, the panel is {panel.mask.shape}")
    observation = Observation(
        torch.from_numpy(panel.features.copy()), torch.from_numpy(teacher.account), torch.from_numpy(panel.mask)
    )
    answer = np.asarray(pupil.act(observation).action)
    counts = np.zeros((panel.rows, ACTIONS, ACTIONS))
    bar, symbol = np.nonzero(teacher.decided)
    np.add.at(counts, (bar, teacher.actions[bar, symbol], answer[bar, symbol]), 1.0)
    return counts


def accuracy_of(pooled: Counts) -> Counts:
    """Share of agreement of `[..., 3, 3]` counts; NaN without a decision."""
    return _share(np.trace(pooled, axis1=-2, axis2=-1), pooled.sum(axis=(-2, -1)))


def macro_f1_of(pooled: Counts) -> Counts:
    """Mean over the actions of the F1 score of `[..., 3, 3]` counts; an action that neither ever takes is left out."""
    hits = np.diagonal(pooled, axis1=-2, axis2=-1)
    f1 = _share(2 * hits, pooled.sum(axis=-1) + pooled.sum(axis=-2))
    present = ~np.isnan(f1)
    return _share(np.where(present, f1, 0.0).sum(axis=-1), present.sum(axis=-1))


def majority_share_of(pooled: Counts) -> Counts:
    """Accuracy of always answering with the teacher's most frequent action, of `[..., 3, 3]` counts."""
    return _share(pooled.sum(axis=-1).max(axis=-1), pooled.sum(axis=(-2, -1)))


def imitation(train: Counts, validation: Counts, test: Counts, config: BootstrapConfig) -> ImitationResult:
    """Figures of a pupil from its confusion with the teacher on the three spans.

    Parameters
    ----------
    train, validation, test
        `[T, 3, 3]` each, as `confusion_per_bar` counts.

    Raises
    ------
    InsufficientDataError
        If the teacher took no decision on one of them.
    """
    empty = [name for name, counts in (("train", train), ("validation", validation), ("test", test)) if not counts.sum()]
    if empty:
        raise InsufficientDataError(f"the teacher took no decision on {', '.join(empty)}", remedy="check the spans and the mask")
    pooled = test.sum(axis=0)
    resamples = _resampled(test, config)
    train_accuracy, validation_accuracy = float(accuracy_of(train.sum(axis=0))), float(accuracy_of(validation.sum(axis=0)))
    gaps = accuracy_of(_resampled(train, config)) - accuracy_of(_resampled(validation, config))
    return ImitationResult(
        accuracy=estimate(float(accuracy_of(pooled)), accuracy_of(resamples), config.level),
        macro_f1=estimate(float(macro_f1_of(pooled)), macro_f1_of(resamples), config.level),
        majority_share=float(majority_share_of(pooled)),
        train_accuracy=train_accuracy,
        validation_accuracy=validation_accuracy,
        gap=estimate(train_accuracy - validation_accuracy, gaps, config.level),
        decisions=int(pooled.sum()),
    )


def _resampled(confusion: Counts, config: BootstrapConfig) -> Counts:
    """Pooled counts `[samples, 3, 3]` of resampled bars."""
    bars = len(confusion)
    # Not `resamples_of`, which keeps what it draws: the train span is long, and nothing else is drawn from it.
    draws = draw_counts(resample_indices(bars, config))
    return (draws @ confusion.reshape(bars, -1)).reshape(-1, ACTIONS, ACTIONS)


def directional(panel: Panel, result: BacktestResult, config: BootstrapConfig) -> DirectionalResult:
    """How often positions pointed the way the price went until the symbol's own next open.

    The base rate is what the same numbers of longs and shorts would score if they were placed without looking: longs are
    right as often as prices rise over all symbols and bars, shorts as often as they fall. Unchanged prices are no move.

    Parameters
    ----------
    panel
        `T` bars of the span.
    result
        A backtest over these bars; its `[T, A]` weights are those held after the trades of each open.
    """
    moved = np.sign(own_open_returns(panel)[:-1])
    comparable = (moved != 0) & ~np.isnan(moved)
    side = np.where(comparable, np.sign(result.weights[:-1]), 0.0)
    hits = ((side == moved) & (side != 0)).sum(axis=1).astype(np.float64)
    longs, shorts = ((side == sign).sum(axis=1).astype(np.float64) for sign in (1, -1))
    moves = comparable.sum()
    positions = int(longs.sum() + shorts.sum())
    if not positions:
        return DirectionalResult(accuracy=Estimate(value=None), base_rate=None, positions=0)
    rising = float((comparable & (moved > 0)).sum() / moves)
    return DirectionalResult(
        accuracy=block_estimate(lambda hit, held: _share(hit.sum(axis=-1), held.sum(axis=-1)), (hits, longs + shorts), config),
        base_rate=float((longs.sum() * rising + shorts.sum() * (1 - rising)) / positions),
        positions=positions,
    )


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quotient; NaN where there is nothing to take a share of."""
    whole = np.asarray(whole, dtype=np.float64)
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)
