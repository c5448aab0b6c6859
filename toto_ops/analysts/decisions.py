"""The decision history: every decision of the ensemble, with what it saw, what each analyst said and when it took effect.

It is made by the backtest that also judges policies, so that the portfolio part of each state is the real one of that
moment: position, leverage, cash and days since the last trade vary as they do in production.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from toto_ops.analysts.ensemble import EnsemblePolicy, Opinions
from toto_ops.analysts.opinion import Opinion
from toto_ops.errors import StorageError
from toto_ops.features.panel import Panel
from toto_ops.features.state import MARKET_FEATURES, STATE_FEATURES
from toto_ops.simulation.backtest import BacktestResult, backtest
from toto_ops.simulation.observation import Action, state_vector
from toto_ops.simulation.rules import TradingRules

_MOMENT = pl.Datetime("us", "UTC")
_PROBABILITIES = {action: f"probability_{action.name.lower()}" for action in Action}

DECISION_SCHEMA: Mapping[str, pl.DataType] = {
    "close_time": _MOMENT,
    **{name: pl.Float32() for name in STATE_FEATURES},
    "action": pl.Int8(),
    "strength": pl.Float32(),
    **{name: pl.Float32() for name in _PROBABILITIES.values()},
    "target_weight": pl.Float64(),
    "vote": pl.Float32(),
    **{f"{analyst}_{part}": pl.Float32() for analyst in Opinions._fields for part in Opinion._fields},
    "fill_time": _MOMENT,
}
"""Columns of a decision history, one row per decision: when, the 34 state features, `action` (an `Action`), `strength`,
its probabilities, `target_weight` (null for HOLD), the vote and each analyst's signal and confidence, and the open at
which the decision took effect (null if a newer one replaced it, or the bars ended first)."""


def record_decisions(panel: Panel, policy: EnsemblePolicy, rules: TradingRules) -> dict[str, pl.DataFrame]:
    """Run the ensemble over a panel and write down every decision.

    Decisions of an account that has gone bankrupt are left out: nothing could follow from them.

    Parameters
    ----------
    panel
        Bars to decide on, with the 30 market features.
    policy
        The teacher.
    rules
        Of the universe: the account the teacher sees is one that pays costs and keeps limits.

    Returns
    -------
    dict
        For every symbol of the panel a frame with `DECISION_SCHEMA`, in time order; without rows for a symbol that
        was never decided on, as one listed after the panel ends.

    Raises
    ------
    InsufficientDataError
        If the panel has fewer than two bars.
    ValueError
        If the panel has other features than the state needs.
    """
    if panel.feature_names != MARKET_FEATURES:
        raise ValueError("the panel does not hold the market features of the 34-feature state")
    result = backtest(panel, policy.act, rules)
    states = state_vector(torch.tensor(panel.features), torch.from_numpy(result.account))
    with torch.inference_mode():
        opinions = policy.opinions(states)
        vote = policy.vote(opinions).numpy()
    spoken = {
        f"{analyst}_{part}": getattr(opinion, part).numpy()
        for analyst, opinion in opinions._asdict().items()
        for part in Opinion._fields
    }
    histories = {}
    for column, symbol in enumerate(panel.symbols):
        kept = result.decided[:, column] & ~result.bankrupt
        histories[symbol] = pl.DataFrame(
            {
                "close_time": panel.close_time[kept],
                **dict(zip(STATE_FEATURES, states[:, column].numpy()[kept].T, strict=True)),
                "action": result.actions[kept, column],
                "strength": result.strength[kept, column],
                **{_PROBABILITIES[action]: result.probabilities[kept, column, action] for action in Action},
                "target_weight": pl.Series(result.target[kept, column], nan_to_null=True),
                "vote": vote[kept, column],
                **{name: values[kept, column] for name, values in spoken.items()},
                "fill_time": _fill_times(result, column)[kept],
            },
            schema_overrides=DECISION_SCHEMA,
        ).select(*DECISION_SCHEMA)
    return histories


def _fill_times(result: BacktestResult, column: int) -> NDArray[np.datetime64]:
    """Opens `[T]` at which the decisions on one symbol took effect; NaT where they never did."""
    row = result.fill_row[:, column]
    return np.where(row >= 0, result.open_time[row], np.datetime64("NaT", "us"))


def save_decisions(decisions: pl.DataFrame, path: Path) -> None:
    """Write one symbol's decision history as Parquet."""
    decisions.select(*DECISION_SCHEMA).write_parquet(path, compression="zstd")


def load_decisions(path: Path) -> pl.DataFrame:
    """Read what `save_decisions` wrote.

    Raises
    ------
    StorageError
        If the file is unreadable or has other columns.
    """
    try:
        decisions = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StorageError(
            f"is not a decision history ({error})", where=str(path), remedy="rematerialise `ensemble_decisions`"
        ) from error
    if dict(decisions.schema) != dict(DECISION_SCHEMA):
        raise StorageError(
            "has other columns than a decision history", where=str(path), remedy="rematerialise `ensemble_decisions`"
        )
    return decisions
