"""MLflow runs: found again by retraining, line and inputs; apart by universe and namespace."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from toto_ops.registry.tracking import RunKey, RunRecord, Tracking, flatten, prepare_database


@pytest.fixture(scope="module")
def tracking(tracking_uri):
    return Tracking(tracking_uri)


def test_a_run_is_found_again_and_others_are_their_own(tracking, universe):
    key = RunKey(universe, "retrain-1", "bc", "inputs-1")
    first = tracking.run_id(key)
    assert tracking.run_id(key) == first
    others = {
        tracking.run_id(RunKey(universe, "retrain-2", "bc", "inputs-1")),
        tracking.run_id(RunKey(universe, "retrain-1", "ppo", "inputs-1")),
        tracking.run_id(RunKey(universe, "retrain-1", "bc", "inputs-2")),
    }
    assert len(others | {first}) == 4


def test_a_repeated_step_writes_the_same_run(tracking, universe, tmp_path):
    (tmp_path / "curve.csv").write_text("epoch,loss\n1,0.5\n")
    key = RunKey(universe, "retrain-1", "bc", "inputs-1")
    record = RunRecord(
        params={"seed": 1, "network": {"hidden": 128}}, metrics={"sharpe": 1.25}, tags={"git.revision": "abc"}, files=tmp_path
    )
    run_id = tracking.record(key, record)
    assert tracking.record(key, record) == run_id
    run = tracking.client.get_run(run_id)
    assert run.data.params == {"seed": "1", "network.hidden": "128"}
    assert run.data.metrics == {"sharpe": 1.25}
    assert run.data.tags["git.revision"] == "abc"
    assert run.info.status == "FINISHED"
    assert [item.path for item in tracking.client.list_artifacts(run_id)] == ["curve.csv"]


def test_namespaces_have_their_own_experiments(tracking, tracking_uri, universe):
    live = tracking.experiment_id(universe)
    replay = Tracking(tracking_uri, "replay").experiment_id(universe)
    assert replay != live
    assert tracking.client.get_experiment(live).name == f"toto-{universe}"
    assert tracking.client.get_experiment(replay).name == f"replay.toto-{universe}"


def test_artifacts_lie_beside_the_database(tracking, tracking_uri, universe):
    location = tracking.client.get_experiment(tracking.experiment_id(universe)).artifact_location
    assert location.startswith(tracking_uri.removeprefix("sqlite:///").removesuffix("mlflow.db"))


def test_an_identifier_cannot_smuggle_a_filter(tracking, universe):
    with pytest.raises(ValueError, match="cannot be searched"):
        tracking.run_id(RunKey(universe, "x' or tags.a = 'b", "bc", "inputs-1"))


def test_nested_parameters_are_flattened():
    assert flatten({"a": 1, "b": {"c": 2, "d": {"e": 3}}}) == {"a": 1, "b.c": 2, "b.d.e": 3}


def test_processes_that_open_a_fresh_database_together_take_turns_and_one_prepares_it(tmp_path, monkeypatch):
    database = tmp_path / "fresh.db"
    upgrades = Upgrades()
    monkeypatch.setattr("mlflow.db.upgrade.main", upgrades)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(prepare_database, [f"sqlite:///{database}"] * 4))
    assert (upgrades.made, upgrades.most_at_once) == (1, 1)


def test_a_database_that_was_deleted_is_prepared_again(tmp_path, monkeypatch):
    database = tmp_path / "fresh.db"
    upgrades = Upgrades()
    monkeypatch.setattr("mlflow.db.upgrade.main", upgrades)
    prepare_database(f"sqlite:///{database}")
    database.unlink()
    prepare_database(f"sqlite:///{database}")
    assert upgrades.made == 2


def test_a_database_whose_making_was_cut_short_is_not_there_and_is_made_anew(tmp_path, monkeypatch):
    database = tmp_path / "fresh.db"

    def killed_half_way(arguments, *, standalone_mode):
        (uri,) = arguments
        Path(uri.removeprefix("sqlite:///")).write_text("half of the tables")
        raise SystemExit

    monkeypatch.setattr("mlflow.db.upgrade.main", killed_half_way)
    with pytest.raises(SystemExit):
        prepare_database(f"sqlite:///{database}")
    assert not database.exists()
    monkeypatch.setattr("mlflow.db.upgrade.main", Upgrades())
    prepare_database(f"sqlite:///{database}")
    assert database.read_text() == ""


def test_a_server_prepares_its_own_database(monkeypatch):
    monkeypatch.setattr("mlflow.db.upgrade.main", lambda *_, **__: pytest.fail("a server's database is not ours to migrate"))
    prepare_database("http://mlflow.example:5000")


class Upgrades:
    """Stands in for MLflow's migration, which takes seconds, and counts how many run at once."""

    def __init__(self):
        self.made = self.active = self.most_at_once = 0

    def __call__(self, arguments, *, standalone_mode):
        assert not standalone_mode
        (uri,) = arguments
        self.active += 1
        self.most_at_once = max(self.most_at_once, self.active)
        time.sleep(0.02)
        Path(uri.removeprefix("sqlite:///")).touch()
        self.made += 1
        self.active -= 1
