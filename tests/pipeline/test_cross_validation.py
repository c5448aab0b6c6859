"""Both front doors of cross-validation on a planted market, and what it leaves behind."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.pipeline.conftest import Workbench
from tests.pipeline.planted import START, SYMBOLS, write_config, write_market
from toto_ops.cli.app import app
from toto_ops.pipeline.feature_steps import make_features, make_panel
from toto_ops.pipeline.market_steps import ingest
from toto_ops.pipeline.offline_steps import make_datasets, make_decisions
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import remember
from toto_ops.training.ledger import TrialLedger
from toto_ops.universes import Universe

DAYS = 1300


def prepare(project: Project, universe: Universe) -> None:
    """All that a retraining makes before it trains, noted as one that succeeded."""
    retraining = project.retraining(universe, "prepared")
    ingest(project, retraining, universe, sorted(SYMBOLS), START + timedelta(days=DAYS))
    make_features(project, retraining, universe)
    make_panel(project, retraining, universe)
    make_decisions(project, retraining, universe)
    make_datasets(retraining)
    remember(project, retraining, universe, datetime.now(UTC))


@pytest.fixture
def bench(workbench: Callable[..., Workbench], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    write_market(tmp_path / "bars", DAYS)
    bench = workbench(write_config(tmp_path / "config", tmp_path / "bars"))
    monkeypatch.setenv("TOTO_HOME", bench.project.settings.home)
    monkeypatch.setenv("TOTO_CONFIG_DIR", str(tmp_path / "config"))
    return bench


def test_a_line_is_cross_validated_from_the_command_line_and_from_the_launchpad(bench: Workbench) -> None:
    project, universe = bench.project, bench.project.universe("planted")
    asked = ["cross-validate", "planted", "--scheme", "walk-forward", "--folds", "2", "--json"]

    # Without a retraining there is nothing to learn from, and a scheme without folds is none.
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code == 1
    assert "was never retrained" in refused.stdout
    assert CliRunner().invoke(app, [*asked[:-2], "0", "--json"]).exit_code == 1

    prepare(project, universe)
    answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 0, answer.output
    assert answer.stderr.splitlines()[0] == "2 folds, each trained with 1 seed: 2 trainings"
    document = json.loads(answer.stdout)
    assert [fold["fold"]["number"] for fold in document["folds"]] == [0, 1]
    (path,) = document["paths"]

    # The planted trends last, so a pupil of those who follow them earns what its folds never saw.
    assert path["figures"]["sharpe"]["low"] > 0
    assert path["against_equal_weight"]["sharpe"]["low"] > 0

    # Every policy is older than its block, every block older than the test span, every training a trial.
    for fold in document["folds"]:
        assert fold["knows_until"] < fold["fold"]["blocks"][0]["span"]["after"]
    assert document["folds"][-1]["fold"]["blocks"][0]["span"]["until"] <= document["test_begins_after"]
    assert len(list(TrialLedger(project.store, "planted").trials())) == 2
    assert not list(TrialLedger(project.store, "planted").openings())

    # The same question from the launchpad finds the answer in the store.
    config = {"ops": {"planted_cross_validate": {"config": {"scheme": "walk-forward", "folds": 2}}}}
    job = bench.definitions.resolve_job_def("planted_cross_validate")
    run = job.execute_in_process(instance=bench.instance, run_config=config)
    assert run.success
    (told,) = [event.step_output_data.metadata for event in run.all_events if event.is_successful_output]
    assert told["distribution"].text.startswith("Sharpe ratio of the stitched path: ")
    assert len(told["blocks"].records) == 2
    assert len(list(TrialLedger(project.store, "planted").trials())) == 2
