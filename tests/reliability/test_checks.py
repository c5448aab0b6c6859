"""The crash harness sees what it is there to see: a check that finds nothing in a damaged home would pass every kill."""

from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from tests.reliability.crash_report import BEGIN, END, CrashReport, Trial, write_into_page
from tests.reliability.kills import Target, draw_kills
from tests.reliability.leftovers import leftovers
from tests.reliability.planted_home import UNIVERSE, PlantedHome, Scenario
from tests.reliability.registry_faults import Serving, registry_faults
from tests.reliability.resumption import Resumption
from tests.reliability.retrain_command import Scope
from tests.reliability.stored_faults import stored_faults
from toto_ops.storage.store import ArtefactKey, ArtefactStore

KEY = ArtefactKey(UNIVERSE, "panel")


@pytest.fixture
def planted(tmp_path: Path) -> PlantedHome:
    """A home with one whole artefact."""
    home = PlantedHome(tmp_path)
    store = ArtefactStore(home.root)
    store.set_latest(store.put(KEY, "inputs", lambda folder: (folder / "table").write_text("whole") and None))
    return home


def only(planted: PlantedHome, pattern: str) -> Path:
    (found,) = planted.root.glob(f"live/{UNIVERSE}/panel/{pattern}")
    return found


def half_written_document(planted: PlantedHome) -> None:
    (planted.root / "live" / UNIVERSE / "serving.json").write_text('{"retrain_id": "a')


def changed_artefact(planted: PlantedHome) -> None:
    only(planted, "*/table").write_text("half")


def incomplete_artefact(planted: PlantedHome) -> None:
    only(planted, "*/artefact.json").unlink()


def dangling_pointer(planted: PlantedHome) -> None:
    folder = only(planted, "*/artefact.json").parent
    folder.rename(folder.with_name(".gone"))


def half_written_checkpoint(planted: PlantedHome) -> None:
    path = planted.root / "checkpoints" / "last.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x10\x00")


def half_written_trial(planted: PlantedHome) -> None:
    path = planted.root / "live" / UNIVERSE / "trials" / "0.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")


def test_a_whole_store_has_no_faults(planted: PlantedHome) -> None:
    PlantedHome.prepare(planted.folder)
    assert stored_faults(planted) == []


@pytest.mark.parametrize(
    "damage",
    [
        half_written_document,
        changed_artefact,
        incomplete_artefact,
        dangling_pointer,
        half_written_checkpoint,
        half_written_trial,
    ],
)
def test_damage_is_seen(planted: PlantedHome, damage: Callable[[PlantedHome], None]) -> None:
    PlantedHome.prepare(planted.folder)
    damage(planted)
    assert stored_faults(planted) != []


def test_a_champion_that_is_gone_is_a_fault_and_one_that_never_was_is_none(planted: PlantedHome) -> None:
    assert registry_faults(planted, served_before=None) == []
    (fault,) = registry_faults(planted, served_before=Serving(3, "inputs", "weights"))
    assert "version 3 served" in fault


def test_a_held_lock_is_seen(planted: PlantedHome) -> None:
    (planted.root / "locks").mkdir()
    (planted.root / "dagster").mkdir()
    (planted.root / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    assert leftovers(planted) == []
    with FileLock(planted.root / "locks" / f"{UNIVERSE}.lock"):
        (fault,) = leftovers(planted)
    assert fault.endswith("planted.lock is held")


@pytest.mark.parametrize(
    ("found", "written", "resumable", "resumed"),
    [
        (4, (5, 6, 7), True, True),
        (4, (1, 2, 3), True, False),
        (1, (1, 2), True, False),
        (0, (1, 2), False, False),
        (16, (), False, False),
    ],
)
def test_a_training_that_went_on_is_told_from_one_that_began_anew(
    found: int, written: tuple[int, ...], resumable: bool, resumed: bool
) -> None:
    resumption = Resumption(found, written)
    assert (resumption.resumable, resumption.resumed) == (resumable, resumed)


def test_twenty_kills_cover_every_target_with_either_scope_and_scenario_the_same_way_each_time() -> None:
    draw = draw_kills(7, tuple(Scenario))
    kills = [draw(number) for number in range(24)]
    assert kills == [draw_kills(7, tuple(Scenario))(number) for number in range(24)]
    combinations = {(kill.target, kill.scope, kill.scenario) for kill in kills}
    assert len(combinations) == len(Target) * len(Scope) * len(Scenario)
    assert all(0 <= kill.share < 1 for kill in kills)
    assert {kill.target for kill in kills[:3]} == {Target.TRAINING, Target.PROMOTION, Target.ANYWHERE}


def trial(**changes: object) -> Trial:
    undisturbed = {
        "number": 0,
        "scenario": Scenario.FIRST,
        "target": Target.TRAINING,
        "scope": Scope.GROUP,
        "killed_after_s": 20.0,
        "during": "bc_policy",
        "resumable": True,
        "resumed": True,
        "training": "after epoch 4",
        "recovered_in_s": 30.0,
        "harmed": (),
        "unrecovered": (),
    }
    return Trial.model_validate(undisturbed | changes)


@pytest.mark.parametrize(
    "changes", [{"harmed": ("half a document",)}, {"unrecovered": ("a slot is held",)}, {"resumed": False}], ids=str
)
def test_any_fault_of_any_kill_fails_the_whole_run(changes: dict[str, object]) -> None:
    assert CrashReport(seed=1, asked_for=2, trials=(trial(), trial())).passed
    assert not CrashReport(seed=1, asked_for=2, trials=(trial(), trial(**changes))).passed
    assert not CrashReport(seed=1, asked_for=3, trials=(trial(), trial())).passed


def test_figures_replace_those_of_the_run_before_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_into_page(CrashReport(seed=1, asked_for=1, trials=(trial(),)), page)
    text = page.read_text()
    assert (text.startswith("before\n"), text.endswith("\nafter\n"), "old" in text) == (True, True, False)
    assert "| retrainings killed | 1 | 1 |" in text
