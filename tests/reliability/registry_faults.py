"""What must hold of the registry: at any moment one incumbent at most and never without evidence; at rest, one story."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.reliability.planted_home import UNIVERSE, PlantedHome
from toto_ops.errors import TotoOpsError
from toto_ops.pipeline.lineage import STANDING_TAG
from toto_ops.registry.events import events
from toto_ops.registry.models import ModelRegistry
from toto_ops.registry.promotion import evidence_of
from toto_ops.registry.versions import CHAMPION, RegisteredVersion
from toto_ops.storage.hashing import value_hash

WEIGHTS = "policy.safetensors"
_NUMBERS = count()


@dataclass(frozen=True)
class Serving:
    """What serves the universe.

    Attributes
    ----------
    weights
        SHA-256 of the champion's weights.
    """

    version: int
    inputs_hash: str
    weights: str


@contextmanager
def registry_now(planted: PlantedHome) -> Iterator[ModelRegistry]:
    """The registry as it is this moment, in a copy of its database.

    MLflow keeps connections open for as long as a process lives, and this one outlives many databases of one path. A
    copy also shows what a reader sees now while an orphan goes on writing.
    """
    folder = planted.folder / "registry-copies"
    folder.mkdir(exist_ok=True)
    copy = folder / f"{next(_NUMBERS)}.db"
    with closing(sqlite3.connect(planted.root / "mlflow.db", timeout=60)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    yield ModelRegistry(f"sqlite:///{copy}")


def serving_now(planted: PlantedHome) -> Serving | None:
    """The champion, or None where there is none."""
    if not _has_champion(planted):
        return None
    with registry_now(planted) as registry:
        champion = _champion(registry)
    return None if champion is None else Serving(champion.version, champion.inputs_hash, champion.files[WEIGHTS])


def registry_faults(planted: PlantedHome, served_before: Serving | None) -> list[str]:
    """Whatever serves must have passed its gates and hold its evidence; where something served, something serves."""
    if not _has_champion(planted):
        return [] if served_before is None else [f"version {served_before.version} served, and now nothing does"]
    with registry_now(planted) as registry:
        champion = _champion(registry)
        return ["no champion any more"] if champion is None else _evidence_faults(registry, champion)


def settled_faults(planted: PlantedHome) -> list[str]:
    """At rest the diary must say how every attempt ended, and end where the champion is, which has its lineage page."""
    with registry_now(planted) as registry:
        champion, diary = _champion(registry), events(registry, UNIVERSE)
        versions = registry.versions(registry.serving_name(UNIVERSE))
    faults = [f"attempt {event.number} ({event.kind}) is still `begun`" for event in diary if event.outcome == "begun"]
    done = [event for event in diary if event.outcome == "done" and event.kind in {"promotion", "rollback"}]
    says = done[-1].version if done else None
    serves = champion.version if champion else None
    if says != serves:
        faults.append(f"the diary ends with version {says}, but version {serves} is champion")
    promoted = {event.version for event in done if event.kind == "promotion"}
    faults += [
        f"version {version.version} says it was promoted; the diary does not"
        for version in versions
        if version.promoted_at is not None and version.version not in promoted
    ]
    if champion is not None and STANDING_TAG not in champion.provenance:
        faults.append(f"{champion.label} serves without a lineage page")
    if len(promoted) != len([event for event in done if event.kind == "promotion"]):
        faults.append("one version was promoted twice")
    return faults


def _has_champion(planted: PlantedHome) -> bool:
    """Whether an alias says so, read from the tables themselves: a database killed while it was made has only some."""
    if not (planted.root / "mlflow.db").exists():
        return False
    with closing(sqlite3.connect(planted.root / "mlflow.db", timeout=60)) as database:
        made = database.execute("SELECT name FROM sqlite_master WHERE name = 'registered_model_aliases'").fetchone()
        query = "SELECT version FROM registered_model_aliases WHERE alias = ?"
        return made is not None and database.execute(query, (CHAMPION,)).fetchone() is not None


def _champion(registry: ModelRegistry) -> RegisteredVersion | None:
    name = registry.serving_name(UNIVERSE)
    number = registry.aliases(name).get(CHAMPION)
    return None if number is None else registry.version(name, number)


def _evidence_faults(registry: ModelRegistry, champion: RegisteredVersion) -> list[str]:
    try:
        folder = registry.files(champion)
        evidence = evidence_of(registry, champion)
    except TotoOpsError as error:
        return [f"the champion serves without its files or evidence: {error}"]
    faults = []
    if not evidence.passed or champion.gates != "passed":
        faults.append(f"{champion.label} serves and did not pass its gates")
    if value_hash(evidence) != champion.evidence_hash:
        faults.append(f"the evidence of {champion.label} is not the one it was registered with")
    if not Path(folder / WEIGHTS).exists():
        faults.append(f"{champion.label} has no weights")
    return faults
