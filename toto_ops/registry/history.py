"""What is registered, what serves, and how it came to be: typed rows for `toto-ops registry list` and `show`."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import AwareDatetime

from toto_ops.configuration import StrictModel
from toto_ops.errors import StorageError
from toto_ops.evaluation.judgement.evidence import EVIDENCE_FILE, Criterion
from toto_ops.policies.contract import read_manifest
from toto_ops.registry.events import RegistryEvent
from toto_ops.registry.models import ModelRegistry
from toto_ops.registry.promotion import evidence_of
from toto_ops.registry.standing import Succession, succession_of
from toto_ops.registry.versions import CHAMPION, Gates, RegisteredVersion, serving_version


class RegistryRow(StrictModel):
    """One version that was offered to serve a universe.

    Attributes
    ----------
    serves
        Whether this version answers now.
    gates
        `passed`, `failed`, `quarantined` (too good to be true) or `not judged`.
    replaced
        Champion it replaced.
    frozen
        Who froze promotions of its universe, when and why; None where they are free.
    """

    universe: str
    model: str
    version: int
    line: str
    aliases: tuple[str, ...]
    serves: bool
    gates: Gates
    created_at: AwareDatetime
    promoted_at: AwareDatetime | None
    rolled_back_at: AwareDatetime | None
    replaced: int | None
    knows_until: AwareDatetime | None
    retrain_id: str
    data_hash: str
    inputs_hash: str
    code_version: str
    frozen: str | None


class VersionDetail(StrictModel):
    """Everything a user must be able to answer for one version: data, code, tests passed, what it replaced.

    Attributes
    ----------
    symbols
        What it was trained on.
    criteria
        The gate table; empty for a version that was not judged.
    files
        SHA-256 of each file.
    run_id
        MLflow run of the training.
    provenance
        Git revision, Dagster run, parity of the ONNX model.
    """

    row: RegistryRow
    symbols: tuple[str, ...]
    config: dict[str, object]
    metrics: dict[str, float]
    criteria: tuple[Criterion, ...]
    caveats: tuple[str, ...]
    files: dict[str, str]
    source: str
    run_id: str | None
    provenance: dict[str, str]
    events: tuple[RegistryEvent, ...]


class Incumbent(StrictModel):
    """What serves a universe: its champion, else its fallback."""

    model: str
    version: int
    line: str
    is_fallback: bool


def registry_table(registry: ModelRegistry, universes: Sequence[str]) -> tuple[RegistryRow, ...]:
    """Every version offered to serve these universes, newest first within each."""
    rows: list[RegistryRow] = []
    for universe in universes:
        succession = succession_of(registry, universe)
        rows += [_row(version, succession) for version in reversed(succession.versions)]
    return tuple(rows)


def version_detail(registry: ModelRegistry, universe: str, version: int) -> VersionDetail:
    """All that is known of one version of a universe's serving model.

    Raises
    ------
    StorageError
        If it does not exist, or its files are not those registered.
    """
    name = registry.serving_name(universe)
    registered = registry.version(name, version)
    folder = registry.files(registered)
    manifest = read_manifest(folder)
    evidence = evidence_of(registry, registered) if EVIDENCE_FILE in registered.files else None
    succession = succession_of(registry, universe)
    return VersionDetail(
        row=_row(registered, succession),
        symbols=manifest.symbols,
        config=manifest.config,
        metrics=manifest.metrics,
        criteria=evidence.criteria if evidence else (),
        caveats=evidence.caveats if evidence else (),
        files=dict(registered.files),
        source=registered.source,
        run_id=registered.run_id,
        provenance=dict(registered.provenance),
        events=succession.events_about(version),
    )


def incumbent(registry: ModelRegistry, universe: str) -> Incumbent | None:
    """What serves a universe now; None before anything was registered."""
    version = incumbent_version(registry, universe)
    if version is None:
        return None
    return Incumbent(model=version.name, version=version.version, line=version.line, is_fallback=CHAMPION not in version.aliases)


def incumbent_version(registry: ModelRegistry, universe: str) -> RegisteredVersion | None:
    """The registered version that serves a universe now."""
    name = registry.serving_name(universe)
    number = serving_version(registry.aliases(name))
    return None if number is None else registry.version(name, number)


def require_incumbent(registry: ModelRegistry, universe: str) -> RegisteredVersion:
    """As `incumbent_version`, but it must exist.

    Raises
    ------
    StorageError
        If nothing was registered for the universe yet.
    """
    version = incumbent_version(registry, universe)
    if version is None:
        raise StorageError(
            "no model is registered", where=registry.serving_name(universe), remedy=f"run `toto-ops retrain {universe}` first"
        )
    return version


def _row(version: RegisteredVersion, succession: Succession) -> RegistryRow:
    serving, frozen = succession.serving, succession.frozen
    return RegistryRow(
        universe=version.universe,
        model=version.name,
        version=version.version,
        line=version.line,
        aliases=version.aliases,
        serves=serving is not None and version.version == serving.version,
        gates=version.gates,
        created_at=version.created_at,
        promoted_at=version.promoted_at,
        rolled_back_at=version.rolled_back_at,
        replaced=version.replaced,
        knows_until=version.knows_until,
        retrain_id=version.retrain_id,
        data_hash=version.data_hash,
        inputs_hash=version.inputs_hash,
        code_version=version.code_version,
        frozen=frozen.signed if frozen else None,
    )
