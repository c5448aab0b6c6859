"""A backtest on request: which bars, who decides, what may be looked at, what is written down, and the report of it.

Whatever is refused is refused before anything is looked at, and a look at bars of a test span is in the ledger before it
happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from toto_ops.market.calendars import periods_per_year
from toto_ops.pipeline.backtest_market import BacktestMarket, market_of
from toto_ops.pipeline.backtest_request import BacktestRequest
from toto_ops.pipeline.backtest_span import permitted_span
from toto_ops.pipeline.backtest_subjects import known_symbols, subjects_of
from toto_ops.pipeline.project import Project
from toto_ops.storage.atomic import replace_file
from toto_ops.storage.hashing import value_hash
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.evaluation.backtest_document import BacktestReport, SelectionFindings
    from toto_ops.evaluation.backtest_subject import Subject
    from toto_ops.evaluation.volatility_matching import VolatilityMatch
    from toto_ops.pipeline.symbol_selection import SymbolSelection
    from toto_ops.simulation.rules import TradingRules
    from toto_ops.training.ledger import TrialLedger
    from toto_ops.training.splits import Span

SHOWN_COMBINATIONS = 20
"""Combinations of symbols that a report names, the best by Sharpe ratio."""

SHOWN_BY_MONTH = ("equal weight",)
"""Benchmarks whose returns are shown month by month beside those of the subjects."""


@dataclass(frozen=True)
class ReportFiles:
    """Where the report goes; None where it is not wanted."""

    html: Path | None = None
    text: Path | None = None
    trades: Path | None = None


@dataclass(frozen=True)
class Backtested:
    """What was found, and the files written."""

    report: BacktestReport
    files: tuple[Path, ...]


@dataclass(frozen=True)
class _Settled:
    """Everything that was settled before the first bar is looked at."""

    universe: Universe
    market: BacktestMarket
    subjects: tuple[Subject, ...]
    symbols: tuple[str, ...]
    left_out: Mapping[str, str]
    span: Span
    rules: TradingRules
    capital: float


@dataclass(frozen=True)
class _Look:
    """Bars of the test span that are looked at, and how many looks at them the ledger held before."""

    looked_at: Span
    earlier: int


def run_backtest(project: Project, request: BacktestRequest, files: ReportFiles | None = None) -> Backtested:
    """Backtest what a request names and write the files asked for.

    Raises
    ------
    ConfigError, StorageError, SourceError, SymbolNameError
        If the request names something that is not there.
    LookAheadError
        If a policy knows bars it would be judged on; the earliest permissible start is named.
    InsufficientDataError
        If the span holds fewer than two bars.
    """
    from toto_ops.training.ledger import TrialLedger

    settled = _settled(project, request)
    ledger = TrialLedger(project.store, settled.universe.name)
    selection = None
    if request.select_symbols is not None:
        selection = _selection(settled, ledger, request.select_symbols)
        settled = replace(settled, symbols=selection.symbols)
    look = _logged_look(settled, ledger)
    report = _report(project, settled, ledger, look, selection)
    return Backtested(report, _written(report, files or ReportFiles()))


def _settled(project: Project, request: BacktestRequest) -> _Settled:
    """Find everything and everybody a request names, and refuse what must be refused."""
    from toto_ops.simulation.rules import TradingRules

    universe = project.universe(request.universe)
    market = market_of(project, universe, request)
    subjects = subjects_of(project, universe, market, request)
    panel = market.view.panel
    knowledge = [(subject.origin, subject.manifest.knows_until) for subject in subjects]
    if request.select_symbols is not None:
        knowledge.append(("the choice of symbols", market.splits.validation.until))
    symbols, unknown = known_symbols(subjects, panel.symbols, request.symbols)
    capital = request.initial_capital or universe.capital
    return _Settled(
        universe=universe,
        market=market,
        subjects=subjects,
        symbols=symbols,
        left_out={**market.left_out, **unknown},
        span=permitted_span(request, knowledge, panel.close_time),
        rules=TradingRules.of(universe).with_capital(capital),
        capital=capital,
    )


def _selection(settled: _Settled, ledger: TrialLedger, size: int) -> SymbolSelection:
    from toto_ops.pipeline.symbol_selection import SelectionTask, select_symbols

    task = SelectionTask(
        panel=settled.market.view.panel,
        splits=settled.market.splits,
        candidates=settled.symbols,
        size=size,
        subject=settled.subjects[0],
        rules=settled.rules,
        periods_per_year=periods_per_year(settled.universe),
        panel_hash=settled.market.view.snapshot.data_hash,
    )
    return select_symbols(task, ledger)


def _logged_look(settled: _Settled, ledger: TrialLedger) -> _Look | None:
    """Write down the look at bars of the test span; None where there is none.

    The same backtest of the same data is the same look, however often it is repeated: it shows nothing new.
    """
    from toto_ops.training.ledger import Opening
    from toto_ops.training.splits import Span

    asked, test = settled.span, settled.market.splits.test
    if asked.until <= test.after:
        return None
    # Bars after the end of the test span will be test bars of the next retraining.
    looked_at = Span(after=max(asked.after, test.after), until=asked.until)
    data = settled.market.view.snapshot.data_hash
    opened_by = "backtest " + value_hash([settled.span, settled.symbols, data, settled.capital, settled.universe])
    for subject in settled.subjects:
        ledger.open_test(
            Opening(
                universe=settled.universe.name,
                line=subject.manifest.line,
                policy=subject.manifest.inputs_hash,
                span=looked_at,
                opened_by=opened_by,
                opened_at=datetime.now(UTC),
            )
        )
    earlier = sum(opening.opened_by != opened_by for opening in ledger.openings(looked_at))
    return _Look(looked_at, earlier)


def _report(
    project: Project, settled: _Settled, ledger: TrialLedger, look: _Look | None, selection: SymbolSelection | None
) -> BacktestReport:
    from toto_ops.evaluation.backtest_document import BacktestReport, LeftOut, LookAtTestSpan
    from toto_ops.evaluation.backtest_tables import contestant, defined, identity, monthly_returns, subject_trades
    from toto_ops.evaluation.contest import hold_contest
    from toto_ops.evaluation.findings import StressResult
    from toto_ops.evaluation.market_index import market_returns
    from toto_ops.evaluation.metrics import sharpe_ratio
    from toto_ops.evaluation.paired import paired_differences
    from toto_ops.evaluation.performance import measure_all
    from toto_ops.evaluation.significance import significance_of
    from toto_ops.features.moments import to_aware
    from toto_ops.features.panel_columns import panel_of_symbols

    universe, span, years = settled.universe, settled.span, periods_per_year(settled.universe)
    bootstrap = project.gates(universe).bootstrap
    panel = panel_of_symbols(settled.market.view.panel, settled.symbols)
    policies = {subject.name: subject.policy for subject in settled.subjects}
    contest = hold_contest(panel, span, policies, settled.rules, periods_per_year=years, initial_capital=settled.capital)
    bars = panel.between(span.after, span.until)
    everyone = {**contest.subjects, **contest.benchmarks}
    main, *others = everyone
    measured = measure_all(
        [*everyone.values(), *contest.stresses.values()], periods_per_year=years, config=bootstrap, market=market_returns(bars)
    )
    first, last = to_aware(bars.close_time[[0, -1]])
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
        contestants=tuple(
            contestant(name, "subject" if name in contest.subjects else "benchmark", result, performance)
            for (name, result), performance in zip(everyone.items(), measured[: len(everyone)], strict=True)
        ),
        stresses=tuple(
            StressResult(name=name, performance=performance)
            for name, performance in zip(contest.stresses, measured[len(everyone) :], strict=True)
        ),
        paired=paired_differences(
            everyone[main].returns,
            {name: everyone[name].returns for name in others},
            periods_per_year=years,
            config=bootstrap,
        ),
        significance=significance_of(
            everyone[main].returns, list(ledger.trials()), earlier_openings=look.earlier if look else 0, periods_per_year=years
        ),
        monthly=tuple(
            monthly_returns(name, result)
            for name, result in everyone.items()
            if name in SHOWN_BY_MONTH or name in contest.subjects
        ),
        traded=tuple(subject_trades(name, result) for name, result in contest.subjects.items()),
        selection=None if selection is None else _selection_findings(settled, selection),
        oracle_sharpe=defined(sharpe_ratio(contest.oracle.returns, years)),
        test_span=LookAtTestSpan(looked_at=look.looked_at, openings=look.earlier + len(settled.subjects)) if look else None,
        caveats=_caveats(settled, contest.match),
    )


def _selection_findings(settled: _Settled, selection: SymbolSelection) -> SelectionFindings:
    from toto_ops.evaluation.backtest_document import SelectionFindings, TriedCombination

    best = selection.tried[:SHOWN_COMBINATIONS]
    return SelectionFindings(
        method=selection.method,
        candidates=selection.candidates,
        validation=settled.market.splits.validation,
        tried=len(selection.tried),
        best=tuple(TriedCombination(symbols=one.symbols, sharpe=one.sharpe, total_return=one.total_return) for one in best),
    )


def _caveats(settled: _Settled, match: VolatilityMatch) -> tuple[str, ...]:
    from toto_ops.evaluation.judge import ADJUSTMENTS, SURVIVORSHIP

    caveats = [
        f"Bars up to {subject.selected_until:%Y-%m-%d} decided whether {subject.origin} would be promoted: until then its "
        "figures flatter it."
        for subject in settled.subjects
        if subject.selected_until is not None and subject.selected_until > settled.span.after
    ]
    if not match.matched:
        caveats.append(
            f"No scale brought equal weight to a volatility of {match.target:.1%}: the one shown came nearest, "
            f"{match.realised:.1%}."
        )
    return (*caveats, SURVIVORSHIP, ADJUSTMENTS[settled.universe.adjustment])


def _written(report: BacktestReport, files: ReportFiles) -> tuple[Path, ...]:
    from toto_ops.evaluation.backtest_report import render_html, render_text, trades_csv

    wanted = ((files.html, render_html), (files.text, render_text), (files.trades, trades_csv))
    written = []
    for path, render in wanted:
        if path is not None:
            place = Path.cwd() / path.expanduser()
            replace_file(place, render(report).encode())
            written.append(place)
    return tuple(written)
