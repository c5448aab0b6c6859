"""A backtest on request: refused before anything is looked at, looks written down, the report true to the accounts."""

import csv
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tests.unit.pipeline.backtest_samples import CHOSEN_UNTIL, FIRST_DAY, Sample, make_sample
from toto_ops.analysts.ensemble import EnsemblePolicy
from toto_ops.errors import ConfigError, InsufficientDataError, LookAheadError, StorageError, SymbolNameError
from toto_ops.evaluation.backtests.document import BacktestReport
from toto_ops.evaluation.reports.backtest_tables import TRADE_COLUMNS
from toto_ops.pipeline.backtesting import Backtested, run_backtest
from toto_ops.pipeline.report_files import ReportFiles
from toto_ops.policies.contract import PolicyManifest
from toto_ops.registry.models import Submission
from toto_ops.simulation.backtest import backtest
from toto_ops.simulation.rules import TradingRules
from toto_ops.training.ledger import TrialLedger

CAPITAL = 500_000.0


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A served market with a fallback registered, but nothing judged or promoted."""
    sample = make_sample(tmp_path_factory.mktemp("backtesting"))
    project, universe = sample.project, sample.universe
    policy = EnsemblePolicy.of(project.strategy, TradingRules.of(universe)).eval()
    manifest = PolicyManifest(
        kind=EnsemblePolicy.kind,
        line="fallback",
        universe="planted",
        symbols=("ALPHA", "BETA", "GAMMA"),
        architecture=policy.architecture,
        config={},
        inputs_hash="analysts",
        data_hash="data",
        code_version="1",
        knows_until=datetime(2019, 6, 1, tzinfo=UTC),
    )
    project.registry.register_fallback(Submission(policy, manifest, "retrain-0", observations=()))
    return sample


@pytest.fixture(scope="module")
def done(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Backtested:
    """The strategy over everything it does not know, with all files written."""
    folder = tmp_path_factory.mktemp("reports")
    files = ReportFiles(html=folder / "new" / "report.html", text=folder / "report.txt", trades=folder / "trades.csv")
    return run_backtest(sample.project, sample.request(initial_capital=CAPITAL), files)


def ledger(sample: Sample) -> TrialLedger:
    return TrialLedger(sample.project.store, "planted")


def run(sample: Sample, **asked: object) -> BacktestReport:
    return run_backtest(sample.project, sample.request(**asked)).report


# -- what is found -------------------------------------------------------------------------------------------------


def test_it_begins_with_the_first_bar_the_strategy_does_not_know_and_ends_with_the_newest(done: Backtested) -> None:
    report = done.report
    assert (report.span.after, report.first_close) == (CHOSEN_UNTIL, datetime(2019, 2, 13, tzinfo=UTC))
    assert report.last_close == datetime(2020, 1, 31, tzinfo=UTC)
    assert report.bars == 353


def test_the_subject_earns_what_it_earns_in_an_account_of_its_own(sample: Sample, done: Backtested) -> None:
    from toto_ops.serving.market_view import read_market

    panel = read_market(sample.project.store, "planted").panel.between(CHOSEN_UNTIL, None)
    rules = TradingRules.of(sample.universe).with_capital(CAPITAL)
    policy = EnsemblePolicy.of(sample.project.strategy, rules).eval()
    alone = backtest(panel, policy.act, rules, initial_capital=CAPITAL)
    subject = done.report.contestants[0]
    assert subject.final_equity == pytest.approx(alone.equity[-1], rel=1e-7)
    assert subject.performance.total_return.value == pytest.approx(alone.total_return, rel=1e-6)
    assert subject.performance.sharpe.low is not None


def test_every_baseline_stands_beside_it_from_the_same_capital(done: Backtested) -> None:
    names = [one.name for one in done.report.contestants]
    assert names[0] == "strategy"
    assert {"cash", "equal weight", "equal weight rebalanced", "momentum", "inverse volatility", "risk parity"} < set(names)
    assert names[-1].startswith("volatility-matched equal weight")
    cash = next(one for one in done.report.contestants if one.name == "cash")
    assert cash.final_equity == CAPITAL
    assert [pair.against for pair in done.report.paired] == names[1:]
    assert [stress.name for stress in done.report.stresses] == ["breaker off", "costs x2", "decision lag 2"]


def test_the_trades_add_up_to_what_was_earned(done: Backtested) -> None:
    (traded,) = done.report.traded
    subject = done.report.contestants[0]
    profit = sum(trade.net_profit for trade in traded.trades)
    # Cash earns nothing and nothing is borrowed in this universe's limits: no interest stands between the two.
    assert CAPITAL + profit == pytest.approx(subject.final_equity, rel=1e-9)
    assert profit == pytest.approx(CAPITAL * sum(one.net_profit for one in traded.by_symbol))
    assert len(traded.trades) == sum(one.trades for one in traded.by_symbol) > 10
    assert [one.symbol for one in traded.by_symbol] == list(done.report.symbols)
    assert traded.trades == tuple(sorted(traded.trades, key=lambda trade: (trade.entry_time, trade.symbol)))


def test_the_months_compound_to_the_total(done: Backtested) -> None:
    months = {one.name: one for one in done.report.monthly}
    assert set(months) == {"strategy", "equal weight"}
    growth = np.prod([1 + month.value for month in months["strategy"].months])
    assert CAPITAL * growth == pytest.approx(done.report.contestants[0].final_equity, rel=1e-9)


def test_the_files_hold_the_report(done: Backtested) -> None:
    html, text, trades = (path.read_text() for path in done.files)
    for written in (html, text):
        assert "volatility-matched equal weight" in written
        assert "chosen with hindsight" in written
    assert html.count("data:image/png;base64,") == 2
    rows = list(csv.DictReader(trades.splitlines()))
    assert tuple(rows[0]) == TRADE_COLUMNS
    assert len(rows) == len(done.report.traded[0].trades)
    assert sum(float(row["net_profit"]) for row in rows) == pytest.approx(sum(t.net_profit for t in done.report.traded[0].trades))


def test_the_document_can_be_read_again(done: Backtested) -> None:
    assert BacktestReport.model_validate_json(done.report.model_dump_json()) == done.report


def test_the_same_question_has_the_same_answer(sample: Sample, done: Backtested) -> None:
    again = run(sample, initial_capital=CAPITAL)
    assert again == done.report


# -- what is written down ------------------------------------------------------------------------------------------


def test_a_look_at_the_test_span_is_in_the_ledger_once_however_often_it_is_repeated(sample: Sample, done: Backtested) -> None:
    look = done.report.test_span
    assert look is not None
    assert look.looked_at.until == done.report.span.until
    openings = [one for one in ledger(sample).openings() if one.span == done.report.span]
    assert len(openings) == 1
    assert openings[0].opened_by.startswith("backtest ")
    run(sample, initial_capital=CAPITAL)
    assert len([one for one in ledger(sample).openings() if one.span == done.report.span]) == 1


def test_another_look_is_one_more_and_weighs_on_the_significance(sample: Sample, done: Backtested) -> None:
    before = len(list(ledger(sample).openings()))
    other = run(sample, symbols="ALPHA,BETA")
    assert len(list(ledger(sample).openings())) == before + 1
    assert other.significance.earlier_openings >= 1
    assert other.significance.expected_maximum_sharpe > 0


def test_a_second_strategy_on_the_same_bars_was_preceded_by_the_first(sample: Sample, done: Backtested) -> None:
    first = run(sample, initial_capital=CAPITAL)
    other = sample.strategy.with_name("other.yaml")
    other.write_text(sample.strategy.read_text().replace("full_size_at: 0.5", "full_size_at: 0.6"))
    second = run(sample, initial_capital=CAPITAL, strategy_path=other)
    assert second.significance.earlier_openings == first.significance.earlier_openings + 1
    assert second.significance.expected_maximum_sharpe > 0


def test_bars_before_the_test_span_are_no_look_at_it(sample: Sample, done: Backtested) -> None:
    """They are written down all the same: a universe with this market among others may test on them."""
    assert done.report.test_span is not None
    test = done.report.test_span.looked_at
    before = len(list(ledger(sample).openings(test)))
    report = run(sample, end_date="2019-06-30")
    assert report.test_span is None
    assert report.significance.earlier_openings == 0
    assert len(list(ledger(sample).openings(test))) == before
    assert report.span in [opening.span for opening in ledger(sample).openings()]


def test_chosen_symbols_are_searched_on_validation_and_every_try_is_a_trial(sample: Sample) -> None:
    report = run(sample, select_symbols=2)
    assert report.selection is not None
    assert (report.selection.tried, report.selection.method, len(report.symbols)) == (6, "exhaustive", 2)
    assert report.selection.best[0].symbols == report.symbols
    assert report.span.after >= report.selection.validation.until, "the choice knows the validation span"
    assert report.significance.trials == len(list(ledger(sample).trials())) == 6
    with pytest.raises(LookAheadError, match="the choice of symbols knows bars up to"):
        run(sample, select_symbols=2, start_date=FIRST_DAY)


# -- what is refused -----------------------------------------------------------------------------------------------


def test_bars_the_strategy_knows_are_refused_with_the_earliest_start_and_no_look(sample: Sample) -> None:
    before = len(list(ledger(sample).openings()))
    with pytest.raises(LookAheadError, match=f"strategy.yaml knows bars up to 2019-02-12 00:00.*start on {FIRST_DAY}"):
        run(sample, start_date="2019-02-11")
    assert len(list(ledger(sample).openings())) == before
    assert run(sample, start_date=FIRST_DAY, end_date="2019-03-31").first_close == datetime(2019, 2, 13, tzinfo=UTC)


def test_gates_that_cannot_be_read_are_refused_before_a_look(sample: Sample) -> None:
    gates = sample.project.settings.config_dir / "gates.yaml"
    before, sound = len(list(ledger(sample).openings())), gates.read_text()
    gates.write_text("schema_version: 2\nminimum_sharpe: high\n")
    try:
        with pytest.raises(ConfigError, match="minimum_sharpe"):
            run(sample, start_date="2019-10-01")
    finally:
        gates.write_text(sound)
    assert len(list(ledger(sample).openings())) == before


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"universe": "bonds"}, ConfigError, "does not exist"),
        ({"symbols": "ALPHA,OTHER"}, SymbolNameError, "OTHER is not in the data"),
        ({"strategy_path": "nowhere.yaml"}, ConfigError, "cannot be read"),
        ({"model": "toto-planted@champion"}, ConfigError, "does not name a registered model"),
        ({"model": "models:/toto-stocks@champion"}, ConfigError, "toto-stocks is not a model of universe planted"),
        ({"model": "models:/toto-planted@champion"}, StorageError, "no version has the alias champion; there are: fallback"),
        ({"model": "models:/toto-planted@fallback", "symbols": "DELTA"}, SymbolNameError, "DELTA was not known to toto-planted"),
        ({"start_date": "2024-01-01"}, InsufficientDataError, r"0 bar\(s\)"),
        ({"select_symbols": 5}, InsufficientDataError, "5 symbols are to be chosen from 4"),
    ],
    ids=["universe", "symbol", "strategy", "no uri", "other model", "no champion", "stranger", "no bars", "too many"],
)
def test_what_is_not_there_is_named(sample: Sample, asked: dict[str, object], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        run(sample, **asked)


def test_a_symbol_whose_bars_ended_before_the_span_takes_no_part(sample: Sample, tmp_path: Path) -> None:
    shorter = sample.copy(tmp_path)
    for name in ("BETA", "GAMMA"):
        bars = shorter.raw / f"{name}.csv"
        bars.write_text("\n".join(bars.read_text().splitlines()[:400]))
    processed = {"process_data": True, "raw_data_dir": shorter.raw, "processed_data_dir": shorter.processed}
    report = run(shorter, symbols="ALPHA,BETA", **processed)
    assert report.symbols == ("ALPHA",)
    assert [(one.name, one.why) for one in report.left_out] == [("BETA", "no bar in this span")]
    before = len(list(ledger(shorter).openings()))
    with pytest.raises(InsufficientDataError, match=r"no bar of BETA, GAMMA closes from .* name other symbols"):
        run(shorter, symbols="BETA,GAMMA", **processed)
    assert len(list(ledger(shorter).openings())) == before, "nothing was looked at"


def test_it_tells_what_it_does_while_it_runs(sample: Sample, tmp_path: Path) -> None:
    told: list[str] = []
    request = sample.request(end_date="2019-03-31")
    run_backtest(sample.project, request, ReportFiles(trades=tmp_path / "trades.csv"), told.append)
    simulating = f"simulating 48 bars, 4 symbols: {sample.strategy} beside every benchmark"
    assert told == ["reading bars of planted", simulating, "drawing the report"]


def test_without_any_model_a_strategy_file_can_still_be_backtested(sample: Sample, tmp_path: Path) -> None:
    bare = sample.copy(tmp_path)
    for path in (tmp_path / "home").glob("mlflow.db*"):
        path.unlink()
    with pytest.raises(StorageError, match="nothing was ever registered"):
        run(bare, strategy_path=None)
    assert run(bare, end_date="2019-03-31").contestants[0].name == "strategy"
    assert not list((tmp_path / "home").glob("mlflow.db*")), "looking must not make a registry"


# -- models --------------------------------------------------------------------------------------------------------


def test_by_default_what_serves_is_backtested_on_the_symbols_it_knows(sample: Sample) -> None:
    report = run(sample, strategy_path=None)
    (subject,) = report.subjects
    assert (subject.name, subject.origin, subject.line) == ("fallback", "toto-planted version 1", "fallback")
    assert report.symbols == ("ALPHA", "BETA", "GAMMA")
    assert [(one.name, one.why) for one in report.left_out] == [("DELTA", "was not known to toto-planted version 1")]
    assert report.first_close > datetime(2019, 6, 1, tzinfo=UTC)


def test_a_model_and_a_strategy_are_run_beside_each_other(sample: Sample) -> None:
    report = run(sample, model="models:/toto-planted/1")
    assert [subject.name for subject in report.subjects] == ["fallback", "strategy"]
    assert [traded.name for traded in report.traded] == ["fallback", "strategy"]
    assert [one.role for one in report.contestants[:3]] == ["subject", "subject", "benchmark"]
    assert report.first_close > datetime(2019, 6, 1, tzinfo=UTC), "nobody may know a bar of it"
