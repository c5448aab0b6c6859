"""`toto-ops forecasters`: what there is to begin from, which one it would be, and why none of the others."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree

import pytest
import torch
import yaml
from typer.testing import CliRunner

from tests.unit.forecasting.reuse.reuse_samples import drawn, stored_forecaster
from toto_ops.cli import app
from toto_ops.cli.console import OUT
from toto_ops.configuration import PROJECT_ROOT

UNTIL = datetime(2021, 3, 1, 21, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOTO_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(OUT, "width", 80)
    return tmp_path / "home"


@pytest.fixture
def configured(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes a configuration whose reuse section is given; returns the folder of models, which the section names."""
    config, models = tmp_path / "config", tmp_path / "models"
    copytree(PROJECT_ROOT / "deploy" / "config", config)
    models.mkdir()
    monkeypatch.setenv("TOTO_CONFIG_DIR", str(config))

    def configure(**reuse: object) -> Path:
        path = config / "forecasting.yaml"
        content = yaml.safe_load(path.read_text())
        small = {"width": 16, "layers": 2, "heads": 2, "patch": 4, "window": 4}
        content |= {"preference": ["market"], "market": small, "horizon": 3, "horizons": [1, 3]}
        content["pretraining"]["hidden"] = 8
        content["reuse"] = {"folder": str(models)} | reuse
        path.write_text(yaml.safe_dump(content))
        return models

    return configure


def asked(*arguments: str) -> list[dict]:
    done = CliRunner().invoke(app, ["forecasters", "--json", *arguments])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_before_anything_was_trained_there_is_nothing_and_nothing_is_made_by_looking(home: Path) -> None:
    outlooks = asked()
    assert {outlook["universe"] for outlook in outlooks} >= {"stocks", "crypto"}
    for outlook in outlooks:
        assert (outlook["candidates"], outlook["begins_from"], outlook["before"]) == ([], None, None)
    assert not home.exists()


def test_the_best_that_fits_is_begun_from_and_others_say_why_not(configured: Callable[..., Path]) -> None:
    models = configured(enabled=True)
    stored_forecaster(models / "better", 1, knows_until=UNTIL, metrics={"validation_loss": 0.2})
    stored_forecaster(models / "worse", 2, knows_until=UNTIL, metrics={"validation_loss": 0.3})
    torch.save(drawn(torch.nn.Linear(2, 2), 1), models / "older.pth")
    torch.save(torch.nn.Linear(2, 2), models / "module.pt")
    (outlook,) = asked("--universe", "stocks")
    assert (outlook["backbone"], outlook["begins_from"]) == ("market", "better")
    told = {one["name"]: one["refused"] for one in outlook["candidates"]}
    assert list(told) == ["better", "worse", "module.pt", "older.pth"]
    assert (told["better"], told["worse"]) == ("", "")
    assert told["older.pth"] == "does not record which kind of backbone it is; a JSON file of its name could"
    assert "would have to be run" in told["module.pt"]


def test_models_of_another_architecture_are_told_with_both_shapes(configured: Callable[..., Path]) -> None:
    models = configured(enabled=True)
    other = drawn(torch.nn.Linear(2, 2), 1)
    torch.save({"backbone.token.weight": other["weight"]}, models / "small.pth")
    (models / "small.json").write_text(json.dumps({"kind": "market", "val_loss": 0.1, "knows_until": UNTIL.isoformat()}))
    (outlook,) = asked("--universe", "stocks")
    assert outlook["begins_from"] is None
    assert "backbone.token.weight is [2, 2], in this network [16, 12]" in outlook["candidates"][0]["refused"]


def test_where_reuse_is_off_it_says_so_and_still_lists(configured: Callable[..., Path]) -> None:
    models = configured(enabled=False)
    stored_forecaster(models / "better", 1, knows_until=UNTIL)
    (outlook,) = asked("--universe", "stocks")
    assert (outlook["begins_from"], outlook["candidates"][0]["refused"]) == (None, "")
    text = CliRunner().invoke(app, ["forecasters", "--universe", "stocks"]).output
    assert "begins from nothing: reuse is off (reuse.enabled in forecasting.yaml)" in text


def test_text_has_a_block_for_each_model_and_a_conclusion(configured: Callable[..., Path]) -> None:
    models = configured(enabled=True)
    stored_forecaster(models / "better", 1, knows_until=UNTIL)
    torch.save(drawn(torch.nn.Linear(2, 2), 1), models / "older.pth")
    done = CliRunner().invoke(app, ["forecasters", "--universe", "stocks"])
    assert done.exit_code == 0, done.output
    for words in (
        "model better",
        "backbone market",
        "validation loss 0.2",
        "knows until 2021-03-01",
        "could be begun from yes",
        "model older.pth",
        "no, it does not record which kind of backbone it is",
        "would begin from better",
    ):
        assert words in " ".join(done.output.split())


def test_a_folder_that_is_not_there_is_one_clear_error(configured: Callable[..., Path], tmp_path: Path) -> None:
    configured(enabled=True, folder=str(tmp_path / "nowhere"))
    done = CliRunner().invoke(app, ["forecasters", "--universe", "stocks"])
    assert done.exit_code == 1
    assert "nowhere: is not a folder" in done.stderr
    assert "correct it in forecasting.yaml" in done.stderr


def test_a_universe_that_is_not_there_is_one_clear_error(home: Path) -> None:
    done = CliRunner().invoke(app, ["forecasters", "--universe", "bonds", "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"] == "ConfigError"
