"""What a retraining would use, what the last one used, and which may still settle."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from toto_ops.configuration import Settings
from toto_ops.errors import PromotionError
from toto_ops.market.sources import open_source
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import assess, last_retraining, note_fingerprint, remember, require_newest
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import Universe

MOMENT = datetime(2021, 7, 7, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(Settings(home=str(tmp_path), env="local"))


@pytest.fixture
def universe(project: Project) -> Universe:
    return project.universe("crypto")


def noted(project: Project, universe: Universe, retrain_id: str, as_of: datetime) -> Retraining:
    retraining = project.retraining(universe, retrain_id)
    retraining.resolve_as_of(as_of)
    note_fingerprint(project, retraining, universe)
    return retraining


def test_the_bundled_universe_is_due_until_a_retraining_is_remembered(project: Project, universe: Universe) -> None:
    before = assess(project, universe)
    assert (before.stale, before.reason) == (True, "never retrained")
    assert before.symbols == universe_symbols(universe, open_source(universe))
    retraining = noted(project, universe, "one", MOMENT)
    assert assess(project, universe).stale  # begun is not done
    remember(project, retraining, universe, MOMENT)
    assert not assess(project, universe).stale
    assert last_retraining(project, universe) == retraining


def test_what_counts_is_what_was_there_when_the_retraining_began(project: Project, universe: Universe) -> None:
    retraining = noted(project, universe, "one", MOMENT)
    changed = universe.model_copy(update={"minimum_bars": 301})
    note_fingerprint(project, retraining, changed)
    remember(project, retraining, universe, MOMENT)
    assert not assess(project, universe).stale
    assert assess(project, changed).reason == "configuration changed"


def test_a_symbol_that_appeared_after_the_launch_is_due_next_time(project: Project, universe: Universe) -> None:
    retraining = project.retraining(universe, "one")
    *launched_for, late = assess(project, universe).symbols
    note_fingerprint(project, retraining, universe, launched_for)
    remember(project, retraining, universe, MOMENT)
    assert assess(project, universe).reason == f"new symbols: {late}"


def test_a_retraining_that_stands_before_the_last_one_may_not_settle(project: Project, universe: Universe) -> None:
    remember(project, noted(project, universe, "newer", MOMENT), universe, MOMENT)
    require_newest(project, noted(project, universe, "same", MOMENT), universe)
    require_newest(project, noted(project, universe, "later", MOMENT + timedelta(days=1)), universe)
    with pytest.raises(PromotionError, match="before the last retraining"):
        require_newest(project, noted(project, universe, "older", MOMENT - timedelta(days=1)), universe)


def test_another_namespace_neither_sees_nor_holds_up_the_live_one(project: Project, universe: Universe) -> None:
    remember(project, noted(project, universe, "live", MOMENT), universe, MOMENT)
    replay = Project(project.settings, "replay")
    assert last_retraining(replay, universe) is None
    remember(replay, noted(replay, universe, "older", MOMENT - timedelta(days=400)), universe, MOMENT)
    require_newest(replay, noted(replay, universe, "older still", MOMENT - timedelta(days=500)), universe)
