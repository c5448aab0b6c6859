"""The job `<universe>_backtest`: what the command does, from the launchpad."""

from pathlib import Path

import dagster as dg
import pytest

from assets.backtest_jobs import BacktestConfig
from assets.resources import TotoOps
from deploy.definitions import build_defs
from tests.unit.evaluation.reports.backtest_report_samples import report
from toto_ops.pipeline import backtesting
from toto_ops.pipeline.backtest_request import BacktestRequest
from toto_ops.pipeline.backtesting import Backtested
from toto_ops.pipeline.notes import Note
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.report_files import ReportFiles

FILES = {"report_file", "text_report_file", "trades_file"}


def test_the_launchpad_has_the_fields_of_a_request() -> None:
    assert set(BacktestConfig.model_fields) == (set(BacktestRequest.model_fields) - {"universe"}) | FILES


def test_every_universe_has_the_job() -> None:
    names = {job.name for job in build_defs().jobs or ()}  # type: ignore[union-attr] # resolved jobs have names
    assert {"stocks_backtest", "crypto_backtest"} <= names


def test_in_a_run_configuration_the_op_of_every_job_has_the_name_of_its_job() -> None:
    jobs = [job for job in build_defs().jobs or () if isinstance(job, dg.JobDefinition)]
    assert {"controls", "stocks_backtest", "stocks_cross_validate", "stocks_promote"} <= {job.name for job in jobs}
    assert {job.name: list(job.graph.node_dict) for job in jobs} == {job.name: [job.name] for job in jobs}


def test_the_report_is_written_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[BacktestRequest, ReportFiles]] = []

    def run(_: Project, request: BacktestRequest, files: ReportFiles, _note: Note) -> Backtested:
        asked.append((request, files))
        return Backtested(report(), tuple(path for path in (files.html, files.text, files.trades) if path))

    monkeypatch.setattr(backtesting, "run_backtest", run)
    toto = TotoOps(home=str(tmp_path), env="local")
    job = build_defs({"toto": toto}).resolve_job_def("stocks_backtest")
    with dg.DagsterInstance.ephemeral() as instance:
        config = {"ops": {"stocks_backtest": {"config": {"symbols": "AAPL", "initial_capital": 5.0, "trades_file": "t.csv"}}}}
        done = job.execute_in_process(run_config=config, instance=instance)
    ((request, files),) = asked
    assert request == BacktestRequest(universe="stocks", symbols=("AAPL",), initial_capital=5.0)
    assert files.html == tmp_path / "backtests" / "stocks" / f"{done.run_id}.html"
    assert files.html.parent.is_dir(), "the folder of the default page is made: a report never makes more than one"
    assert files.trades == Path("t.csv")
    (handled,) = [event for event in done.all_events if event.event_type_value == "STEP_OUTPUT"]
    metadata = handled.step_output_data.metadata
    assert metadata["report"].value == str(files.html)
    assert len(metadata["contestants"].value) == len(report().contestants)
