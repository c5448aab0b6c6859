"""Forecasts and embeddings through Dagster: made in a retraining, kept up to date between them, asked for and exported."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assets.run_tags import AS_OF_TAG
from tests.pipeline.brief_forecasting import write_brief_forecasting
from tests.pipeline.conftest import Workbench
from tests.pipeline.planted import START, SYMBOLS, write_config, write_market
from toto_ops.cli import app
from toto_ops.evaluation.judgement.evidence import Evidence
from toto_ops.forecasting.embeddings.index import EMBEDDINGS
from toto_ops.pipeline.evaluation_steps import evidence_of
from toto_ops.pipeline.forecasting_steps import forecaster_of, observed_panel
from toto_ops.pipeline.spans import spans_of
from toto_ops.storage.retraining import Retraining

DAYS = 620


def as_of(days: int) -> dict[str, str]:
    return {AS_OF_TAG: (START + timedelta(days=days)).isoformat()}


def written_by(result: dg.ExecuteInProcessResult, asset: str) -> dict[str | None, dict[str, object]]:
    """Metadata of an asset by partition."""
    events = [one for one in result.get_asset_materialization_events() if one.asset_key and one.asset_key.path[-1] == asset]
    return {
        one.partition: {name: value.value for name, value in one.step_materialization_data.materialization.metadata.items()}
        for one in events
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forecasting")


@pytest.fixture
def bench(workbench: Callable[..., Workbench], tmp_path: Path) -> Workbench:
    write_market(tmp_path / "bars", DAYS)
    (tmp_path / "bars" / "DELTA.csv").rename(tmp_path / "DELTA.csv")
    # The market ends years ago: what is too old to act on is not foretold.
    return workbench(write_config(tmp_path / "config", tmp_path / "bars", max_bar_age_days=10_000))


def test_a_retraining_forecasts_and_new_bars_and_symbols_cost_no_more_than_themselves(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_brief_forecasting(tmp_path / "config", preference=("toto", "statistical"))
    result = bench.run("planted", **as_of(DAYS))
    assert result.success
    universe = bench.project.universe("planted")
    retraining = bench.project.retraining(universe, result.run_id)
    assert_the_fallback_is_told(result, retraining)
    assert_it_is_shown(result)
    assert_the_report_has_every_span(bench, retraining)
    panel = observed_panel(retraining)
    assert panel.embedding.shape == (*panel.mask.shape, 128)
    assert np.abs(panel.embedding[panel.mask]).max(axis=-1).min() > 0

    # A further day, without a retraining.
    write_market(tmp_path / "bars", DAYS + 1)
    (tmp_path / "bars" / "DELTA.csv").unlink()
    ingested = bench.run("planted", "ingest", **as_of(DAYS + 1))
    assert ingested.success
    assert written_by(ingested, "served_embeddings")[None]["rows_computed"] == 1
    newer = observed_panel(bench.project.retraining(universe, ingested.run_id))
    assert newer.rows == panel.rows + 1
    np.testing.assert_array_equal(newer.embedding[:-1], panel.embedding)

    # The command line answers from it, and exports it.
    monkeypatch.setenv("TOTO_HOME", bench.project.settings.home)
    monkeypatch.setenv("TOTO_CONFIG_DIR", str(bench.project.settings.config_dir))
    answer = json.loads(invoked("forecast", "--symbol", "ALPHA", "--horizon", "20", "--json"))
    assert answer["bar_close"].startswith(f"{START + timedelta(days=DAYS + 1):%Y-%m-%d}")
    assert [step["ahead"] for step in answer["steps"]] == list(range(1, 21))
    assert all(list(step["prices"].values()) == sorted(step["prices"].values()) for step in answer["steps"])
    assert "toto" in answer["passed_over"]
    assert_exports(tmp_path, newer.mask.sum())


def assert_the_fallback_is_told(result: dg.ExecuteInProcessResult, retraining: Retraining) -> None:
    manifest = forecaster_of(retraining)[0].manifest
    assert manifest.backbone == "statistical"
    (passed_over,) = manifest.passed_over
    assert passed_over.backbone == "toto"
    assert passed_over.reason
    shown = written_by(result, "forecaster")[None]
    assert passed_over.reason in str(shown["passed_over"])
    spans = written_by(result, "specialist_forecaster")
    assert set(spans) >= set(SYMBOLS) - {"DELTA"}
    assert all(spans[symbol]["generic_loss"] for symbol in spans if symbol)


def assert_it_is_shown(result: dg.ExecuteInProcessResult) -> None:
    """Tables and pictures in the metadata, and a check that says in words whether there is skill."""
    (shown,) = written_by(result, "forecast_evaluation").values()
    pictures = {name for name in shown if name.startswith("fans_")}
    assert pictures == {f"fans_{symbol}" for symbol in set(SYMBOLS) - {"DELTA"}}
    assert all(str(shown[name]).startswith("![") for name in pictures)
    for part in ("policies", "validation"):
        assert "seasonal naive" in str(shown[part])
        assert "ALPHA" in str(shown[f"{part}_symbols"])
    (embedded,) = {str(one["by_trend_regime"]) for one in written_by(result, "embeddings").values() if "by_trend_regime" in one}
    assert embedded.startswith("![")
    (check,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "skill"]
    assert "On validation the forecaster" in str(check.description)


def assert_the_report_has_every_span(bench: Workbench, retraining: Retraining) -> None:
    evidence, report = evidence_of(retraining)
    assert isinstance(evidence, Evidence)
    assert [one.part for one in evidence.forecasts] == ["policies", "validation", "test"]
    assert evidence.forecasts[-1].span == evidence.splits.test
    knows_until = spans_of(bench.project, retraining, bench.project.universe("planted")).knows_until
    assert all(one.knows_until == knows_until <= one.span.after for one in evidence.forecasts)
    assert "seasonal naive" in report.read_text()


def assert_exports(folder: Path, known: int) -> None:
    for fmt in ("parquet", "npz", "onnx"):
        invoked("export", "embeddings", "planted", "--format", fmt, "--output", str(folder))
    table = pl.read_parquet(folder / "planted-embeddings.parquet")
    assert table.height == known
    assert {"symbol", "close_time", "e0", "e127"} <= set(table.columns)
    with np.load(folder / "planted-embeddings.npz", allow_pickle=False) as arrays:
        assert arrays["embedding"].shape[-1] == 128
    assert (folder / "planted-embeddings.onnx").stat().st_size > 0


def invoked(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_a_new_symbol_has_embeddings_as_soon_as_it_is_served(bench: Workbench, tmp_path: Path) -> None:
    assert bench.run("planted", **as_of(DAYS)).success
    (tmp_path / "DELTA.csv").rename(tmp_path / "bars" / "DELTA.csv")
    result = bench.run("planted", "ingest", **as_of(DAYS))
    assert result.success
    retraining = bench.project.retraining(bench.project.universe("planted"), result.run_id)
    assert retraining.has(EMBEDDINGS)
    panel = observed_panel(retraining)
    column = panel.symbols.index("DELTA")
    assert panel.mask[:, column].any()
    assert np.isfinite(panel.embedding[panel.mask[:, column], column]).all()
    assert np.abs(panel.forecast[panel.mask[:, column], column]).max() > 0
