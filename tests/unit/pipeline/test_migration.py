"""What the first release stored can be read as it is, migrated once, and worked on as if this release had made it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fixtures.first_release import CHALLENGER, FALLBACK, PROMOTED, RETRAININGS, UNIVERSE, unpack
from tests.unit.storage.broken_disks import FULL, broken_disk, visible
from toto_ops.configuration import VersionedModel
from toto_ops.errors import StorageError
from toto_ops.pipeline.migration import migrate, survey
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.stored_documents import DOCUMENTS, sealed_kinds
from toto_ops.registry.events import RegistryEvent, events

NEWEST_CLOSE = datetime(2022, 5, 20, tzinfo=UTC)


@pytest.fixture
def first_release(tmp_path: Path) -> Project:
    return unpack(tmp_path)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = unpack(tmp_path_factory.mktemp("migrated"))
    migrate(project)
    return project


def counts(project: Project) -> dict[str, tuple[int, int]]:
    return {kind.documents: (kind.current, kind.outdated) for kind in survey(project).kinds}


def stored(project: Project, name: str) -> Path:
    return Path(project.settings.home) / "live" / UNIVERSE / name


def test_a_survey_finds_every_document_and_changes_nothing(first_release: Project) -> None:
    files = visible(Path(first_release.settings.home) / "live")
    found = counts(first_release)
    assert found["RegistryEvent"] == (0, 3)
    assert found["LastRetraining"] == (0, 1)
    assert found["AsOf"] == found["Members"] == found["OfferedChallenger"] == (0, 2)
    assert found["Trial"] == found["Opening"] == found["RetrainingOutcome"] == found["Fingerprint"] == (2, 0)
    assert found["PublishedMarket"] == (1, 0)
    documents = {name for name in files if name.endswith(".json") and "/artefacts/" not in name and "/snapshot/" not in name}
    pointers = {name for name in documents if name.split("/")[1] in {"panel", "evaluation_report"}}
    assert sum(map(sum, found.values())) == len(documents - pointers) + len(events(first_release.registry, UNIVERSE))
    assert visible(Path(first_release.settings.home) / "live") == files


def test_what_the_first_release_stored_is_served_before_and_after_the_migration(first_release: Project) -> None:
    from toto_ops.pipeline.outcome import read_outcome
    from toto_ops.pipeline.retraining_decision import last_retraining
    from toto_ops.registry.history import incumbent, version_detail
    from toto_ops.serving.predict import Predictor

    def answers(project: Project) -> list[object]:
        universe = project.universe(UNIVERSE)
        last = last_retraining(project, universe)
        assert last is not None
        return [
            (last.retrain_id, last.as_of),
            read_outcome(project, universe, None),
            incumbent(project.registry, UNIVERSE),
            version_detail(project.registry, UNIVERSE, CHALLENGER),
            Predictor.open(universe, project.store, project.registry).predict("ALPHA", NEWEST_CLOSE),
        ]

    before = answers(first_release)
    assert before[0] == (RETRAININGS[-1], NEWEST_CLOSE)
    assert migrate(first_release).outdated == 10
    assert answers(Project(first_release.settings)) == before


def test_a_second_migration_finds_nothing_to_do(migrated: Project) -> None:
    files = visible(Path(migrated.settings.home))
    assert migrate(migrated).outdated == 0
    assert visible(Path(migrated.settings.home)) == files


def test_events_of_the_first_version_keep_their_place_and_say_what_was_not_recorded(migrated: Project) -> None:
    name = migrated.registry.serving_name(UNIVERSE)
    entries = [json.loads(text) for tag, text in sorted(migrated.registry.model_tags(name).items()) if "event" in tag]
    assert [entry["schema_version"] for entry in entries] == [2, 2, 2]
    diary = events(migrated.registry, UNIVERSE)
    assert [(event.number, event.kind, event.version) for event in diary] == [
        (1, "promotion", PROMOTED),
        (2, "promotion", CHALLENGER),
        (3, "rollback", PROMOTED),
    ]
    assert {(event.by, event.why, event.outcome) for event in diary} == {("unknown", "not recorded", "done")}


def test_a_migrated_universe_can_be_rolled_back(first_release: Project) -> None:
    from toto_ops.registry.history import incumbent
    from toto_ops.registry.promotion import rollback

    migrate(first_release)
    rollback(first_release.registry, UNIVERSE, by="tester", why="to see that it works")
    serving = incumbent(first_release.registry, UNIVERSE)
    assert serving is not None
    assert (serving.version, serving.is_fallback) == (FALLBACK, True)
    assert [event.number for event in events(first_release.registry, UNIVERSE)] == [1, 2, 3, 4]


def test_every_namespace_is_migrated(first_release: Project) -> None:
    replay = Project(first_release.settings, "replay")
    replay.store.put(replay.retraining(replay.universe(UNIVERSE), "r").key("panel"), "inputs", lambda _: None)
    replay.store.write_document(f"{UNIVERSE}/retrainings/r/as_of.json", {"as_of": "2020-01-01T00:00:00Z"})
    assert migrate(first_release).outdated == 11
    assert replay.store.read_document(f"{UNIVERSE}/retrainings/r/as_of.json") == {
        "as_of": "2020-01-01T00:00:00Z",
        "schema_version": 1,
    }


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("serving.json", '{"schema_version": 99}', "schema_version 99 cannot be read; this release reads 1"),
        ("last_retraining.json", '{"retrain_id": "x"}', "fingerprint: Field required"),
        ("serving.json", '{"snapshot": ', "is not valid JSON"),
        (f"retrainings/{RETRAININGS[0]}/as_of.json", "[]", "is not a JSON object"),
    ],
)
def test_a_document_that_cannot_be_read_is_named_and_nothing_is_changed(
    first_release: Project, name: str, content: str, says: str
) -> None:
    stored(first_release, name).write_text(content)
    before = visible(Path(first_release.settings.home) / "live"), first_release.registry.model_tags(f"toto-{UNIVERSE}")
    with pytest.raises(StorageError) as raised:
        migrate(first_release)
    assert says in str(raised.value)
    assert name in str(raised.value)
    assert "none was changed" in str(raised.value)
    assert before == (visible(Path(first_release.settings.home) / "live"), first_release.registry.model_tags(f"toto-{UNIVERSE}"))


def test_an_unreadable_entry_of_the_diary_is_named_with_both_versions(first_release: Project) -> None:
    client, name = first_release.registry.tracking.client, first_release.registry.serving_name(UNIVERSE)
    client.set_registered_model_tag(name, "toto.event.00002", '{"schema_version": 7}')
    with pytest.raises(StorageError, match=r"toto\.event\.00002.*schema_version 7 cannot be read; this release reads 1 and 2"):
        migrate(first_release)
    client.set_registered_model_tag(name, "toto.event.00002", '{"schema_version": 1, "universe": "planted"}')
    with pytest.raises(StorageError, match=r"toto\.event\.00002.*not as that version was.*kind"):
        events(first_release.registry, UNIVERSE)


def test_a_migration_that_a_full_disk_interrupts_is_finished_by_the_next(first_release: Project) -> None:
    with broken_disk(Path(first_release.settings.home), FULL, 24), pytest.raises(StorageError, match="no space is left"):
        migrate(first_release)
    left = survey(first_release).outdated
    assert 0 < left < 10
    assert migrate(first_release).outdated == left
    assert survey(first_release).outdated == 0


def test_what_lies_inside_artefacts_stays_and_is_reported_where_it_can_be_read_no_more(first_release: Project) -> None:
    manifest = next(Path(first_release.settings.home).glob(f"live/{UNIVERSE}/panel/*/panel.json"))
    assert survey(first_release).unreadable_artefacts == ()
    manifest.write_text('{"schema_version": 7}')
    (line,) = migrate(first_release).unreadable_artefacts
    assert line.endswith("panel.json is of version 7; this release writes 2")
    assert manifest.read_text() == '{"schema_version": 7}'


def test_a_home_where_nothing_was_stored_has_nothing_to_migrate(tmp_path: Path, first_release: Project) -> None:
    settings = first_release.settings.model_copy(update={"home": str(tmp_path / "fresh")})
    assert survey(Project(settings)).kinds == ()
    assert not (tmp_path / "fresh").exists()


def test_every_versioned_document_of_the_library_has_a_place_in_the_migration() -> None:
    """A new kind of document is migrated, sealed, part of another one, or configuration: decide which."""
    import pkgutil
    from importlib import import_module

    import toto_ops

    for module in pkgutil.walk_packages(toto_ops.__path__, "toto_ops."):
        import_module(module.name)
    configuration = {"UniverseFile", "TrainingConfig", "GateConfig", "StrategyConfig", "AlertsConfig", "ForecastingConfig"}
    parts = {"Snapshot", "ForecastEvaluation"}
    placed = {kind.model.__name__ for kind in (*DOCUMENTS, *sealed_kinds())} | {RegistryEvent.__name__}
    in_library = {kind.__name__ for kind in VersionedModel.__subclasses__() if kind.__module__.startswith("toto_ops.")}
    assert in_library == placed | configuration | parts
