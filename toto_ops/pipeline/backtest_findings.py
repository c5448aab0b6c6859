"""Run a settled backtest and put what was found into its report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from toto_ops.evaluation.backtests.document import (
    BacktestReport,
    Contestant,
    LeftOut,
    LookAtTestSpan,
    SelectionFindings,
    TriedCombination,
)
from toto_ops.evaluation.backtests.rows import contestant, defined, identity, monthly_returns, subject_trades
from toto_ops.evaluation.baselines.volatility_matching import VolatilityMatch
from toto_ops.evaluation.findings.documents import StressResult
from toto_ops.evaluation.judgement.caveats import contamination_caveats, market_caveats
from toto_ops.evaluation.judgement.contest import Contest, hold_contest
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig
from toto_ops.evaluation.statistics.metrics import sharpe_ratio
from toto_ops.evaluation.statistics.paired import PairedDifference, paired_differences
from toto_ops.evaluation.statistics.performance import Performance
from toto_ops.evaluation.statistics.significance import significance_of
from toto_ops.features.moments import to_aware
from toto_ops.features.panel_columns import panel_of_symbols
from toto_ops.market.calendars import rows_per_year
from toto_ops.pipeline.backtest_settled import Look, SettledBacktest
from toto_ops.pipeline.symbol_selection import SymbolSelection
from toto_ops.training.ledger import Trial

SHOWN_COMBINATIONS = 20
"""Combinations of symbols that a report names, the best by Sharpe ratio."""

SHOWN_BY_MONTH = ("equal weight",)
"""Benchmarks whose returns are shown month by month beside those of the subjects."""


def report_of(
    settled: SettledBacktest, trials: Sequence[Trial], look: Look | None, selection: SymbolSelection | None
) -> BacktestReport:
    """Run everyone over the span and describe what became of them.

    Parameters
    ----------
    trials
        All of the universe's ledger, those of the choice of symbols included.
    look
        At the test span; None where no bar of it is asked about.
    """
    universe, span, tried_on = settled.universe, settled.span, settled.market.splits.validation
    bootstrap = settled.bootstrap
    panel = panel_of_symbols(settled.market.view.panel, settled.symbols)
    bars = panel.between(span.after, span.until)
    years = rows_per_year(universe, bars.open_time)
    policies = {subject.name: subject.policy for subject in settled.subjects}
    rules = settled.rules_on(panel)
    contest = hold_contest(panel, span, policies, rules, periods_per_year=years, initial_capital=settled.capital)
    performances = contest.performances(bars, periods_per_year=years, config=bootstrap)
    first, last = to_aware(bars.close_time[[0, -1]])
    earlier = look.earlier if look else 0
    return BacktestReport(
        universe=universe.name,
        span=span,
        first_close=first,
        last_close=last,
        bars=bars.rows,
        symbols=bars.symbols,
        left_out=tuple(LeftOut(name=name, why=why) for name, why in settled.left_out.items()),
        market=settled.market.origin,
        data_hash=settled.market.view.snapshot.data_hash,
        periods_per_year=years,
        initial_capital=settled.capital,
        subjects=tuple(identity(subject) for subject in settled.subjects),
        contestants=_contestants(contest, performances),
        stresses=tuple(StressResult(name=name, performance=performances[name]) for name in contest.stresses),
        paired=_paired(contest, years, bootstrap),
        significance=significance_of(
            contest.main.returns,
            trials,
            earlier_openings=earlier,
            periods_per_year=years,
            trial_periods_per_year=rows_per_year(universe, panel.between(tried_on.after, tried_on.until).open_time),
        ),
        monthly=tuple(
            monthly_returns(name, result)
            for name, result in contest.contestants.items()
            if name in SHOWN_BY_MONTH or name in contest.subjects
        ),
        traded=tuple(subject_trades(name, result) for name, result in contest.subjects.items()),
        selection=None if selection is None else _selection(settled, selection),
        oracle_sharpe=defined(sharpe_ratio(contest.oracle.returns, years)),
        test_span=LookAtTestSpan(looked_at=look.looked_at, openings=earlier + len(settled.subjects)) if look else None,
        caveats=_caveats(settled, contest.match, first),
    )


def _contestants(contest: Contest, performances: dict[str, Performance]) -> tuple[Contestant, ...]:
    subjects = [contestant(name, "subject", result, performances[name]) for name, result in contest.subjects.items()]
    benchmarks = [contestant(name, "benchmark", result, performances[name]) for name, result in contest.benchmarks.items()]
    return (*subjects, *benchmarks)


def _paired(contest: Contest, years: float, config: BootstrapConfig) -> tuple[PairedDifference, ...]:
    (_, main), *others = contest.contestants.items()
    returns = {name: result.returns for name, result in others}
    return paired_differences(main.returns, returns, periods_per_year=years, config=config)


def _selection(settled: SettledBacktest, selection: SymbolSelection) -> SelectionFindings:
    best = selection.tried[:SHOWN_COMBINATIONS]
    return SelectionFindings(
        method=selection.method,
        candidates=selection.candidates,
        validation=settled.market.splits.validation,
        tried=len(selection.tried),
        best=tuple(TriedCombination(symbols=one.symbols, sharpe=one.sharpe, total_return=one.total_return) for one in best),
    )


def _caveats(settled: SettledBacktest, match: VolatilityMatch, first_close: datetime) -> tuple[str, ...]:
    caveats = [
        f"Bars up to {subject.selected_until:%Y-%m-%d} decided whether {subject.origin} would be promoted: until then its "
        "figures flatter it."
        for subject in settled.subjects
        if subject.selected_until is not None and subject.selected_until > settled.span.after
    ]
    for subject in settled.subjects:
        caveats += contamination_caveats(subject.origin, subject.manifest.possibly_knows_until, first_close)
    if not match.matched:
        caveats.append(
            f"No scale brought equal weight to a volatility of {match.target:.1%}: the one shown came nearest, "
            f"{match.realised:.1%}."
        )
    return (*caveats, *market_caveats(settled.universe))
