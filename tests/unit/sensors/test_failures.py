"""A failed run leaves one JSON line that says which step failed, in which universe, and why."""

import json
import logging

import dagster as dg
import pytest

from assets.run_tags import UNIVERSE_TAG
from sensors.failures import failure_record, root_cause, run_failure_log
from toto_ops.errors import SourceError, StorageError

PROBLEM = SourceError("is missing", where="bars", remedy="look for it")


@dg.op
def read() -> None:
    raise PROBLEM


@dg.op
def store() -> None:
    try:
        raise OSError(28, "No space left on device")
    except OSError as error:
        raise StorageError("no space is left on the disk", where="bars", remedy="free some space") from error


@dg.job
def out_of_space() -> None:
    store()


@dg.op
def compute() -> int:
    return 1


@dg.job(tags={UNIVERSE_TAG: "crypto"})
def broken() -> None:
    read()
    compute()


def failed_run(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return broken.execute_in_process(instance=instance, raise_on_error=False)


def test_a_failed_run_is_logged_as_one_json_line(caplog: pytest.LogCaptureFixture) -> None:
    instance = dg.DagsterInstance.ephemeral()
    result = failed_run(instance)
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failure_log",
        dagster_event=result.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=result.dagster_run,
    ).for_run_failure()
    with caplog.at_level(logging.ERROR, logger="toto_ops.run_failure"):
        run_failure_log(dg.DefaultSensorStatus.RUNNING)(context)
    (line,) = (record.getMessage() for record in caplog.records if record.name == "toto_ops.run_failure")
    assert "\n" not in line
    logged = json.loads(line)
    assert (logged["event"], logged["run_id"], logged["job"]) == ("run_failure", result.run_id, "broken")
    assert logged["universe"] == "crypto"
    assert logged["failed_steps"].keys() == {"read"}
    assert str(PROBLEM) in logged["failed_steps"]["read"]


def test_an_error_that_says_what_to_do_is_told_rather_than_what_it_was_raised_from() -> None:
    result = out_of_space.execute_in_process(instance=dg.DagsterInstance.ephemeral(), raise_on_error=False)
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    assert "free some space" in root_cause(failure)


def test_the_record_of_a_run_that_failed_between_steps_names_none() -> None:
    run = dg.DagsterRun(job_name="crypto_retrain", run_id="r1")
    assert failure_record(run, "the process was killed", {}) == {
        "event": "run_failure",
        "run_id": "r1",
        "job": "crypto_retrain",
        "universe": "",
        "failed_steps": {},
        "message": "the process was killed",
    }
