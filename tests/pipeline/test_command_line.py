"""The command line as a user has it: real processes, the forking executor, one small universe of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipeline.planted import write_config, write_market
from toto_ops.configuration import PROJECT_ROOT

pytestmark = pytest.mark.subprocess
PROGRAM = [sys.executable, "-c", "from toto_ops.cli import app; app()"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one retraining of the planted universe done."""
    folder = tmp_path_factory.mktemp("cli")
    write_market(folder / "bars", 1000)
    write_config(folder / "config", folder / "bars")
    return folder


def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "TOTO_HOME": str(home / "home"),
        "TOTO_CONFIG_DIR": str(home / "config"),
        "PYTHONPATH": str(PROJECT_ROOT),
    }
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, env=environment, check=False, timeout=300)


def answer(home: Path, *arguments: str) -> Any:
    done = run(home, *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_retrain_predict_list_and_the_quiet_second_run(home: Path) -> None:
    as_of = ("--as-of", "2020-09-27T00:00:00")  # the close of the newest of 1,000 bars
    (first,) = answer(home, "retrain", "planted", *as_of)
    assert first["status"] == "retrained"
    outcome = first["outcome"]
    assert {row["criterion"] for row in outcome["criteria"]} >= {"Sharpe ratio", "imitation accuracy"}
    assert Path(outcome["report"]).exists()

    (second,) = answer(home, "retrain", "planted", *as_of)
    assert second["status"] == "up_to_date"
    runs = home / "home" / "live" / "planted" / "retrainings"
    assert len(list(runs.iterdir())) == 1

    rows = answer(home, "registry", "list")
    assert {row["line"] for row in rows} == {"bc", "fallback"}
    assert sum(row["serves"] for row in rows) == 1
    shown = answer(home, "registry", "show", "planted", "--version", "1")
    assert shown["row"]["retrain_id"] == outcome["retrain_id"]
    assert shown["provenance"]["toto.git_revision"]

    predicted = answer(home, "predict", "--symbol", "alpha", "--at", "2020-09-27T12:00:00")
    assert predicted["symbol"] == "ALPHA"
    assert predicted["bar_close"] < predicted["valid_until"]
    assert predicted["is_fallback"] == (not outcome["promoted"])


def test_a_model_and_a_strategy_file_are_backtested_on_bars_neither_knows(home: Path, tmp_path: Path) -> None:
    strategy, report, trades = home / "config" / "strategy.yaml", tmp_path / "report.html", tmp_path / "trades.csv"
    both = ("--model", "models:/toto-planted@fallback", "--strategy-path", str(strategy), "--initial-capital", "500000")
    files = ("--report-file", str(report), "--trades-file", str(trades))
    done = answer(home, "backtest", "--universe", "planted", "--symbols", "all", *both, *files)
    assert [subject["name"] for subject in done["subjects"]] == ["fallback", "strategy"]
    assert done["first_close"] > max(subject["knows_until"] for subject in done["subjects"])
    assert [one["final_equity"] for one in done["contestants"] if one["name"] == "cash"] == [500000]
    assert done["test_span"]["openings"] >= 3, "the judgement's own look, and these two"
    assert "data:image/png" in report.read_text()
    assert len(trades.read_text().splitlines()) > 10

    raw = ("--process-data", "--raw-data-dir", str(home / "bars"), "--processed-data-dir", str(tmp_path / "processed"))
    processed = answer(home, "backtest", "--universe", "planted", "--symbols", "all", *both, *raw)
    assert processed["data_hash"] == done["data_hash"]
    assert processed["contestants"] == done["contestants"]
    assert processed["test_span"] == done["test_span"], "the same question about the same bars is the same look"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("retrain", "bonds"), "does not exist"),
        (("backtest", "--universe", "planted", "--start-date", "2018-12-01"), "Remedy: start on 20"),
        (("backtest", "--universe", "planted", "--model", "models:/toto-crypto@champion"), "is not a model of universe planted"),
        (("predict", "--symbol", "../x"), "is not a symbol"),
        (("predict", "--symbol", "NOSUCH"), "no universe has NOSUCH"),
        (("predict", "--symbol", "ALPHA", "--universe", "planted", "--at", "2031-01-01"), "StaleBarsError"),
        (("registry", "rollback", "nowhere", "--why", "a test"), "does not exist"),
        (("backfill", "planted", "--symbols", "ALPHA,NOSUCH"), "NOSUCH: not in the universe. Remedy: put NOSUCH.csv into"),
        (("symbols", "remove", "planted", "ALPHA"), "ALPHA is still in the universe"),
    ],
)
def test_a_mistake_is_one_clear_message_and_exit_code_1(home: Path, arguments: tuple[str, ...], says: str) -> None:
    done = run(home, *arguments)
    assert done.returncode == 1
    assert says in " ".join(done.stderr.split()), done.stderr
    assert "Traceback" not in done.stderr
    as_json = run(home, *arguments, "--json")
    assert as_json.returncode == 1
    assert set(json.loads(as_json.stdout)) == {"error", "problem", "where", "remedy"}


def test_a_universe_that_cannot_be_retrained_does_not_keep_the_others_from_it(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "config", tmp_path / "config")
    path = tmp_path / "config" / "universes.yaml"
    content = yaml.safe_load(path.read_text())
    broken = content["universes"]["planted"] | {"source": {"kind": "csv", "folder": str(tmp_path / "nowhere")}}
    content["universes"] = {"broken": broken, **content["universes"]}
    path.write_text(yaml.safe_dump(content))
    shutil.copytree(home / "home", tmp_path / "home")
    (tmp_path / "home" / "mlflow.db").unlink(missing_ok=True)
    done = run(tmp_path, "retrain", "broken", "planted", "--as-of", "2020-09-27T00:00:00", "--json")
    assert done.returncode == 1
    broken_report, planted_report = json.loads(done.stdout)
    assert (broken_report["status"], broken_report["error"]) == ("error", "SourceError")
    assert planted_report["status"] == "up_to_date"


def test_a_retraining_in_progress_is_not_joined_by_a_second(home: Path) -> None:
    from filelock import FileLock

    locks = home / "home" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / "planted.lock"):
        done = run(home, "retrain", "planted", "--force")
    assert done.returncode == 1
    assert "BusyError" in done.stderr


def test_validate_names_file_bar_and_remedy(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "bars", tmp_path / "bars")
    text = (tmp_path / "bars" / "BETA.csv").read_text().splitlines()
    (tmp_path / "bars" / "BETA.csv").write_text("\n".join([*text, text[-1]]))
    (tmp_path / "bars" / "bad name.csv").write_text("timestamp,open\n")
    done = run(home, "data", "validate", "planted", "--folder", str(tmp_path / "bars"), "--json")
    assert done.returncode == 1
    rows = {row["symbol"]: row for row in json.loads(done.stdout)}
    assert "duplicate" in rows["BETA"]["errors"].lower() or "twice" in rows["BETA"]["errors"].lower()
    assert "Remedy" in rows["BETA"]["errors"]
    assert not rows["bad name.csv"]["passed"]
    assert rows["ALPHA"]["passed"]


def test_the_sample_can_be_copied_once_and_never_over_something(home: Path, tmp_path: Path) -> None:
    copied = answer(home, "data", "sample", str(tmp_path / "mine"), "--universe", "crypto")
    assert len(copied["files"]) == 8
    again = run(home, "data", "sample", str(tmp_path / "mine"), "--universe", "crypto")
    assert again.returncode == 1
    assert "not an empty folder" in again.stderr


def test_new_symbols_join_what_is_served_and_short_ones_once_they_are_long_enough(home: Path) -> None:
    header, *bars = (home / "bars" / "ALPHA.csv").read_text().splitlines()

    def write(symbol: str, count: int) -> None:
        (home / "bars" / f"{symbol}.csv").write_text("\n".join([header, *bars[-count:]]))

    def statuses(report: Any) -> dict[str, str]:
        return {row["symbol"]: row["status"] for row in report["symbols"]}

    write("NEW1", 200)
    write("NEW2", 1000)
    write("NEW3", 200)
    first = answer(home, "backfill", "planted")
    assert statuses(first) == {"NEW1": "waiting", "NEW2": "joined", "NEW3": "waiting"}
    assert "only 200 bars" in first["symbols"][0]["reason"]
    assert len(first["runs"]) == 1
    assert answer(home, "backfill", "planted")["status"] == "nothing_new"

    write("NEW1", 1000)
    write("NEW3", 1000)
    second = answer(home, "backfill", "planted", "--symbols", "new1,NEW3", "--symbols", "NEW2")
    assert statuses(second) == {"NEW1": "joined", "NEW2": "served already", "NEW3": "joined"}
    assert len(second["runs"]) == 2, "one per unbroken stretch of partitions; NEW2 lies between them"
    unknown = run(home, "predict", "--symbol", "NEW1", "--at", "2020-09-27T12:00:00")
    assert "was not known to toto-planted version 1. Remedy: retrain the universe" in " ".join(unknown.stderr.split())

    (home / "bars" / "NEW2.csv").unlink()
    removed = answer(home, "symbols", "remove", "planted", "NEW2")
    assert list(Path(removed["data"]).iterdir())
    listed = {row["symbol"]: (row["status"], row["partition"]) for row in answer(home, "symbols", "list", "planted")["planted"]}
    assert (listed["NEW1"], listed["NEW2"]) == (("served", True), ("removed", False))
