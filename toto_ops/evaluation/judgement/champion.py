"""Succession: the challenger against the champion, on bars that neither has seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toto_ops.evaluation.findings.documents import ChampionComparison
from toto_ops.evaluation.judgement.candidates import Candidate
from toto_ops.evaluation.judgement.gates import GateConfig
from toto_ops.evaluation.statistics.bootstrap import block_estimate, paired_difference
from toto_ops.evaluation.statistics.metrics import sharpe_ratio
from toto_ops.evaluation.statistics.paired import paired_differences
from toto_ops.features.moments import to_utc64
from toto_ops.features.panel import Panel
from toto_ops.market.calendars import rows_per_year
from toto_ops.simulation.backtest import run_backtests
from toto_ops.simulation.rules import TradingRules
from toto_ops.universes import Universe


def against_champion(
    panel: Panel, universe: Universe, gates: GateConfig, *, challenger: Candidate, champion: Candidate
) -> ChampionComparison:
    """Both, each from a flat account, on the bars after everything that made or chose either of them.

    Parameters
    ----------
    panel
        All bars of the universe; the unseen ones are its end.

    Returns
    -------
    ChampionComparison
        Without figures where fewer than `gates.champion.minimum_bars` returns are left to compare.
    """
    seen = [candidate.unseen_after for candidate in (challenger, champion) if candidate.unseen_after is not None]
    start = max(seen) if seen else None
    unseen = panel.close_time > to_utc64(start) if start is not None else np.ones(panel.rows, dtype=bool)
    bars = max(int(unseen.sum()) - 1, 0)
    if bars < gates.champion.minimum_bars:
        return ChampionComparison(champion=champion.name, inputs_hash=champion.manifest.inputs_hash, bars=bars)
    span, rules = panel.take(unseen), TradingRules.of(universe, panel.parts)
    ours, theirs = (result.returns for result in run_backtests(span, [challenger.entrant(rules), champion.entrant(rules)]))
    years = rows_per_year(universe, span.open_time)
    config = gates.bootstrap.model_copy(update={"level": gates.champion.level})
    (paired,) = paired_differences(ours, {f"champion {champion.name}": theirs}, periods_per_year=years, config=gates.bootstrap)

    def sharpe(returns: NDArray[np.float64]) -> NDArray[np.float64]:
        # One that stands still earns nothing at no risk. Undefined, it could never be shown to be worse, nor be replaced.
        return np.nan_to_num(sharpe_ratio(returns, years), nan=0.0)

    return ChampionComparison(
        champion=champion.name,
        inputs_hash=champion.manifest.inputs_hash,
        bars=bars,
        challenger_sharpe=block_estimate(sharpe, (ours,), config),
        champion_sharpe=block_estimate(sharpe, (theirs,), config),
        difference=paired_difference(sharpe, ours, theirs, config),
        paired=paired,
    )
