"""`toto-ops backtest`: its options are the fields of a request, and mistakes are one clear message."""

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.unit.evaluation.reports.backtest_report_samples import report
from toto_ops.cli import app
from toto_ops.pipeline import backtesting
from toto_ops.pipeline.backtest_request import BacktestRequest
from toto_ops.pipeline.backtesting import Backtested
from toto_ops.pipeline.notes import Note
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.report_files import ReportFiles

OPTIONS = {
    "universe": "stocks",
    "symbols": "AAPL,MSFT",
    "strategy_path": "strategy.yaml",
    "start_date": "2024-01-02",
    "end_date": "2024-06-28",
    "initial_capital": "500000",
    "model": "models:/toto-stocks@champion",
    "select_symbols": "2",
    "raw_data_dir": "raw",
    "processed_data_dir": "processed",
}
FILES = {"report_file": "report.html", "text_report_file": "report.txt", "trades_file": "trades.csv"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[BacktestRequest, ReportFiles]]:
    """What the command asks for; nothing is run."""
    requests: list[tuple[BacktestRequest, ReportFiles]] = []

    def run(_: Project, request: BacktestRequest, files: ReportFiles, note: Note) -> Backtested:
        note("reading bars of stocks")
        requests.append((request, files))
        return Backtested(report(), tuple(path for path in (files.html, files.text, files.trades) if path))

    monkeypatch.setattr(backtesting, "run_backtest", run)
    return requests


def command(*arguments: str, **options: str) -> Result:
    given = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    return CliRunner().invoke(app, ["backtest", *given, *arguments])


def test_every_field_of_a_request_has_its_option(asked: list[tuple[BacktestRequest, ReportFiles]]) -> None:
    assert set(BacktestRequest.model_fields) == {*OPTIONS, "process_data"}
    done = command("--process-data", **OPTIONS, **FILES)
    assert done.exit_code == 0, done.output
    ((request, files),) = asked
    assert request.model_dump() == {
        "universe": "stocks",
        "symbols": ("AAPL", "MSFT"),
        "strategy_path": Path("strategy.yaml"),
        "start_date": date(2024, 1, 2),
        "end_date": date(2024, 6, 28),
        "initial_capital": 500_000.0,
        "model": "models:/toto-stocks@champion",
        "select_symbols": 2,
        "process_data": True,
        "raw_data_dir": Path("raw"),
        "processed_data_dir": Path("processed"),
    }
    assert files == ReportFiles(Path("report.html"), Path("report.txt"), Path("trades.csv"))
    assert done.stdout.splitlines()[-3:] == ["written: report.html", "written: report.txt", "written: trades.csv"]


def test_nothing_but_the_universe_must_be_said(asked: list[tuple[BacktestRequest, ReportFiles]]) -> None:
    assert command(universe="stocks").exit_code == 0
    ((request, files),) = asked
    assert request == BacktestRequest(universe="stocks")
    assert files == ReportFiles()


def test_as_json_it_prints_the_document_and_nothing_else(asked: list[tuple[BacktestRequest, ReportFiles]]) -> None:
    done = command("--json", universe="stocks")
    assert len(asked) == 1
    assert json.loads(done.stdout) == report().model_dump(mode="json")
    assert done.stderr == "reading bars of stocks\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"start_date": "soon"}, "start_date"),
        ({"symbols": "../x"}, "is not a symbol"),
        ({"initial_capital": "-1"}, "greater than or equal to 0.000001"),
        ({"initial_capital": "1e300"}, "less than or equal to 1000000000000000"),
        ({"initial_capital": "nan"}, "finite"),
        ({"raw_data_dir": "raw"}, "only read with process_data"),
    ],
    ids=["date", "symbol", "debts", "too much money", "no number", "raw data"],
)
def test_a_mistake_is_one_clear_message(options: dict[str, str], says: str) -> None:
    done = command("--json", universe="stocks", **options)
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["error"] == "ConfigError"
    assert told["where"] == "command line"
    assert says in told["problem"]
