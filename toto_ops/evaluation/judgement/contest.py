"""Everyone on the same bars in one pass: policies, the first of them under stress, benchmarks, and perfect foresight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toto_ops.errors import ConfigError
from toto_ops.evaluation.baselines.market_index import market_returns
from toto_ops.evaluation.baselines.perfect_foresight import perfect_foresight
from toto_ops.evaluation.baselines.plans import baseline_entrants
from toto_ops.evaluation.baselines.volatility_matching import VolatilityMatch, equal_weight_ladder, volatility_matched
from toto_ops.evaluation.findings.documents import StressName
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig
from toto_ops.evaluation.statistics.metrics import volatility
from toto_ops.evaluation.statistics.performance import Performance, measure_all
from toto_ops.features.panel import Panel
from toto_ops.learning.splits import Span
from toto_ops.policies.contract import Policy
from toto_ops.simulation.backtest import BacktestResult, run_backtests
from toto_ops.simulation.entrants import Entrant
from toto_ops.simulation.rules import TradingRules

VOLATILITY_MATCHED = "volatility-matched equal weight"


@dataclass(frozen=True)
class Contest:
    """What became of everyone, by name and in the order of the tables.

    Attributes
    ----------
    subjects
        Policies under the universe's rules.
    stresses
        The first of them with one condition changed.
    benchmarks
        At the same lag and costs, without the universe's limits; the last is equal weight at the volatility of the first
        subject.
    match
        How that one was found.
    oracle
        Perfect foresight under the universe's rules.
    """

    subjects: Mapping[str, BacktestResult]
    stresses: Mapping[StressName, BacktestResult]
    benchmarks: Mapping[str, BacktestResult]
    match: VolatilityMatch
    oracle: BacktestResult

    @property
    def main(self) -> BacktestResult:
        """The first subject."""
        return next(iter(self.subjects.values()))

    @property
    def contestants(self) -> dict[str, BacktestResult]:
        """The subjects, then the benchmarks."""
        return {**self.subjects, **self.benchmarks}

    def performances(self, bars: Panel, *, periods_per_year: float, config: BootstrapConfig) -> dict[str, Performance]:
        """Figures of the contestants, and of the first of them under every stress, by name and on the same resamples.

        Parameters
        ----------
        bars
            The span the contest was held over.
        """
        results: dict[str, BacktestResult] = {**self.contestants, **dict(self.stresses.items())}
        market = market_returns(bars)
        measured = measure_all(list(results.values()), periods_per_year=periods_per_year, config=config, market=market)
        return dict(zip(results, measured, strict=True))


def hold_contest(
    panel: Panel,
    span: Span,
    subjects: Mapping[str, Policy],
    rules: TradingRules,
    *,
    periods_per_year: float,
    initial_capital: float = 1.0,
) -> Contest:
    """Run everyone over a span, all accounts in one pass, each from a flat account.

    Parameters
    ----------
    panel
        The symbols to trade, with the bars before the span: benchmarks look back on them.
    subjects
        Policies by name; the first one is stressed, and its volatility matched.
    rules
        Of the universe.

    Raises
    ------
    ConfigError
        If a policy has the name of a benchmark.
    InsufficientDataError
        If the span holds fewer than two bars.
    """
    bars = panel.between(span.after, span.until)
    (_, first), *_ = subjects.items()
    stressed_rules = _stressed(rules)
    ranks: tuple[Sequence[Entrant], ...] = (
        [_entrant(name, policy, rules) for name, policy in subjects.items()],
        [_entrant(name, first, changed) for name, changed in stressed_rules.items()],
        baseline_entrants(panel, rules, span.after, span.until),
        equal_weight_ladder(panel, rules, span.after, span.until),
        [Entrant("perfect foresight", perfect_foresight(bars, rules), rules)],
    )
    results = iter(run_backtests(bars, [entrant for rank in ranks for entrant in rank], initial_capital=initial_capital))
    own, stressed, baselines, ladder, (oracle,) = ([next(results) for _ in rank] for rank in ranks)
    match = volatility_matched(ladder, float(volatility(own[0].returns, periods_per_year)), periods_per_year)
    benchmarks = {entrant.name: result for entrant, result in zip(ranks[2], baselines, strict=True)}
    benchmarks[VOLATILITY_MATCHED] = match.result
    taken = sorted(benchmarks.keys() & subjects.keys())
    if taken:
        raise ConfigError(f"{', '.join(taken)} is the name of a benchmark", remedy="give the policy another name")
    return Contest(
        subjects=dict(zip(subjects, own, strict=True)),
        stresses=dict(zip(stressed_rules, stressed, strict=True)),
        benchmarks=benchmarks,
        match=match,
        oracle=oracle,
    )


def _stressed(rules: TradingRules) -> dict[StressName, TradingRules]:
    return {"breaker off": rules.without_breaker(), "costs x2": rules.with_costs(2.0), "decision lag 2": rules.with_lag(2)}


def _entrant(name: str, policy: Policy, rules: TradingRules) -> Entrant:
    return Entrant(name, policy, rules, policy.inputs)
