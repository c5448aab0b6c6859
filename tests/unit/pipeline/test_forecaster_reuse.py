"""What the next forecaster would begin from is told by the spans of the last retraining and by the bars there are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.unit.forecasting.reuse.reuse_samples import stored_forecaster
from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.market.sources import SAMPLE_FOLDER
from toto_ops.monitoring.staleness import Fingerprint
from toto_ops.pipeline.feature_steps import make_features, make_panel
from toto_ops.pipeline.forecaster_reuse import reuse_outlook
from toto_ops.pipeline.market_steps import ingest
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import LastRetraining, last_retraining, last_retraining_document
from toto_ops.pipeline.spans import spans_of

SYMBOL, BARS, AS_OF = "AAPL", 400, datetime(2021, 3, 8, tzinfo=UTC)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A universe of one share, retrained as far as its panel."""
    folder = tmp_path_factory.mktemp("reuse")
    config, source = folder / "config", folder / "bars"
    shutil.copytree(PROJECT_ROOT / "deploy" / "config", config)
    source.mkdir()
    content = yaml.safe_load((config / "universes.yaml").read_text())
    sample = SAMPLE_FOLDER / content["universes"]["stocks"]["source"]["folder"]
    header, *rows = (sample / f"{SYMBOL}.csv").read_text().splitlines()
    known = [row for row in rows if row < f"{AS_OF:%Y-%m-%d}"]
    (source / f"{SYMBOL}.csv").write_text("\n".join([header, *known[-BARS:]]))
    content["universes"]["stocks"] |= {"source": {"kind": "csv", "folder": str(source)}, "minimum_bars": 60}
    (config / "universes.yaml").write_text(yaml.safe_dump(content))
    project = project_in(folder)
    universe = project.universe("stocks")
    retraining = project.retraining(universe, "last")
    ingest(project, retraining, universe, (SYMBOL,), AS_OF)
    make_features(project, retraining, universe)
    make_panel(project, retraining, universe)
    noted = LastRetraining(
        retrain_id="last",
        completed_at=AS_OF,
        fingerprint=Fingerprint(sources={}, config_hash="c", code_versions={}),
    )
    project.store.write_model(last_retraining_document("stocks"), noted)
    return folder


def project_in(folder: Path) -> Project:
    return Project(Settings(home=str(folder / "home"), env="local", config_dir=folder / "config"))


@pytest.fixture
def configured(home: Path, tmp_path: Path) -> Callable[[int], Project]:
    """Makes a project whose market backbone is trained in windows of so many bars, with models in `<tmp_path>`."""

    def configure(window: int) -> Project:
        config = tmp_path / "config"
        shutil.copytree(home / "config", config)
        content = yaml.safe_load((config / "forecasting.yaml").read_text())
        small = {"width": 16, "layers": 2, "heads": 2, "patch": 4, "window": 4}
        content |= {"preference": ["market", "statistical"], "market": small, "horizon": 3, "horizons": [1, 3]}
        content["pretraining"] |= {"hidden": 8, "window": window}
        content["reuse"] = {"enabled": True, "folder": str(tmp_path / "models")}
        (config / "forecasting.yaml").write_text(yaml.safe_dump(content))
        (tmp_path / "models").mkdir()
        return Project(Settings(home=str(home / "home"), env="local", config_dir=config))

    return configure


def test_a_model_may_know_what_the_forecaster_of_the_last_retraining_knew(
    configured: Callable[[int], Project], tmp_path: Path
) -> None:
    project = configured(64)
    universe = project.universe("stocks")
    retraining = last_retraining(project, universe)
    assert retraining is not None
    limit = spans_of(project, retraining, universe).knows_until
    stored_forecaster(tmp_path / "models" / "as-late", 1, knows_until=limit, metrics={"validation_loss": 0.2})
    stored_forecaster(tmp_path / "models" / "later", 2, knows_until=limit + timedelta(days=1), metrics={"validation_loss": 0.1})
    outlook = reuse_outlook(project, universe)
    assert (outlook.backbone, outlook.before, outlook.begins_from) == ("market", limit, "as-late")
    assert [one.name for one in outlook.candidates] == ["as-late", "later"]
    assert "later than" in outlook.candidates[1].refused


def test_too_few_bars_for_the_preferred_backbone_are_noticed_here_too(
    configured: Callable[[int], Project], tmp_path: Path
) -> None:
    project = configured(256)
    stored_forecaster(tmp_path / "models" / "market", 1, knows_until=datetime(2015, 1, 1, tzinfo=UTC))
    outlook = reuse_outlook(project, project.universe("stocks"))
    assert (outlook.backbone, outlook.begins_from) == ("statistical", None)
    assert outlook.candidates[0].refused == "is a market backbone, not a statistical one"
