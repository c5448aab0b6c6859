"""The controls at small size, by the command people use: what is known is promoted, what is leaked is noticed, noise is not."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from toto_ops.cli import app
from toto_ops.configuration import Settings
from toto_ops.evaluation.judgement.criteria import BENCHMARK_FLOOR, DEFLATED_SHARPE
from toto_ops.pipeline.control_market import run_control
from toto_ops.pipeline.control_project import ControlTask
from toto_ops.pipeline.controls import CONTROLS, OUTCOMES

NULL, PLANTED, SEED = 20, 5, 0


@pytest.mark.subprocess
def test_the_judge_is_to_be_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTO_HOME", str(tmp_path / "home"))
    asked = ["--null", str(NULL), "--planted", str(PLANTED), "--leaked", "1", "--profile", "short", "--seed", str(SEED), "--json"]
    answer = CliRunner().invoke(app, ["controls", *asked])
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert found["met"]
    assert (found["line"], found["profile"], found["universes"]) == ("bc", "short", ["stocks", "crypto"])

    # Nothing comes of nothing, and each gate is counted by itself.
    assert (found["null"]["promoted"]["count"], found["null"]["promoted"]["of"]) == (0, NULL)
    rejected = {tally["gate"]: tally["rejected"] for tally in found["null"]["gates"]}
    assert rejected[DEFLATED_SHARPE] > NULL / 2
    assert rejected[BENCHMARK_FLOOR] > NULL / 2

    # What can be known is found, through the registry, and what cannot be known is looked into.
    assert found["planted"]["promoted"]["count"] >= 0.8 * PLANTED
    assert found["planted"]["oracle_share"] >= 0.5
    assert found["leaked"]["quarantined"]["count"] == 1
    assert found["leaked"]["oracle_shares"][0] >= 0.8
    reports = Path(found["reports"])
    assert "look for leakage" in (reports / "leaked-000" / "report.html").read_text()

    # Nothing that serves was touched, and the same market judged again, alone, comes to the same.
    home = tmp_path / "home"
    assert {path.name for path in home.iterdir()} == {found["namespace"], "locks"}
    assert not (home / found["namespace"] / "work").exists()
    stored = json.loads((home / found["namespace"] / CONTROLS / OUTCOMES / "null-003.json").read_text())
    task = ControlTask("null", 3, seed=SEED, universe=stored["universe"], line="bc", profile="short", settings=Settings())
    again = run_control(task, tmp_path / "again", tmp_path).model_dump(mode="json")
    assert {**again, "seconds": 0} == {**stored, "seconds": 0}
