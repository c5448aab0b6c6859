"""A backtest on request: which bars, who decides, what may be looked at, what is written down, and the report of it.

Whatever is refused is refused before anything is looked at, and a look at bars of a test span is in the ledger before it
happens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from toto_ops.market.calendars import rows_per_year
from toto_ops.pipeline.backtest_market import market_of, market_shown_to
from toto_ops.pipeline.backtest_request import BacktestRequest
from toto_ops.pipeline.backtest_settled import Look, SettledBacktest
from toto_ops.pipeline.backtest_span import permitted_span
from toto_ops.pipeline.backtest_subjects import known_symbols, subjects_of
from toto_ops.pipeline.looks import looks_at
from toto_ops.pipeline.notes import Note, unheard
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.report_files import ReportFiles
from toto_ops.storage.hashing import value_hash

if TYPE_CHECKING:
    from toto_ops.evaluation.backtests.document import BacktestReport
    from toto_ops.pipeline.symbol_selection import SymbolSelection
    from toto_ops.training.ledger import TrialLedger


@dataclass(frozen=True)
class Backtested:
    """What was found, and the files written."""

    report: BacktestReport
    files: tuple[Path, ...]


def run_backtest(
    project: Project, request: BacktestRequest, files: ReportFiles | None = None, note: Note = unheard
) -> Backtested:
    """Backtest what a request names and write the files asked for.

    Raises
    ------
    ConfigError, StorageError, SourceError, SymbolNameError
        If the request names something that is not there.
    LookAheadError
        If a policy knows bars it would be judged on; the earliest permissible start is named.
    InsufficientDataError
        If the span holds too few bars, or none of the symbols.
    """
    from toto_ops.pipeline.backtest_findings import report_of
    from toto_ops.training.ledger import TrialLedger

    written_to = (files or ReportFiles()).checked()
    note(f"reading bars of {request.universe}")
    candidates = _settled(project, request)
    settled = candidates.in_span()
    ledger = TrialLedger(project.store, settled.universe.name)
    selection = None
    if request.select_symbols is not None:
        note(f"choosing {request.select_symbols} of {len(candidates.symbols)} symbols on the validation span")
        # Whoever chooses on validation does not know yet which symbols will trade in the span.
        selection = _selection(candidates, ledger, request.select_symbols)
        settled = replace(candidates, symbols=selection.symbols).in_span()
    look = _logged_look(project, settled, ledger)
    note(_about_to_run(settled))
    report = report_of(settled, tuple(ledger.trials()), look, selection)
    if written_to.wanted:
        note("drawing the report")
    return Backtested(report, written_to.write(report))


def _about_to_run(settled: SettledBacktest) -> str:
    bars = settled.market.view.panel.between(settled.span.after, settled.span.until).rows
    names = " and ".join(subject.origin for subject in settled.subjects)
    return f"simulating {bars} bars, {len(settled.symbols)} symbols: {names} beside every benchmark"


def _settled(project: Project, request: BacktestRequest) -> SettledBacktest:
    """Find everything and everybody a request names, and refuse what must be refused."""
    universe = project.universe(request.universe)
    market = market_of(project, universe, request)
    subjects = subjects_of(project, universe, market, request)
    market = market_shown_to(subjects, market, project, request)
    panel = market.view.panel
    knowledge = [(subject.origin, subject.manifest.knows_until) for subject in subjects]
    if request.select_symbols is not None:
        knowledge.append(("the choice of symbols", market.splits.validation.until))
    symbols, unknown = known_symbols(subjects, panel.symbols, request.symbols)
    return SettledBacktest(
        universe=universe,
        market=market,
        subjects=subjects,
        symbols=symbols,
        left_out={**market.left_out, **unknown},
        span=permitted_span(request, knowledge, panel.close_time),
        capital=request.initial_capital or universe.capital,
        bootstrap=project.gates(universe).bootstrap,
    )


def _selection(settled: SettledBacktest, ledger: TrialLedger, size: int) -> SymbolSelection:
    from toto_ops.pipeline.symbol_selection import SelectionTask, select_symbols

    panel, validation = settled.market.view.panel, settled.market.splits.validation
    chosen_on = panel.between(validation.after, validation.until)
    task = SelectionTask(
        panel=panel,
        splits=settled.market.splits,
        candidates=settled.symbols,
        size=size,
        subject=settled.subjects[0],
        rules_on=settled.rules_on,
        periods_per_year=rows_per_year(settled.universe, chosen_on.open_time),
        panel_hash=settled.market.view.snapshot.data_hash,
    )
    return select_symbols(task, ledger)


def _logged_look(project: Project, settled: SettledBacktest, ledger: TrialLedger) -> Look | None:
    """Write down the bars that are looked at; how they overlap with the test span, None where they do not.

    All bars are written down, since what is train for this universe may be test for another one that holds the same market.
    The same backtest of the same data is the same look, however often it is repeated: it shows nothing new.
    """
    from toto_ops.learning.splits import Span
    from toto_ops.training.ledger import Opening

    asked, test = settled.span, settled.market.splits.test
    data = settled.market.view.snapshot.data_hash
    opened_by = "backtest " + value_hash([asked, settled.symbols, data, settled.capital, settled.universe])
    for subject in settled.subjects:
        ledger.open_test(
            Opening(
                universe=settled.universe.name,
                line=subject.manifest.line,
                policy=subject.manifest.inputs_hash,
                span=asked,
                opened_by=opened_by,
                opened_at=datetime.now(UTC),
            )
        )
    if asked.until <= test.after:
        return None
    # Bars after the end of the test span will be test bars of the next retraining.
    looked_at = Span(after=max(asked.after, test.after), until=asked.until)
    own = {subject.manifest.inputs_hash for subject in settled.subjects}
    looks = looks_at(project, settled.universe, looked_at)
    earlier = sum(opening.opened_by != opened_by or opening.policy not in own for opening in looks)
    return Look(looked_at, earlier)
