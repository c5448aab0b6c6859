"""A job that runs in the calling process: Ctrl-C is told from a failure."""

import logging
import sqlite3
import threading
from collections.abc import Sequence

import dagster as dg
import pytest

from deploy.execution import _interrupted, _show_progress


def test_ctrl_c_in_a_run_is_told_from_a_failure() -> None:
    @dg.op
    def fails() -> None:
        raise RuntimeError("broken")

    @dg.op
    def is_interrupted() -> None:
        raise dg.DagsterExecutionInterruptedError

    def events(op: dg.OpDefinition) -> Sequence[dg.DagsterEvent]:
        graph = dg.GraphDefinition(name="one_step", node_defs=[op])
        return graph.execute_in_process(raise_on_error=False).all_events

    assert _interrupted(events(is_interrupted))
    assert not _interrupted(events(fails))


def test_an_event_log_that_cannot_be_read_ends_the_progress_and_not_the_run(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full(*_: object, **__: object) -> None:
        with sqlite3.connect(":memory:") as database:
            database.execute("pragma max_page_count = 1")
            database.execute("create table runs (id text)")

    instance = dg.DagsterInstance.ephemeral()
    monkeypatch.setattr(instance, "get_runs", is_full)
    with caplog.at_level(logging.WARNING, logger="deploy.execution"):
        _show_progress(instance, (), threading.Event(), on_event=lambda _: None)
    assert "no space is left on the disk" in caplog.text
