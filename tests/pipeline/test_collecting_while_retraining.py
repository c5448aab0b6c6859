"""Collecting while a retraining works: it loses nothing it was promised, and comes to the same result."""

import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assets.run_tags import AS_OF_TAG
from tests.pipeline.conftest import Workbench
from tests.pipeline.planted import START, write_config, write_market
from tests.unit.storage.aged_store import DAY, age
from toto_ops.pipeline.collection import CollectionReport, carry_out, plan_collection
from toto_ops.pipeline.outcome import read_outcome
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retention_marks import Terms
from toto_ops.serving.predict import Predictor
from toto_ops.storage.retraining import RETRAININGS, Retraining

DAYS = 800
OLDEST, NEWEST = 60.0, 40.0
"""Days since what an earlier retraining left was last touched."""


def collect_until(done: threading.Event, project: Project) -> list[CollectionReport]:
    """Collect again and again, each time a little more of what is old, and dawdle between plan and sweep."""
    drawn, days, reports = random.Random(0), OLDEST, []
    while not done.is_set():
        days = max(days - drawn.uniform(0, 2), 1)
        plan = plan_collection(project, Terms(datetime.now(UTC), timedelta(days=days)))
        done.wait(drawn.uniform(0, 0.3))
        reports.append(carry_out(plan))
    return reports


def retrain(bench: Workbench) -> Retraining:
    result = bench.run("planted", **{AS_OF_TAG: (START + timedelta(days=DAYS)).isoformat()})
    assert result.success
    return Retraining(bench.project.store, "planted", result.run_id)


def contents(retraining: Retraining) -> dict[str, str]:
    """Content of everything a retraining used; its Data Docs and evidence name the run and are left out."""
    named = {"data_docs", "evaluation_report"}
    return {str(ref.key): ref.content_hash for ref in retraining.refs() if ref.key.asset not in named}


def forget(project: Project, retraining: Retraining) -> None:
    """Let nothing refer to what a retraining made, and let each artefact be of another age."""
    universe = Path(project.settings.home) / "live" / "planted"
    for pointer in (*universe.rglob("latest.json"), universe / "serving.json", universe / "last_retraining.json"):
        pointer.unlink()
    shutil.rmtree(universe / RETRAININGS / retraining.retrain_id)
    drawn = random.Random(1)
    for seal in universe.rglob("artefact.json"):
        stamp = time.time() - drawn.uniform(NEWEST, OLDEST) * DAY
        os.utime(seal, (stamp, stamp))


@pytest.fixture
def bench(workbench: Callable[..., Workbench], tmp_path: Path) -> Workbench:
    write_market(tmp_path / "bars", DAYS)
    return workbench(write_config(tmp_path / "config", tmp_path / "bars"))


def test_collecting_during_a_retraining_takes_nothing_it_uses(bench: Workbench) -> None:
    project = bench.project
    first = retrain(bench)
    made = contents(first)
    forget(project, first)
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        collecting = pool.submit(collect_until, done, project)
        try:
            second = retrain(bench)
        finally:
            done.set()
    reports = collecting.result()

    # The very same artefacts, whether they were found in time or made again; and every one of them is whole.
    assert contents(second) == made
    for ref in second.refs():
        project.store.local_folder(ref)
    assert len(reports) > 3
    assert sum(row.items for report in reports for row in report.removed) > 0

    # What is in use stays when all of it has grown old, and nothing else does.
    age(Path(project.settings.home) / "live")
    age(Path(project.settings.home) / "checkpoints")
    carry_out(plan_collection(project, Terms(datetime.now(UTC), timedelta(days=30))))
    assert contents(second) == made
    universe = project.universe("planted")
    outcome = read_outcome(project, universe, None)
    assert outcome is not None
    assert Predictor.open(universe, project.store, project.registry).predict("ALPHA", outcome.as_of).symbol == "ALPHA"
    report = carry_out(plan_collection(project, Terms(datetime.now(UTC), timedelta(days=30))))
    assert report.removed == ()
    assert [row.retrain_id for row in report.retrainings] == [second.retrain_id]
