"""The whole loop on a market with a planted signal: promotion, second promotion, rollback, and the quiet rerun.

What deserves promotion is promoted through the same code that refuses everything else.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import dagster as dg

from assets.run_tags import AS_OF_TAG
from tests.pipeline.conftest import Workbench
from tests.pipeline.planted import START, SYMBOLS, write_config, write_market
from toto_ops.pipeline.lineage import page_of_incumbent
from toto_ops.pipeline.market_steps import snapshot_of
from toto_ops.pipeline.outcome import read_outcome
from toto_ops.pipeline.retraining_decision import assess
from toto_ops.registry.events import events
from toto_ops.registry.history import incumbent, registry_table
from toto_ops.serving.predict import Predictor

FIRST_DAYS, SECOND_DAYS = 1300, 1600


def as_of(days: int) -> dict[str, str]:
    """Stand at the close of the newest bar: this feed is not one that ended years ago."""
    return {AS_OF_TAG: (START + timedelta(days=days)).isoformat()}


def test_a_planted_signal_is_promoted_twice_and_rolled_back(workbench: Callable[..., Workbench], tmp_path: Path) -> None:
    bars = tmp_path / "bars"
    write_market(bars, FIRST_DAYS)
    bench = workbench(write_config(tmp_path / "config", bars, promotion="manual"))
    project, universe = bench.project, bench.project.universe("planted")

    # First retraining: nothing serves yet, the challenger passes every gate and waits for a person.
    assert bench.run("planted", **as_of(FIRST_DAYS)).success
    first = read_outcome(project, universe, None)
    assert first is not None
    assert not first.promoted
    assert "passed every gate and waits for approval: toto-ops registry promote planted --version 1" in first.decision
    assert {row.symbol: row.status for row in first.symbols} == dict.fromkeys(sorted(SYMBOLS), "included")
    waiting = incumbent(project.registry, "planted")
    assert waiting is not None
    assert waiting.is_fallback

    # Approved in the UI: it becomes champion.
    assert change(bench, "planted_promote", why="looks right").success
    serving = incumbent(project.registry, "planted")
    assert serving is not None
    assert (serving.line, serving.version, serving.is_fallback) == ("bc", 1, False)

    # Its lineage page is where the asset points, and tells what it was made of and who approved it.
    page = page_of_incumbent(project, universe)
    assert champion_metadata(bench)["lineage"] == dg.MetadataValue.url(page.url)
    assert page.path is not None
    told = page.path.read_text()
    made_of = snapshot_of(project, project.retraining(universe, first.retrain_id), universe)
    for said in (made_of.data_hash, project.config_hash(universe), "cadence: ", "looks right", "--as-of 2021-07-24T00:00:00"):
        assert said in told

    # Nothing changed: nothing is stale.
    assert not assess(project, universe).stale

    # New bars, and promotion left to the gates: retrained, compared with the champion on bars neither has seen, promoted.
    write_market(bars, SECOND_DAYS)
    bench = workbench(write_config(tmp_path / "config", bars))
    project, universe = bench.project, bench.project.universe("planted")
    assert assess(project, universe).reason.startswith("new bars or rewritten history")
    assert bench.run("planted", **as_of(SECOND_DAYS)).success
    second = read_outcome(project, universe, None)
    assert second is not None
    assert second.promoted, second.decision
    assert any("champion" in row.criterion for row in second.criteria)

    # Serving answers from the newest bar, through the champion.
    answer = Predictor.open(universe, project.store, project.registry).predict("ALPHA", second.as_of)
    assert not answer.is_fallback
    assert answer.bar_close < answer.valid_until
    newest = incumbent(project.registry, "planted")
    assert newest is not None
    assert (answer.version, answer.version > serving.version) == (newest.version, True)

    # Rollback: the predecessor serves again, and the withdrawn version is marked.
    assert change(bench, "planted_rollback", why="it trades too much", by="ann").success
    rows = {row.version: row for row in registry_table(project.registry, ["planted"])}
    assert rows[serving.version].serves
    assert not rows[newest.version].serves
    assert rows[newest.version].rolled_back_at is not None

    # The same policy does not come back by itself: its retraining succeeds, and promotes nothing.
    assert bench.run("planted", **as_of(SECOND_DAYS)).success
    third = read_outcome(project, universe, None)
    assert third is not None
    assert not third.promoted
    assert "rolled back" in third.decision
    still = incumbent(project.registry, "planted")
    assert still is not None
    assert still.version == serving.version

    # The diary tells all of it.
    diary = events(project.registry, "planted")
    assert [(event.kind, event.version, event.outcome) for event in diary] == [
        ("promotion", serving.version, "done"),
        ("promotion", newest.version, "done"),
        ("rollback", serving.version, "done"),
        ("promotion", newest.version, "refused"),
    ]
    assert diary[0].by.startswith("Dagster run ")
    assert (diary[1].by, diary[1].why) == (f"retraining {second.retrain_id}", "passed every gate; retrained because: asked for")
    assert (diary[2].by, diary[2].why) == ("ann", "it trades too much")


def champion_metadata(bench: Workbench) -> Mapping[str, dg.MetadataValue]:
    """What the UI shows of the champion."""
    event = bench.instance.get_latest_materialization_event(dg.AssetKey(["planted", "champion"]))
    assert event is not None
    assert event.asset_materialization is not None
    return event.asset_materialization.metadata


def change(bench: Workbench, job: str, **config: str) -> dg.ExecuteInProcessResult:
    """Run one of the jobs that people launch from the UI."""
    run_config = {"ops": {job: {"config": config}}}
    return bench.definitions.resolve_job_def(job).execute_in_process(run_config, instance=bench.instance, raise_on_error=False)
