"""`toto-ops backtest`: what a model or a strategy would have earned on bars it does not know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toto_ops.cli.console import ERR, OUT, AsJson, errors_shown, print_json

if TYPE_CHECKING:
    from toto_ops.pipeline.backtesting import Backtested

DAY = "A day, UTC, such as 2024-01-31; included."


def backtest(
    universe: Annotated[str, typer.Option(help="Universe whose costs, rates, limits and models apply.")],
    symbols: Annotated[str, typer.Option(help="`all`, or symbols separated by commas.")] = "all",
    strategy_path: Annotated[Path | None, typer.Option(help="Strategy file of the analysts' ensemble.")] = None,
    start_date: Annotated[str | None, typer.Option(help=f"{DAY} Default: the first that nobody in it knows.")] = None,
    end_date: Annotated[str | None, typer.Option(help=f"{DAY} Default: the newest.")] = None,
    initial_capital: Annotated[float | None, typer.Option(help="Money at the start.")] = None,
    model: Annotated[str | None, typer.Option(help="models:/NAME@ALIAS or models:/NAME/VERSION; default: what serves.")] = None,
    select_symbols: Annotated[
        int | None, typer.Option(min=1, help="Choose this many symbols on the validation span; each try is a trial.")
    ] = None,
    report_file: Annotated[Path | None, typer.Option(help="HTML page to write, .html; an earlier one is replaced.")] = None,
    text_report_file: Annotated[Path | None, typer.Option(help="Text report to write, .txt.")] = None,
    trades_file: Annotated[Path | None, typer.Option(help="Table of every trade to write, .csv.")] = None,
    process_data: Annotated[bool, typer.Option("--process-data", help="Validate and process raw CSV files first.")] = False,
    raw_data_dir: Annotated[
        Path | None,
        typer.Option(help="With --process-data: folder of <SYMBOL>.csv; of a combined universe one subfolder per part."),
    ] = None,
    processed_data_dir: Annotated[
        Path | None, typer.Option(help="Where processed data go; alone: read what was processed there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a model, a strategy file, or both beside each other over bars none of them knows, and write a report.

    Looks at bars of a test span are written to the ledger. Exit code 0 means that it ran, whatever was earned.
    """
    from toto_ops.configuration import Settings, parse_config
    from toto_ops.pipeline.backtest_request import BacktestRequest
    from toto_ops.pipeline.backtesting import run_backtest
    from toto_ops.pipeline.project import Project
    from toto_ops.pipeline.report_files import ReportFiles

    asked: dict[str, Any] = {
        "universe": universe,
        "symbols": symbols,
        "model": model,
        "strategy_path": strategy_path,
        "start_date": start_date,
        "end_date": end_date,
        "initial_capital": initial_capital,
        "select_symbols": select_symbols,
        "process_data": process_data,
        "raw_data_dir": raw_data_dir,
        "processed_data_dir": processed_data_dir,
    }
    with errors_shown(as_json=as_json):
        request = parse_config(
            {key: value for key, value in asked.items() if value is not None}, BacktestRequest, Path("command line")
        )
        files = ReportFiles(html=report_file, text=text_report_file, trades=trades_file)
        done = run_backtest(Project(Settings()), request, files, _tell)
    print_json(done.report.model_dump(mode="json")) if as_json else _show(done)


def _tell(told: str) -> None:
    ERR.print(told, highlight=False, markup=False, soft_wrap=True)


def _show(done: Backtested) -> None:
    from toto_ops.evaluation.reports.backtest_text import render_text

    OUT.print(render_text(done.report), highlight=False, markup=False, soft_wrap=True, end="")
    for path in done.files:
        OUT.print(f"written: {path}", highlight=False, markup=False, soft_wrap=True)
