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
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig, estimate_of, resamples_of
from toto_ops.evaluation.statistics.metrics import cagr, max_drawdown, sharpe_ratio, total_return, volatility, with_still_draws
from toto_ops.evaluation.statistics.paired import paired_differences
from toto_ops.evaluation.statistics.performance import measure_all
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.learning.splits import Span
from toto_ops.market.calendars import rows_per_year
from toto_ops.policies.contract import Policy, PolicyManifest
from toto_ops.simulation.backtest import BacktestResult, run_backtests
from toto_ops.simulation.entrants import Entrant
from toto_ops.simulation.rules import TradingRules
from toto_ops.training.cross_validation import Block, Fold, Scheme
from toto_ops.universes import Universe

FUTURE_KNOWN = (
    "Every policy was trained on bars after those it is tested on, purged and embargoed around them: the paths show how far "
    "results scatter, they are no track record."
)
TEACHER_KNOWN = "Bars up to {moment:%Y-%m-%d} influenced the numbers of the teacher that all these policies learned from."


@dataclass(frozen=True)
class FoldPolicy:
    """The policy one fold trained.

    Attributes
    ----------
    panel
        Bars of train and validation as the policy sees them: those of `Proving`, or the same with forecasts attached that
        were fitted for its fold.
    """

    fold: Fold
    policy: Policy
    manifest: PolicyManifest
    panel: Panel


@dataclass(frozen=True)
class Proving:
    """The ground policies are proven on.

    Attributes
    ----------
    universe
        Says how many rows a year has.
    panel
        Bars of train and validation.
    bootstrap
        How intervals are drawn.
    """

    universe: Universe
    panel: Panel
    rules: TradingRules
    bootstrap: BootstrapConfig

    def rows_per_year(self, span: Span) -> float:
        """What annualises figures of a span."""
        return rows_per_year(self.universe, _panel(self.panel, span).open_time)


@dataclass(frozen=True)
class _Leg:
    """One block of a path: what the policy and equal weight earned there, and the rows of a year of it."""

    policy: BacktestResult
    equal_weight: BacktestResult
    rows_per_year: float


def prove(
    proving: Proving, policies: Sequence[FoldPolicy], scheme: Scheme
) -> tuple[tuple[BlockResult, ...], tuple[PathResult, ...]]:
    """Let every policy trade its blocks, policies that see the same bars in one pass, and stitch the paths.

    Raises
    ------
    LookAheadError
        If a policy of a scheme that claims a track record knows a bar it would be tested on.
    """
    if not scheme.knows_the_future:
        _refuse_look_ahead(proving.panel, policies)
    spans = {block.span.after: block.span for proven in policies for block in proven.fold.blocks}
    blocks: list[BlockResult] = []
    earned: list[tuple[int, _Leg]] = []
    for after in sorted(spans):
        for proven, block, result, market in _on_block(proving, policies, spans[after]):
            performance, equal = measure_all(
                (result, market),
                periods_per_year=proving.rows_per_year(block.span),
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
            earned.append((block.path, _Leg(result, market, proving.rows_per_year(block.span))))
    numbers = sorted({path for path, _ in earned})
    paths = tuple(_stitched(number, [leg for path, leg in earned if path == number], proving.bootstrap) for number in numbers)
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
    equal = Entrant(REBALANCED.name, plan, proving.rules.for_baselines())
    entrants = {
        proven.fold.number: Entrant(f"fold {proven.fold.number}", proven.policy, proving.rules, proven.policy.inputs)
        for proven, _ in seats
    }
    shared = [proven.fold.number for proven, _ in seats if proven.panel is proving.panel]
    *together, market = run_backtests(_panel(proving.panel, span), (*(entrants[number] for number in shared), equal))
    results = dict(zip(shared, together, strict=True))
    for proven, _ in seats:
        if proven.panel is not proving.panel:
            (results[proven.fold.number],) = run_backtests(_panel(proven.panel, span), [entrants[proven.fold.number]])
    return [(proven, block, results[proven.fold.number], market) for proven, block in seats]


def _stitched(number: int, legs: Sequence[_Leg], config: BootstrapConfig) -> PathResult:
    ours = np.concatenate([leg.policy.returns for leg in legs])
    theirs = np.concatenate([leg.equal_weight.returns for leg in legs])
    years = sum(len(leg.policy.returns) / leg.rows_per_year for leg in legs)
    year = len(ours) / years
    (against,) = paired_differences(ours, {REBALANCED.name: theirs}, periods_per_year=year, config=config)
    return PathResult(
        path=number,
        open_time=to_aware(np.concatenate([leg.policy.open_time[1:] for leg in legs])),
        equity=tuple(np.cumprod(1.0 + ours).tolist()),
        figures=_figures(ours, year, config),
        equal_weight=_figures(theirs, year, config),
        against_equal_weight=against,
    )


def _figures(returns: NDArray[np.float64], year: float, config: BootstrapConfig) -> PathFigures:
    drawn = returns[resamples_of(len(returns), config).order.T]
    return PathFigures(
        total_return=estimate_of(total_return(drawn), config.level),
        cagr=estimate_of(cagr(drawn, year), config.level),
        sharpe=estimate_of(with_still_draws(sharpe_ratio(drawn, year)), config.level),
        volatility=estimate_of(volatility(drawn, year), config.level),
        max_drawdown=estimate_of(max_drawdown(drawn), config.level),
    )
