"""What the policies of cross-validation earned on the bars that were kept from them: block by block, and path by path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime

from toto_ops.errors import LookAheadError
from toto_ops.evaluation.backtests.cross_validation import BlockResult, PathFigures, PathResult
from toto_ops.evaluation.baselines.market_index import market_returns
from toto_ops.evaluation.baselines.plans import REBALANCED, baseline_plan
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig, block_estimate
from toto_ops.evaluation.statistics.metrics import cagr, max_drawdown, sharpe_ratio, total_return, volatility
from toto_ops.evaluation.statistics.paired import paired_differences
from toto_ops.evaluation.statistics.performance import measure_all
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.policies.contract import Policy, PolicyManifest
from toto_ops.simulation.backtest import BacktestResult, run_backtests
from toto_ops.simulation.entrants import Entrant
from toto_ops.simulation.rules import TradingRules
from toto_ops.training.cross_validation import Block, Fold, Scheme
from toto_ops.training.splits import Span

FUTURE_KNOWN = (
    "Every policy was trained on bars after those it is tested on, purged and embargoed around them: the paths show how far "
    "results scatter, they are no track record."
)
TEACHER_KNOWN = "Bars up to {moment:%Y-%m-%d} influenced the numbers of the teacher that all these policies learned from."


@dataclass(frozen=True)
class FoldPolicy:
    """The policy one fold trained."""

    fold: Fold
    policy: Policy
    manifest: PolicyManifest


@dataclass(frozen=True)
class Proving:
    """The ground policies are proven on.

    Attributes
    ----------
    panel
        Bars of train and validation.
    bootstrap
        How intervals are drawn.
    """

    panel: Panel
    rules: TradingRules
    periods_per_year: float
    bootstrap: BootstrapConfig


def prove(
    proving: Proving, policies: Sequence[FoldPolicy], scheme: Scheme
) -> tuple[tuple[BlockResult, ...], tuple[PathResult, ...]]:
    """Let every policy trade its blocks, all policies of a block in one pass, and stitch the paths.

    Raises
    ------
    LookAheadError
        If a policy of a scheme that claims a track record knows a bar it would be tested on.
    """
    if not scheme.knows_the_future:
        _refuse_look_ahead(proving.panel, policies)
    spans = {block.span.after: block.span for proven in policies for block in proven.fold.blocks}
    blocks: list[BlockResult] = []
    earned: list[tuple[int, BacktestResult, BacktestResult]] = []
    for after in sorted(spans):
        for proven, block, result, market in _on_block(proving, policies, spans[after]):
            performance, equal = measure_all(
                (result, market),
                periods_per_year=proving.periods_per_year,
                config=proving.bootstrap,
                market=market_returns(_panel(proving.panel, block.span)),
            )
            blocks.append(
                BlockResult(
                    fold=proven.fold.number,
                    path=block.path,
                    span=block.span,
                    bars=len(result.returns),
                    performance=performance,
                    equal_weight=equal,
                )
            )
            earned.append((block.path, result, market))
    numbers = sorted({path for path, _, _ in earned})
    paths = tuple(_stitched(number, [pair[1:] for pair in earned if pair[0] == number], proving) for number in numbers)
    return tuple(blocks), paths


def caveats_of(scheme: Scheme, policies: Sequence[FoldPolicy], teacher_knows_until: AwareDatetime | None) -> tuple[str, ...]:
    """What a reader must know before believing a path."""
    caveats = [FUTURE_KNOWN] if scheme.knows_the_future else []
    first = min(block.span.after for proven in policies for block in proven.fold.blocks)
    if teacher_knows_until is not None and teacher_knows_until > first:
        caveats.append(TEACHER_KNOWN.format(moment=teacher_knows_until))
    return tuple(caveats)


def _panel(panel: Panel, span: Span) -> Panel:
    return panel.between(span.after, span.until)


def _refuse_look_ahead(panel: Panel, policies: Sequence[FoldPolicy]) -> None:
    for proven in policies:
        for block in proven.fold.blocks:
            (first,) = to_aware(_panel(panel, block.span).close_time[:1])
            if proven.manifest.knows(first):
                raise LookAheadError(
                    f"the policy of fold {proven.fold.number} knows bars up to {proven.manifest.knows_until:%Y-%m-%d %H:%M}, "
                    f"its block begins with the bar that closes {first:%Y-%m-%d %H:%M}",
                    where=proven.manifest.universe,
                    remedy="let the block begin later",
                )


def _on_block(
    proving: Proving, policies: Sequence[FoldPolicy], span: Span
) -> list[tuple[FoldPolicy, Block, BacktestResult, BacktestResult]]:
    """Every policy that is tested on a span, with its result and that of equal weight."""
    seats = [(proven, block) for proven in policies for block in proven.fold.blocks if block.span == span]
    plan = baseline_plan(REBALANCED, proving.panel, span.after, span.until)
    entrants = [Entrant(f"fold {proven.fold.number}", proven.policy, proving.rules, proven.policy.inputs) for proven, _ in seats]
    equal = Entrant(REBALANCED.name, plan, proving.rules.for_baselines())
    *results, market = run_backtests(_panel(proving.panel, span), (*entrants, equal))
    return [(proven, block, result, market) for (proven, block), result in zip(seats, results, strict=True)]


def _stitched(number: int, pairs: Sequence[tuple[BacktestResult, BacktestResult]], proving: Proving) -> PathResult:
    ours, theirs = (np.concatenate([pair[side].returns for pair in pairs]) for side in (0, 1))
    earned_by = np.concatenate([result.open_time[1:] for result, _ in pairs])
    (against,) = paired_differences(
        ours, {REBALANCED.name: theirs}, periods_per_year=proving.periods_per_year, config=proving.bootstrap
    )
    return PathResult(
        path=number,
        open_time=to_aware(earned_by),
        equity=tuple(np.cumprod(1.0 + ours).tolist()),
        figures=_figures(ours, proving),
        equal_weight=_figures(theirs, proving),
        against_equal_weight=against,
    )


def _figures(returns: NDArray[np.float64], proving: Proving) -> PathFigures:
    year, config = proving.periods_per_year, proving.bootstrap
    return PathFigures(
        total_return=block_estimate(total_return, (returns,), config),
        cagr=block_estimate(lambda series: cagr(series, year), (returns,), config),
        sharpe=block_estimate(lambda series: sharpe_ratio(series, year), (returns,), config),
        volatility=block_estimate(lambda series: volatility(series, year), (returns,), config),
        max_drawdown=block_estimate(max_drawdown, (returns,), config),
    )
