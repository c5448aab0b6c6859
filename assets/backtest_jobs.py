"""A job per universe that backtests a model or a strategy, from the launchpad of the UI: what `toto-ops backtest` does."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from assets.launchpad_jobs import launchpad_job
from assets.metadata import picture, table
from assets.resources import TotoOps
from toto_ops.configuration import parse_config
from toto_ops.universes import Universe


class BacktestConfig(dg.Config):
    """The options of `toto-ops backtest`; days as 2024-01-31, UTC, both included; paths as the Dagster process sees them."""

    symbols: str = Field(default="all", description="`all`, or symbols separated by commas.")
    strategy_path: str | None = Field(default=None, description="Strategy file of the analysts' ensemble.")
    start_date: str | None = Field(default=None, description="First day; by default the first that nobody in it knows.")
    end_date: str | None = Field(default=None, description="Last day; by default the newest.")
    initial_capital: float | None = Field(default=None, description="Money at the start; by default the universe's capital.")
    model: str | None = Field(default=None, description="models:/NAME@ALIAS or models:/NAME/VERSION; by default what serves.")
    select_symbols: int | None = Field(default=None, description="Choose so many symbols on the validation span.")
    process_data: bool = Field(default=False, description="Validate and process raw CSV files first.")
    raw_data_dir: str | None = Field(
        default=None, description="With process_data: folder of <SYMBOL>.csv; of a combined universe one subfolder per part."
    )
    processed_data_dir: str | None = Field(default=None, description="Where processed data go; alone: what was processed there.")
    report_file: str | None = Field(default=None, description="HTML page; by default <home>/backtests/<universe>/<run>.html.")
    text_report_file: str | None = Field(default=None, description="The same as text, .txt.")
    trades_file: str | None = Field(default=None, description="Table of every trade, .csv.")


_FILES = ("report_file", "text_report_file", "trades_file")


def backtest_job(universe: Universe) -> dg.JobDefinition:
    """The job `<universe>_backtest`, in one process; it changes nothing but the ledger, which counts looks and trials."""
    return launchpad_job(
        f"{universe.name}_backtest",
        _backtest_op(universe),
        f"Backtest a model of {universe.name} or a strategy file on bars it does not know, and write a report.",
    )


def _backtest_op(universe: Universe) -> dg.OpDefinition:
    @dg.op(name=f"{universe.name}_run_backtest", out=dg.Out(dg.Nothing))
    def backtest(context: dg.OpExecutionContext, config: BacktestConfig, toto: TotoOps) -> None:
        from toto_ops.evaluation.reports.backtest_plots import draw_plots
        from toto_ops.evaluation.reports.backtest_tables import overview
        from toto_ops.pipeline.backtest_request import BacktestRequest
        from toto_ops.pipeline.backtesting import run_backtest
        from toto_ops.pipeline.report_files import ReportFiles

        project = toto.project()
        asked = {name: value for name, value in config.model_dump(exclude=set(_FILES)).items() if value is not None}
        request = parse_config({"universe": universe.name, **asked}, BacktestRequest, Path("run configuration"))
        pages = project.settings.local_root / "backtests" / universe.name
        pages.mkdir(parents=True, exist_ok=True)
        files = ReportFiles(
            html=Path(config.report_file) if config.report_file else pages / f"{context.run_id}.html",
            text=Path(config.text_report_file) if config.text_report_file else None,
            trades=Path(config.trades_file) if config.trades_file else None,
        )
        done = run_backtest(project, request, files, context.log.info)
        plots = draw_plots(done.report)
        context.add_output_metadata(
            {
                "report": dg.MetadataValue.path(str(done.files[0])),
                "contestants": table(overview(done.report)),
                "equity": picture(plots.equity, "equity"),
                "drawdown": picture(plots.drawdown, "drawdown"),
                "symbols": ", ".join(done.report.symbols),
                "caveats": "\n".join(done.report.caveats),
            }
        )

    return backtest
