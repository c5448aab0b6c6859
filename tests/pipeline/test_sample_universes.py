"""The bundled real bars through the whole loop, in the size a test can afford."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from tests.pipeline.brief_forecasting import write_brief_forecasting
from tests.pipeline.conftest import Workbench
from toto_ops.configuration import PROJECT_ROOT
from toto_ops.features.state import ACCOUNT_FEATURES
from toto_ops.pipeline.outcome import read_outcome
from toto_ops.registry.history import incumbent


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Crypto, from 2017 on, one seed."""
    folder, shipped = tmp_path / "config", PROJECT_ROOT / "deploy" / "config"
    folder.mkdir()
    for name in ("strategy.yaml", "gates.yaml"):
        (folder / name).write_text((shipped / name).read_text())
    write_brief_forecasting(folder, preference=("market", "statistical"))
    training = yaml.safe_load((shipped / "training.yaml").read_text())
    training["lines"]["bc"] |= {"seeds": [0], "epochs": 4}
    (folder / "training.yaml").write_text(yaml.safe_dump(training))
    crypto = yaml.safe_load((shipped / "universes.yaml").read_text())["universes"]["crypto"]
    crypto["symbols"] = {symbol: {"from": "2018-01-01"} for symbol in ("BTCUSD", "ETHUSD", "LTCUSD", "XRPUSD")}
    (folder / "universes.yaml").write_text(yaml.safe_dump({"schema_version": 1, "universes": {"crypto": crypto}}))
    return folder


def test_a_retraining_on_real_bars_is_judged_registered_and_remembered(workbench: Callable[..., Workbench], config: Path) -> None:
    bench = workbench(config)
    result = bench.run("crypto")
    assert result.success
    universe = bench.project.universe("crypto")
    outcome = read_outcome(bench.project, universe, result.run_id)
    assert outcome is not None
    assert Path(outcome.report).read_text().startswith("<!DOCTYPE html>")
    assert Path(outcome.data_docs).exists()
    assert {row.criterion for row in outcome.criteria} >= {
        "Sharpe ratio",
        "total return",
        "maximum drawdown",
        "imitation accuracy",
    }

    # What serves is the champion if every gate was passed, and the fallback otherwise: never nothing.
    serving = incumbent(bench.project.registry, "crypto")
    assert serving is not None
    assert serving.is_fallback != all(row.passed for row in outcome.criteria)

    # The teacher's decisions carry the portfolio as it was: none of its four features is constant.
    retraining = bench.project.retraining(universe, result.run_id)
    history = pl.read_parquet(retraining.store.local_folder(retraining.ref("ensemble_decisions", "BTCUSD")) / "decisions.parquet")
    assert all(history[name].n_unique() > 20 for name in ACCOUNT_FEATURES)
    dataset = retraining.store.local_folder(retraining.ref("offline_dataset", "BTCUSD")) / "BTCUSD.npz"
    with np.load(dataset, allow_pickle=False) as arrays:
        assert arrays["states"].shape == (history.height, 34)

    # The test span was opened once, by this retraining, and every trial is in the ledger.
    root = Path(bench.project.settings.home) / "live" / "crypto"
    openings = [json.loads(path.read_text()) for path in (root / "openings").glob("*.json")]
    assert [opening["opened_by"] for opening in openings] == [result.run_id]
    assert len(list((root / "trials").glob("*.json"))) == 1

    # A forced second run on the same inputs reuses every artefact, registers nothing new and does not open the test again.
    again = bench.run("crypto")
    assert again.success
    repeated = bench.project.retraining(universe, again.run_id)
    assert {(ref.key, ref.content_hash) for ref in repeated.refs() if ref.key.asset != "data_docs"} == {
        (ref.key, ref.content_hash) for ref in retraining.refs() if ref.key.asset != "data_docs"
    }
    assert len(list((root / "openings").glob("*.json"))) == 1
    assert len(bench.project.registry.versions(bench.project.registry.serving_name("crypto"))) == 2
