"""Of two retrainings of one universe the later one gives way, whatever routes they came by."""

import time
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.types import DaemonHeartbeat

from assets.exclusive import in_progress, queued, require_idle, require_only_retraining, require_unfinished
from assets.run_processes import launcher_identity
from assets.run_tags import BACKFILL_TAG, UNIVERSE_TAG
from tests.unit.assets.run_samples import (
    DEAD_LAUNCHER,
    ELSEWHERE,
    ended_process,
    of_a_command_line,
    of_the_ui,
    queued_run,
    started_run,
)
from toto_ops.configuration import Settings
from toto_ops.errors import BusyError
from toto_ops.universes import load_universes

CRYPTO = load_universes(Settings()).universe("crypto")
BARS = dg.AssetKey(["crypto", "bars"])


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def at_bars(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """What a run does when its `bars` step begins."""
    require_only_retraining(SimpleNamespace(instance=instance, run=run), CRYPTO)  # type: ignore[arg-type]


def materialize_all(instance: dg.DagsterInstance, backfill_id: str, requested_at: float) -> dg.DagsterRun:
    """A backfill of the UI, and its run over the bars; no universe tag anywhere."""
    backfill = PartitionBackfill(
        backfill_id,
        BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={},
        backfill_timestamp=requested_at,
        asset_selection=[BARS],
    )
    instance.add_backfill(backfill)
    return started_run(instance, job_name="__ASSET_JOB", asset_selection=frozenset({BARS}), tags={BACKFILL_TAG: backfill_id})


def daemon_was_seen(instance: dg.DagsterInstance, seconds_ago: float) -> None:
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time() - seconds_ago, "BACKFILL", "d1", []))


def test_the_later_of_two_command_lines_gives_way_and_names_the_other(instance: dg.DagsterInstance) -> None:
    first = of_a_command_line(instance, ELSEWHERE)
    second = of_a_command_line(instance, launcher_identity())
    at_bars(instance, first)
    with pytest.raises(BusyError, match=f"{first.run_id} .*command line on elsewhere.* is in progress since 20"):
        at_bars(instance, second)


def test_a_run_of_the_ui_without_the_tag_gives_way_to_an_earlier_one_and_the_other_way_round(
    instance: dg.DagsterInstance,
) -> None:
    first = of_a_command_line(instance, launcher_identity())
    second = started_run(instance, job_name="__ASSET_JOB", asset_selection=frozenset({BARS}))
    third = of_a_command_line(instance, ELSEWHERE)
    at_bars(instance, first)
    for later in (second, third):
        with pytest.raises(BusyError, match=first.run_id):
            at_bars(instance, later)


def test_of_two_backfills_the_one_requested_first_goes_on(instance: dg.DagsterInstance) -> None:
    daemon_was_seen(instance, seconds_ago=5)
    second = materialize_all(instance, "later", time.time() + 10)  # its run happens to be dequeued first
    first = materialize_all(instance, "earlier", time.time())
    at_bars(instance, first)
    with pytest.raises(BusyError, match="backfill earlier of the UI is in progress"):
        at_bars(instance, second)


def test_runs_of_one_backfill_do_not_stand_in_each_others_way(instance: dg.DagsterInstance) -> None:
    daemon_was_seen(instance, seconds_ago=5)
    run = materialize_all(instance, "mine", time.time())
    started_run(instance, job_name="__ASSET_JOB", asset_selection=frozenset({BARS}), tags={BACKFILL_TAG: "mine"})
    at_bars(instance, run)
    assert [one.retrain_id for one in in_progress(instance, CRYPTO)] == ["mine"]


def test_a_backfill_between_two_of_its_runs_is_in_progress_while_the_daemon_works_on_it(instance: dg.DagsterInstance) -> None:
    run = materialize_all(instance, "paused", time.time())
    instance.report_run_failed(run)
    require_idle(instance, CRYPTO)  # no daemon: nobody works on it, and whoever comes need not wait for ever
    daemon_was_seen(instance, seconds_ago=3600)
    require_idle(instance, CRYPTO)
    daemon_was_seen(instance, seconds_ago=5)
    with pytest.raises(BusyError, match="backfill paused"):
        require_idle(instance, CRYPTO)


def test_the_dead_stand_in_nobodys_way(instance: dg.DagsterInstance) -> None:
    of_a_command_line(instance, DEAD_LAUNCHER)
    of_the_ui(instance, ended_process())
    at_bars(instance, of_a_command_line(instance, launcher_identity()))


@pytest.mark.parametrize("tags", [{UNIVERSE_TAG: "crypto"}, {}])
def test_a_run_in_the_queue_is_not_in_progress(instance: dg.DagsterInstance, tags: dict[str, str]) -> None:
    queued_run(instance, tags)
    require_idle(instance, CRYPTO)
    assert len(queued(instance, CRYPTO)) == 1


def test_other_universes_and_finished_runs_do_not_matter(instance: dg.DagsterInstance) -> None:
    of_a_command_line(instance, ELSEWHERE, universe="stocks")
    instance.report_run_failed(of_a_command_line(instance, ELSEWHERE))
    require_idle(instance, CRYPTO)


def test_a_run_on_its_way_counts_for_whoever_wants_to_begin_and_not_for_who_has_begun(instance: dg.DagsterInstance) -> None:
    starting = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTING, tags={UNIVERSE_TAG: "crypto"})
    with pytest.raises(BusyError, match=starting.run_id):
        require_idle(instance, CRYPTO)
    at_bars(instance, of_a_command_line(instance, launcher_identity()))


def test_a_run_that_was_reported_over_while_its_process_went_on_may_not_promote(instance: dg.DagsterInstance) -> None:
    run = of_a_command_line(instance, launcher_identity())
    context = SimpleNamespace(instance=instance, run_id=run.run_id)
    require_unfinished(context)  # type: ignore[arg-type]
    instance.report_run_failed(run, "marked as failed by somebody")
    with pytest.raises(BusyError, match="reported failure meanwhile"):
        require_unfinished(context)  # type: ignore[arg-type]
