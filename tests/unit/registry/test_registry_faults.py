"""MLflow fails at every single call of a promotion and of a rollback: there is one whole incumbent at any time."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.registry.faults import FAULTS, Dead, Fault, failing_at
from tests.unit.registry.memory_client import MemoryClient
from tests.unit.registry.registry_samples import SIGNED, fallback_submission, offer
from toto_ops.errors import PromotionError
from toto_ops.registry.attempts import settle_interrupted
from toto_ops.registry.events import events
from toto_ops.registry.history import incumbent, registry_table
from toto_ops.registry.models import ModelRegistry
from toto_ops.registry.promotion import evidence_of, promote, rollback

UNIVERSE = "faults"


@dataclass(frozen=True)
class Stage:
    """A universe with a fallback, a champion and its challenger; `reset` brings it back to where it began."""

    registry: ModelRegistry
    fallback: int
    first: int
    second: int
    reset: Callable[[], None]

    @property
    def aliases(self) -> dict[str, int]:
        return self.registry.aliases(self.registry.serving_name(UNIVERSE))

    def promote(self) -> None:
        promote(self.registry, UNIVERSE, self.second, **SIGNED)

    def rollback(self) -> None:
        rollback(self.registry, UNIVERSE, **SIGNED)


@pytest.fixture(scope="module")
def on_database(registry: ModelRegistry, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """In MLflow's own database."""
    fallback = registry.register_fallback(fallback_submission(UNIVERSE)).version
    first = offer(registry, UNIVERSE, 1)
    promote(registry, UNIVERSE, first, **SIGNED)
    second = offer(registry, UNIVERSE, 2)
    database, saved = registry.tracking_uri.removeprefix("sqlite:///"), tmp_path_factory.mktemp("faults") / "saved.db"
    copy_database(database, saved)
    return Stage(registry, fallback, first, second, lambda: copy_database(saved, database))


@pytest.fixture
def in_memory(on_database: Stage) -> Stage:
    """The same registered model, without a database: there are hundreds of ways to fail."""
    on_database.reset()
    name = on_database.registry.serving_name(UNIVERSE)
    return kept_in_memory(on_database, MemoryClient.of(on_database.registry.tracking.client, name))


def kept_in_memory(stage: Stage, beginning: MemoryClient) -> Stage:
    registry = ModelRegistry(stage.registry.tracking_uri)

    def reset() -> None:
        registry.tracking.__dict__["client"] = beginning.copy()

    reset()
    return Stage(registry, stage.fallback, stage.first, stage.second, reset)


def copy_database(origin: str | Path, target: str | Path) -> None:
    with sqlite3.connect(origin) as source, sqlite3.connect(target) as copy:
        source.backup(copy)


def break_at(stage: Stage, fault: Fault, operation: Callable[[], None], *calls: int) -> bool:
    """Run an operation whose client fails at these calls; whether it got that far."""
    stage.reset()
    with failing_at(stage.registry, fault, *calls) as client, suppress(PromotionError, ConnectionError, KeyboardInterrupt, Dead):
        operation()
    return client.calls >= calls[0]


def require_one_whole_incumbent(stage: Stage, told: str) -> None:
    serving = incumbent(stage.registry, UNIVERSE)
    assert serving is not None, told
    assert serving.version in (stage.first, stage.second), told
    assert [row.version for row in registry_table(stage.registry, [UNIVERSE]) if row.serves] == [serving.version], told
    assert evidence_of(stage.registry, stage.registry.version(serving.model, serving.version)).passed, told


def require_closed_diary(stage: Stage, told: str) -> None:
    diary = events(stage.registry, UNIVERSE)
    assert [event.number for event in diary] == list(range(1, len(diary) + 1)), told
    assert "begun" not in {event.outcome for event in diary}, told
    assert [event.version for event in diary if event.outcome == "done"][-1] == stage.aliases["champion"], told
    assert all(event.detail for event in diary if event.outcome == "failed"), told


def require_as_before(stage: Stage, told: str) -> None:
    assert stage.aliases == {"challenger": stage.second, "champion": stage.first, "fallback": stage.fallback}, told
    rows = {row.version: row for row in registry_table(stage.registry, [UNIVERSE])}
    assert (rows[stage.second].replaced, rows[stage.second].promoted_at) == (None, None), told


def require_promoted(stage: Stage, told: str) -> None:
    expected = {"challenger": stage.second, "champion": stage.second, "previous": stage.first, "fallback": stage.fallback}
    assert stage.aliases == expected, told
    rows = {row.version: row for row in registry_table(stage.registry, [UNIVERSE])}
    assert (rows[stage.second].replaced, rows[stage.second].promoted_at is not None) == (stage.first, True), told
    assert [rows[version].rolled_back_at for version in (stage.first, stage.second)] == [None, None], told


def require_rolled_back(stage: Stage, told: str) -> None:
    assert stage.aliases == {"challenger": stage.second, "champion": stage.first, "fallback": stage.fallback}, told
    rows = {row.version: row for row in registry_table(stage.registry, [UNIVERSE])}
    assert (rows[stage.first].rolled_back_at, rows[stage.second].rolled_back_at is not None) == (None, True), told


def require_all_or_nothing(stage: Stage, fault: Fault, *later: int) -> int:
    """Let a promotion fail at its first, second, … call, and at those so many later; returns how many there were."""
    call = 0
    while break_at(stage, fault, stage.promote, call := call + 1, *(call + distance for distance in later)):
        told = f"at call {call}"
        require_one_whole_incumbent(stage, told)
        if stage.aliases["champion"] == stage.second:  # moved last: all that follows from it is there already
            require_promoted(stage, told)
        settle_interrupted(stage.registry, UNIVERSE)
        if stage.aliases["champion"] == stage.first:
            require_as_before(stage, told)
        stage.promote()
        require_promoted(stage, told)
        require_closed_diary(stage, told)
    return call - 1


@pytest.mark.parametrize("kind", FAULTS)
def test_a_promotion_that_fails_at_any_call_is_all_or_nothing_and_can_be_repeated(in_memory: Stage, kind: str) -> None:
    assert require_all_or_nothing(in_memory, FAULTS[kind]) > 15


def test_the_same_holds_in_a_real_database(on_database: Stage) -> None:
    assert require_all_or_nothing(on_database, FAULTS["dies_after"]) > 15


@pytest.mark.parametrize("distance", range(1, 12))
def test_a_repair_that_fails_too_is_made_later(in_memory: Stage, distance: int) -> None:
    assert require_all_or_nothing(in_memory, FAULTS["refuses"], distance) > 15


@pytest.mark.parametrize("kind", FAULTS)
def test_a_rollback_that_fails_at_any_call_is_all_or_nothing_and_can_be_repeated(in_memory: Stage, kind: str) -> None:
    in_memory.promote()
    stage = kept_in_memory(in_memory, in_memory.registry.tracking.client)
    call = 0
    while break_at(stage, FAULTS[kind], stage.rollback, call := call + 1):
        told = f"{kind} at call {call}"
        require_one_whole_incumbent(stage, told)
        if stage.aliases["champion"] == stage.first:
            require_rolled_back(stage, told)
        settle_interrupted(stage.registry, UNIVERSE)
        require_closed_diary(stage, told)
        if stage.aliases["champion"] == stage.second:
            stage.rollback()
            require_closed_diary(stage, told)
        require_rolled_back(stage, told)
    assert call > 15


def test_a_process_that_died_leaves_its_attempt_to_be_closed_with_the_reason(in_memory: Stage) -> None:
    break_at(in_memory, FAULTS["dies"], in_memory.promote, 8)
    assert events(in_memory.registry, UNIVERSE)[-1].outcome == "begun"
    settle_interrupted(in_memory.registry, UNIVERSE)
    closed = events(in_memory.registry, UNIVERSE)[-1]
    assert (closed.outcome, closed.detail) == ("failed", "its process ended before it was finished")


def test_an_interrupted_attempt_is_closed_before_the_process_ends(in_memory: Stage) -> None:
    with failing_at(in_memory.registry, FAULTS["is_interrupted"], 8), pytest.raises(KeyboardInterrupt):
        in_memory.promote()
    closed = events(in_memory.registry, UNIVERSE)[-1]
    assert (closed.outcome, closed.detail.split(":")[0]) == ("failed", "KeyboardInterrupt")


def test_a_promotion_of_which_only_the_answer_was_lost_is_done(in_memory: Stage) -> None:
    with failing_at(in_memory.registry, FAULTS["refuses"], 1000) as client:
        in_memory.promote()
    moved = len(client.names) - client.names[::-1].index("set_registered_model_alias")
    in_memory.reset()
    with failing_at(in_memory.registry, FAULTS["loses_the_answer"], moved):
        done = promote(in_memory.registry, UNIVERSE, in_memory.second, **SIGNED)
    assert (done.outcome, done.replaced) == ("promoted", in_memory.first)
    assert events(in_memory.registry, UNIVERSE)[-1].outcome == "done"


def test_an_error_of_the_registry_says_what_serves_and_what_to_do(in_memory: Stage) -> None:
    in_memory.reset()
    with failing_at(in_memory.registry, FAULTS["refuses"], 8), pytest.raises(PromotionError, match="what serves is as it was"):
        in_memory.promote()
    with failing_at(in_memory.registry, FAULTS["goes_away"], 8), pytest.raises(PromotionError, match="puts the rest in order"):
        in_memory.promote()
