"""Bring what earlier releases stored to the present schema versions.

Every reader accepts the present and the previous version, so nothing has to be migrated at once; but the release after
the next one will not read what is two versions old. Documents are rewritten one by one, each as a whole: a migration
that is interrupted is simply run again.

Two things are never rewritten, since their names or recorded hashes are hashes of their bytes: what lies inside an
artefact, and the files of a registered model. They are read as long as their version is one of the two; an artefact
that no longer is, is made again by the next retraining that needs it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from toto_ops.configuration import StrictModel, VersionedModel, in_words
from toto_ops.errors import StorageError
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.stored_documents import DOCUMENTS, sealed_kinds
from toto_ops.registry.attempts import changes_in_turn
from toto_ops.registry.events import EVENT_TAG, RegistryEvent, event_content, record_event
from toto_ops.registry.models import ModelRegistry
from toto_ops.registry.tracking import is_unmade
from toto_ops.storage.retention import namespaces
from toto_ops.storage.store import ArtefactStore

_VERSION = "schema_version"
_NAMED = 5
"""Documents that cannot be read which one message names; the rest are counted."""


class MigratedKind(StrictModel):
    """Documents of one kind in one namespace.

    Attributes
    ----------
    version
        The one this release writes.
    current, outdated
        Documents of that version already, and of the previous one.
    """

    namespace: str
    documents: str
    version: int
    current: int
    outdated: int


class MigrationReport(StrictModel):
    """What a store holds, and what of it a migration rewrites or has rewritten.

    Attributes
    ----------
    unreadable_artefacts
        Documents inside artefacts that are damaged or of no version this release reads, and why. They stay.
    """

    kinds: tuple[MigratedKind, ...]
    unreadable_artefacts: tuple[str, ...]

    @property
    def outdated(self) -> int:
        """Documents of the previous version."""
        return sum(kind.outdated for kind in self.kinds)


class Document(Protocol):
    """A stored document of any version."""

    @property
    def namespace(self) -> str: ...

    @property
    def model(self) -> type[VersionedModel]:
        """What reads it."""
        ...

    @property
    def where(self) -> str:
        """What it is called in a message."""
        ...

    def read(self) -> dict[str, Any]:
        """The content as it is stored."""
        ...

    def rewrite(self) -> None:
        """Write it again as the present version."""
        ...


@dataclass(frozen=True)
class StoreDocument:
    """A JSON document of the artefact store."""

    store: ArtefactStore
    model: type[VersionedModel]
    name: str

    @property
    def namespace(self) -> str:
        return self.store.namespace

    @property
    def where(self) -> str:
        return f"{self.store.namespace}/{self.name}"

    def read(self) -> dict[str, Any]:
        return self.store.read_document(self.name) or {}

    def rewrite(self) -> None:
        self.store.write_model(self.name, self.model.stored(self.read()))


@dataclass(frozen=True)
class DiaryEntry:
    """One event of the diary of a serving model, in a tag of the registered model."""

    registry: ModelRegistry
    universe: str
    tag: str
    model: type[VersionedModel] = RegistryEvent

    @property
    def namespace(self) -> str:
        return self.registry.namespace

    @property
    def where(self) -> str:
        return f"{self.registry.serving_name(self.universe)}, tag {self.tag}"

    def read(self) -> dict[str, Any]:
        name = self.registry.serving_name(self.universe)
        return event_content(name, self.tag, self.registry.model_tags(name)[self.tag])

    def rewrite(self) -> None:
        with changes_in_turn(self.registry, self.universe):
            record_event(self.registry, RegistryEvent.stored(self.read()))


def survey(project: Project) -> MigrationReport:
    """What a migration would rewrite, in every namespace; nothing is changed.

    Raises
    ------
    StorageError
        If a document is neither of the present nor of the previous version, or is damaged; each is named.
    """
    report, _ = _surveyed(project)
    return report


def migrate(project: Project) -> MigrationReport:
    """Rewrite every document of the previous version as the present one. The caller sees to it that nothing runs.

    Raises
    ------
    StorageError
        As `survey`, and then nothing is changed; or if the disk is full or read-only, and then the documents rewritten
        so far are of the present version and all others as they were.
    """
    report, outdated = _surveyed(project)
    for document in outdated:
        document.rewrite()
    return report


def _surveyed(project: Project) -> tuple[MigrationReport, list[Document]]:
    current: Counter[tuple[str, type[VersionedModel]]] = Counter()
    outdated: list[Document] = []
    faults: list[str] = []
    for document in _documents(project):
        try:
            content = document.read()
            upgraded = document.model.stored(content)
        except (StorageError, ValidationError) as error:
            faults.append(_fault(document, error))
            continue
        if _versions(content) == _versions(upgraded.model_dump(mode="json")):
            current[document.namespace, document.model] += 1
        else:
            outdated.append(document)
    if faults:
        raise _unreadable(project, faults)
    report = MigrationReport(kinds=_counted(current, outdated), unreadable_artefacts=tuple(_unreadable_artefacts(project)))
    return report, outdated


def _documents(project: Project) -> Iterator[Document]:
    stores = _stores(project)
    for store in stores:
        for kind in DOCUMENTS:
            for name in store.matching(kind.pattern):
                yield StoreDocument(store, kind.model, name)
    if is_unmade(project.settings.tracking_uri):
        return
    for store in stores:
        registry = Project(project.settings, store.namespace).registry
        universes = {name.split("/")[0] for name in store.matching("*/*.json")} | set(project.universes.universes)
        for universe in sorted(universes):
            for tag in sorted(registry.model_tags(registry.serving_name(universe))):
                if tag.startswith(EVENT_TAG):
                    yield DiaryEntry(registry, universe, tag)


def _stores(project: Project) -> tuple[ArtefactStore, ...]:
    """Every namespace; `live` first, and also where it holds nothing yet, since its registry may be older than it."""
    root = project.settings.root
    if root.protocol in {"", "file"}:
        names = namespaces(Path(str(root)))
    else:
        names = tuple(sorted(folder.name for folder in root.iterdir() if folder.is_dir())) if root.exists() else ()
    others = (name for name in names if name != project.store.namespace)
    return (project.store, *(ArtefactStore(root, name) for name in others))


def _unreadable_artefacts(project: Project) -> Iterator[str]:
    for store in _stores(project):
        for kind in sealed_kinds():
            present = kind.model.present_version()
            for name in store.matching(kind.pattern):
                try:
                    version = (store.read_document(name) or {}).get(_VERSION, 1)
                except StorageError as error:
                    yield str(error)
                else:
                    if version not in kind.model.readable_versions():
                        yield f"{store.namespace}/{name} is of version {version}; this release writes {present}"


def _versions(content: Any, place: str = "") -> dict[str, Any]:
    """Schema version of a document and of every document inside it, by place."""
    if isinstance(content, dict):
        inside = [_versions(value, f"{place}/{name}") for name, value in content.items()]
        own = {place: content[_VERSION]} if _VERSION in content else {}
        return own | {name: version for found in inside for name, version in found.items()}
    if isinstance(content, list):
        return {name: version for n, item in enumerate(content) for name, version in _versions(item, f"{place}/{n}").items()}
    return {}


def _counted(current: Counter[tuple[str, type[VersionedModel]]], outdated: Iterable[Document]) -> tuple[MigratedKind, ...]:
    behind = Counter((document.namespace, document.model) for document in outdated)
    return tuple(
        MigratedKind(
            namespace=namespace,
            documents=model.__name__,
            version=model.present_version(),
            current=current[namespace, model],
            outdated=behind[namespace, model],
        )
        for namespace, model in sorted(current.keys() | behind.keys(), key=lambda kind: (kind[0], kind[1].__name__))
    )


def _fault(document: Document, error: StorageError | ValidationError) -> str:
    if isinstance(error, StorageError):
        return str(error)
    return f"{document.where}: {in_words(error)}"


def _unreadable(project: Project, faults: list[str]) -> StorageError:
    more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    return StorageError(
        f"{len(faults)} of the stored documents cannot be read, so none was changed: {'; '.join(faults[:_NAMED])}{more}",
        where=str(project.settings.root),
        remedy="migrate with the release that reads them, or restore the named documents from a backup, then run this again",
    )
