"""What a collection takes away: what nothing needs, once it is old; and what it leaves, each for its reason."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.storage.aged_store import age, content
from toto_ops.configuration import Settings
from toto_ops.errors import BusyError, StorageError
from toto_ops.learning.splits import Span
from toto_ops.market.snapshot import Snapshot, SnapshotEntry, record_entry
from toto_ops.monitoring.staleness import Fingerprint
from toto_ops.pipeline.collection import carry_out, only_collection, plan_collection, plan_collections, report_of
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retention_marks import Terms
from toto_ops.pipeline.retraining_decision import LastRetraining, last_retraining_document
from toto_ops.registry.events import RegistryEvent
from toto_ops.serving.market_view import publish_market
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import ArtefactRef
from toto_ops.training.ledger import Opening, TrialLedger

NOW = datetime.now(UTC)
A_MONTH = Terms(moment=NOW, older_than=timedelta(days=30))


def registered(version: int, retrain_id: str, *, aliases: Sequence[str] = (), gates: str = "failed", promoted: bool = False):
    """A version as far as a collection looks at it."""
    return SimpleNamespace(
        version=version,
        label=f"toto-crypto version {version}",
        retrain_id=retrain_id,
        aliases=tuple(aliases),
        gates=gates,
        promoted_at=NOW if promoted else None,
    )


class RegistryDouble:
    """A registry of given versions and events; real ones are in the pipeline's test."""

    def __init__(self) -> None:
        self.registered: list[SimpleNamespace] = []
        self.diary: dict[str, str] = {}

    def serving_name(self, universe: str) -> str:
        return f"toto-{universe}"

    def versions(self, name: str) -> list[SimpleNamespace]:
        return self.registered if name == "toto-crypto" else []

    def model_tags(self, _name: str) -> dict[str, str]:
        return self.diary


@pytest.fixture
def registry() -> RegistryDouble:
    return RegistryDouble()


@pytest.fixture
def project(tmp_path: Path, registry: RegistryDouble) -> Project:
    (tmp_path / "mlflow.db").touch()
    project = Project(Settings(home=str(tmp_path)))
    project.__dict__["registry"] = registry
    return project


def retrain(project: Project, retrain_id: str, *, panel: str | None = None) -> ArtefactRef:
    """A retraining that used bars and a panel and made a policy, from its checkpoint."""
    retraining = Retraining(project.store, "crypto", retrain_id)
    retraining.resolve_as_of(NOW)
    bars = project.store.put(retraining.key("bars", "BTCUSD"), f"bars of {retrain_id}", content(f"bars of {retrain_id}"))
    retraining.record(bars)
    record_entry(retraining, entry_of(bars))
    made = panel or f"panel of {retrain_id}"
    ref, _ = project.store.get_or_make(retraining.key("panel"), made, content(made))
    retraining.record(ref)
    retraining.record(project.store.put(retraining.key("bc_policy"), f"work-of-{retrain_id}", content(f"policy of {retrain_id}")))
    checkpoint = project.settings.local_root / "checkpoints" / "live" / "crypto" / "bc" / f"work-of-{retrain_id}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "last.safetensors").write_bytes(b"weights")
    return ref


def entry_of(bars: ArtefactRef) -> SnapshotEntry:
    return SnapshotEntry(symbol="BTCUSD", status="included", bars=bars.content_hash, inputs_hash=bars.inputs_hash)


def grow_old(project: Project) -> None:
    age(Path(project.settings.home), days=60)


def stored(project: Project) -> set[str]:
    """Retrainings that can still be looked into, with every artefact they used."""
    found = set()
    for folder in (Path(project.settings.home) / "live" / "crypto" / "retrainings").glob("*"):
        for ref in Retraining(project.store, "crypto", folder.name).refs():
            project.store.local_folder(ref)
        found.add(folder.name)
    return found


def artefacts(project: Project) -> int:
    return sum(1 for seal in (Path(project.settings.home) / "live").rglob("artefact.json"))


def test_what_nothing_needs_goes_once_it_is_old(project: Project) -> None:
    retrain(project, "run-1")
    assert carry_out(plan_collection(project, A_MONTH)).removed == ()
    grow_old(project)
    report = carry_out(plan_collection(project, A_MONTH))
    assert {row.kind: row.items for row in report.removed} == {"artefact": 3, "pointer": 3, "retraining": 1, "checkpoint": 1}
    assert report.removed_bytes > len("bars of run-1")
    assert report.kept == ()
    assert (stored(project), artefacts(project)) == (set(), 0)
    assert list((project.settings.local_root / "checkpoints" / "live" / "crypto" / "bc").iterdir()) == []


def test_planning_takes_nothing_away(project: Project) -> None:
    retrain(project, "run-1")
    grow_old(project)
    plan = plan_collection(project, A_MONTH)
    assert report_of(plan, plan.items).removed_bytes > 0
    assert (stored(project), artefacts(project)) == ({"run-1"}, 3)


def test_what_latest_points_at_stays(project: Project) -> None:
    panel = retrain(project, "run-1")
    project.store.set_latest(panel)
    grow_old(project)
    report = carry_out(plan_collection(project, A_MONTH))
    assert project.store.find(panel.key, panel.inputs_hash) == panel
    assert artefacts(project) == 1
    assert {(row.kind, row.reason) for row in report.kept} == {("artefact", "latest"), ("pointer", "latest")}


def test_what_serves_stays_with_the_run_that_made_it(project: Project) -> None:
    panel = retrain(project, "run-1")
    bars = Retraining(project.store, "crypto", "run-1").ref("bars", "BTCUSD")
    snapshot = Snapshot(universe="crypto", retrain_id="run-1", as_of=NOW, config_hash="", entries=(entry_of(bars),))
    publish_market(project.store, snapshot, panel)
    retrain(project, "run-0")
    grow_old(project)
    report = carry_out(plan_collection(project, A_MONTH))
    assert (stored(project), artefacts(project)) == ({"run-1"}, 3)
    assert [(row.retrain_id, row.reason) for row in report.retrainings] == [("run-1", "served")]


def test_the_last_retraining_stays_with_all_it_used_even_where_nothing_serves(project: Project) -> None:
    retrain(project, "run-0")
    retrain(project, "run-1")
    fingerprint = Fingerprint(sources={}, config_hash="", code_versions={})
    last = LastRetraining(retrain_id="run-1", completed_at=NOW, fingerprint=fingerprint)
    project.store.write_model(last_retraining_document("crypto"), last)
    grow_old(project)
    carry_out(plan_collection(project, A_MONTH))
    assert (stored(project), artefacts(project)) == ({"run-1"}, 3)
    assert (project.settings.local_root / "checkpoints" / "live" / "crypto" / "bc" / "work-of-run-1").exists()


@pytest.mark.parametrize(
    "standing",
    [{"aliases": ["challenger"]}, {"aliases": ["previous"]}, {"promoted": True}, {"gates": "passed"}],
    ids=["a challenger", "what a rollback would put back", "once promoted", "passed its gates"],
)
def test_what_a_registered_model_rests_on_stays(project: Project, registry: RegistryDouble, standing: dict) -> None:
    retrain(project, "run-0")
    retrain(project, "run-1")
    registry.registered = [registered(1, "run-0"), registered(2, "run-1", **standing)]
    grow_old(project)
    report = carry_out(plan_collection(project, A_MONTH))
    assert (stored(project), artefacts(project)) == ({"run-1"}, 3)
    assert [row.retrain_id for row in report.retrainings] == ["run-1"]
    assert report.retrainings[0].reason.startswith("toto-crypto version 2: ")


@pytest.mark.parametrize(("outcome", "stays"), [("done", {"run-1"}), ("failed", {"run-1"}), ("refused", set())])
def test_what_was_promoted_by_the_diary_stays(project: Project, registry: RegistryDouble, outcome: str, stays: set[str]) -> None:
    retrain(project, "run-1")
    registry.registered = [registered(1, "run-1")]
    event = RegistryEvent(
        number=1, universe="crypto", at=NOW, kind="promotion", version=1, instead_of=None, by="ann", why="", outcome=outcome
    )
    registry.diary = {"toto.event.00001": event.model_dump_json()}
    grow_old(project)
    carry_out(plan_collection(project, A_MONTH))
    assert stored(project) == stays


def test_a_retraining_in_progress_stays_however_long_it_takes(project: Project) -> None:
    retrain(project, "run-1")
    retrain(project, "run-2")
    grow_old(project)
    terms = Terms(moment=NOW, older_than=timedelta(days=30), in_progress=frozenset({"run-2"}))
    carry_out(plan_collection(project, terms))
    assert (stored(project), artefacts(project)) == ({"run-2"}, 3)
    works = project.settings.local_root / "checkpoints" / "live" / "crypto" / "bc"
    assert {work.name for work in works.iterdir()} == {"work-of-run-1", "work-of-run-2"}, "whose they are is not known"


def test_a_recent_retraining_keeps_old_artefacts_it_reused(project: Project) -> None:
    retrain(project, "run-1", panel="shared panel")
    grow_old(project)
    retrain(project, "run-2", panel="shared panel")
    shared = Retraining(project.store, "crypto", "run-2").ref("panel")
    age(Path(str(project.store.place(shared))))
    report = carry_out(plan_collection(project, A_MONTH))
    assert (stored(project), artefacts(project)) == ({"run-2"}, 3)
    assert [(row.retrain_id, row.reason) for row in report.retrainings] == [("run-2", "recent")]


def test_what_is_reused_between_plan_and_sweep_stays(project: Project) -> None:
    panel = retrain(project, "run-1")
    grow_old(project)
    plan = plan_collection(project, A_MONTH)
    assert project.store.find(panel.key, panel.inputs_hash) == panel
    report = carry_out(plan)
    assert project.store.local_folder(panel).exists()
    assert {(row.kind, row.reason, row.items) for row in report.kept} == {("artefact", "recent", 1), ("pointer", "recent", 1)}
    assert {row.kind: row.items for row in report.removed}["artefact"] == 2


def test_ledgers_and_attempts_are_never_collected(project: Project) -> None:
    retrain(project, "run-1")
    span = Span(after=NOW - timedelta(days=9), until=NOW)
    opening = Opening(universe="crypto", line="bc", policy="p", span=span, opened_by="run-1", opened_at=NOW)
    TrialLedger(project.store, "crypto").open_test(opening)
    project.store.write_document("crypto/symbol_attempts/XMRUSD.json", {"symbol": "XMRUSD"})
    grow_old(project)
    carry_out(plan_collection(project, A_MONTH))
    assert list(TrialLedger(project.store, "crypto").openings()) == [opening]
    assert project.store.read_document("crypto/symbol_attempts/XMRUSD.json") == {"symbol": "XMRUSD"}


def test_leftovers_of_killed_writers_go_but_not_while_something_runs(project: Project) -> None:
    staging = Path(project.settings.home) / "live" / ".staging" / "staging-abc" / "content"
    staging.mkdir(parents=True)
    (staging / "half").write_text("half")
    grow_old(project)
    busy = Terms(moment=NOW, older_than=timedelta(days=30), in_progress=frozenset({"somebody"}))
    assert carry_out(plan_collection(project, busy)).removed == ()
    assert staging.exists()
    assert [row.kind for row in carry_out(plan_collection(project, A_MONTH)).removed] == ["leftover"]
    assert not staging.exists()


def test_what_cannot_be_read_stops_the_collection_before_it_takes_anything(project: Project) -> None:
    retrain(project, "run-1")
    (Path(project.settings.home) / "live" / "crypto" / "serving.json").write_text("{")
    grow_old(project)
    with pytest.raises(StorageError, match=r"serving\.json"):
        plan_collection(project, A_MONTH)
    assert (stored(project), artefacts(project)) == ({"run-1"}, 3)


def test_a_registry_that_is_lost_does_not_pass_for_an_empty_one(project: Project) -> None:
    retrain(project, "run-1")
    project.store.write_document("crypto/retrainings/run-1/challenger.json", {"name": "toto-crypto", "version": 1})
    (Path(project.settings.home) / "mlflow.db").unlink()
    grow_old(project)
    with pytest.raises(StorageError, match="models of crypto were registered in it"):
        plan_collection(project, A_MONTH)


def test_an_object_store_is_refused_clearly() -> None:
    with pytest.raises(StorageError, match="object store, where nothing is collected"):
        plan_collections(Settings(home="memory://bucket"), A_MONTH)


def test_a_second_collection_is_refused_while_one_is_in_progress(project: Project) -> None:
    with (
        only_collection(project.settings),
        pytest.raises(BusyError, match="another collection"),
        only_collection(project.settings),
    ):
        pass
