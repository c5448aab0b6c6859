"""Old runs of Dagster: what the UI still shows stays, and what goes leaves nothing behind."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from deploy.run_retention import RunHistory
from toto_ops.configuration import Settings

SYMBOLS = dg.DynamicPartitionsDefinition(name="symbols")
CHECK = dg.AssetCheckKey(dg.AssetKey("panel"), "whole")
LATER = datetime.now(UTC) + timedelta(days=1)
"""A moment after every run of this test has ended."""


@dg.asset(partitions_def=SYMBOLS)
def bars() -> None:
    """One partition per symbol."""


@dg.asset
def panel() -> None:
    """No partitions."""
    print("said by a step")


@dg.asset
def breaks() -> None:
    raise RuntimeError("broken")


@dg.asset_check(asset=panel)
def whole() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


DEFINITIONS = dg.Definitions(
    assets=[bars, panel, breaks],
    asset_checks=[whole],
    jobs=[
        dg.define_asset_job("made", selection=dg.AssetSelection.assets(panel).without_checks()),
        dg.define_asset_job("checked", selection=dg.AssetSelection.checks(whole)),
    ],
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    return tmp_path


@pytest.fixture
def history(home: Path) -> RunHistory:
    history = RunHistory.existing(Settings(home=str(home)))
    assert history is not None
    history.instance.add_dynamic_partitions("symbols", ["BTCUSD", "ETHUSD"])
    return history


def materialise(history: RunHistory, asset: dg.AssetsDefinition, symbol: str | None = None) -> str:
    return dg.materialize([asset], instance=history.instance, partition_key=symbol, raise_on_error=False).run_id


def run(history: RunHistory, job: str) -> str:
    return DEFINITIONS.resolve_job_def(job).execute_in_process(instance=history.instance).run_id


def removable(history: RunHistory, before: datetime = LATER, kept: tuple[str, ...] = ()) -> list[str]:
    return [run.run_id for run in history.removable(before, kept, [CHECK])]


def test_runs_with_the_newest_materialisation_of_a_partition_stay(history: RunHistory) -> None:
    first, other = materialise(history, bars, "BTCUSD"), materialise(history, bars, "ETHUSD")
    again = materialise(history, bars, "BTCUSD")
    assert removable(history) == [first]
    assert {run.run_id for run in history.instance.get_runs()} == {first, other, again}


def test_the_newest_run_of_an_asset_without_partitions_stays(history: RunHistory) -> None:
    runs = [run(history, "made") for _ in range(3)]
    assert removable(history) == runs[:2]


def test_the_newest_failure_of_an_asset_stays(history: RunHistory) -> None:
    runs = [materialise(history, breaks) for _ in range(2)]
    assert removable(history) == runs[:1]


def test_the_newest_result_of_a_check_stays(history: RunHistory) -> None:
    made = run(history, "made")
    checked = [run(history, "checked") for _ in range(2)]
    again = run(history, "made")
    assert removable(history) == [made, checked[0]]
    assert again not in removable(history)


def test_runs_of_retrainings_that_are_kept_stay_and_so_do_recent_ones(history: RunHistory) -> None:
    runs = [run(history, "made") for _ in range(3)]
    assert removable(history, kept=(runs[0],)) == [runs[1]]
    assert removable(history, before=datetime.now(UTC) - timedelta(days=1)) == []


def test_a_removed_run_leaves_no_file_behind(history: RunHistory, home: Path) -> None:
    old, new = run(history, "made"), run(history, "made")
    (stored,) = history.removable(LATER, (), [])
    assert stored.size > 0
    history.remove(stored)
    assert history.instance.get_run_by_id(old) is None
    assert [str(path) for path in home.rglob("*") if old in path.name] == []
    newest = history.instance.get_latest_materialization_event(dg.AssetKey("panel"))
    assert newest is not None
    assert newest.run_id == new
    assert removable(history) == []


def test_retrainings_in_progress_are_known_by_their_root_run_or_backfill(history: RunHistory) -> None:
    ended = materialise(history, panel)
    job = DEFINITIONS.resolve_job_def("made")
    alone = history.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    part = history.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING, tags={"dagster/backfill": "abc"})
    assert history.unfinished_retrainings() == {alone.run_id, "abc"}
    assert removable(history) == []
    assert {ended, part.run_id} <= {run.run_id for run in history.instance.get_runs()}


def test_where_dagster_never_ran_there_is_no_history_and_none_is_begun(tmp_path: Path) -> None:
    assert RunHistory.existing(Settings(home=str(tmp_path / "nothing"))) is None
    assert list(tmp_path.iterdir()) == []
