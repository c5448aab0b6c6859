"""Collection: what nothing needs any more and nobody touched for a while is taken away, and the rest is accounted for.

A plan is made first, by reading alone; it is what a dry run shows. Carrying it out asks once more, for each thing,
whether it was touched since. Ledgers of trials and openings, attempts of symbols, and MLflow are never collected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from toto_ops.configuration import Settings, StrictModel
from toto_ops.errors import BusyError
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retention_marks import Mark, Marks, Reason, Terms, marks_of
from toto_ops.storage.locking import held
from toto_ops.storage.retention import (
    Kind,
    Shelf,
    StoredItem,
    checkpoints,
    drop_pointer,
    half_removed,
    leftovers,
    local_base,
    namespaces,
    retraining_indexes,
    shelves,
    take_away,
    universe_names,
)

ANY_AGE = float("inf")

REMOVALS_AT_ONCE = 8
"""A file system takes a folder away in microseconds of work but, depending on its journal, milliseconds of waiting."""

GroupT = TypeVar("GroupT")


@dataclass(frozen=True)
class Taking:
    """One thing to take away, with the pointers that lead to it."""

    item: StoredItem
    untouched_since: float
    pointers: tuple[StoredItem, ...] = ()


@dataclass(frozen=True)
class CollectionPlan:
    """What would be taken away from one namespace, and what stays and why.

    Attributes
    ----------
    base
        Folder of the namespace.
    dangling
        Pointers to artefacts that are stored no longer.
    retrainings
        Universe, `retrain_id` and why, of every retraining that is in use, whether anything of it is stored or not.
    """

    base: Path
    takings: tuple[Taking, ...]
    dangling: tuple[StoredItem, ...]
    kept: tuple[tuple[StoredItem, Reason], ...]
    retrainings: tuple[tuple[str, str, Mark], ...]

    @property
    def items(self) -> tuple[StoredItem, ...]:
        """Everything that would be taken away."""
        return tuple(item for taking in self.takings for item in (taking.item, *taking.pointers)) + self.dangling


class Amount(StrictModel):
    """How much of one kind."""

    kind: Kind
    items: int
    bytes: int


class KeptAmount(Amount):
    """How much of one kind stays for one reason."""

    reason: Reason


class KeptRetraining(StrictModel):
    """A retraining that can still be looked into, and why it stays."""

    universe: str
    retrain_id: str
    reason: str


class CollectionReport(StrictModel):
    """What a collection took away from one namespace, or would, and what stays."""

    namespace: str
    removed: tuple[Amount, ...]
    kept: tuple[KeptAmount, ...]
    retrainings: tuple[KeptRetraining, ...]

    @property
    def removed_bytes(self) -> int:
        return sum(amount.bytes for amount in self.removed)


@contextmanager
def only_collection(settings: Settings) -> Iterator[None]:
    """Keep other collections of this home out.

    Raises
    ------
    BusyError
        If another is in progress.
    """
    busy = BusyError("another collection is in progress", where=str(settings.local_root), remedy="wait for it")
    with held(FileLock(settings.lock_folder / "admin-gc.lock", timeout=0), busy):
        yield


def plan_collections(settings: Settings, terms: Terms) -> tuple[CollectionPlan, ...]:
    """Plan the collection of every namespace of a home.

    Raises
    ------
    StorageError
        If the store is remote, or something that marks what is in use cannot be read; then nothing may be taken away.
    """
    local_base(Project(settings).store)
    return tuple(plan_collection(Project(settings, namespace), terms) for namespace in namespaces(Path(settings.home)))


def plan_collection(project: Project, terms: Terms) -> CollectionPlan:
    """Plan the collection of one namespace."""
    base = local_base(project.store)
    draft = _Draft(terms)
    draft.decide_leftovers(leftovers(base))
    for universe in universe_names(base):
        marks = marks_of(project, universe, terms)
        for index in retraining_indexes(base, universe):
            draft.decide(index, marks.retrainings.get(index.path.name))
        for shelf in shelves(base, universe):
            draft.decide_shelf(shelf, marks)
        draft.decide_checkpoints(checkpoints(project.settings.local_root / "checkpoints" / project.namespace, universe), marks)
        draft.retrainings += [(universe, retrain_id, mark) for retrain_id, mark in sorted(marks.retrainings.items())]
    return CollectionPlan(base, tuple(draft.takings), tuple(draft.dangling), tuple(draft.kept), tuple(draft.retrainings))


def carry_out(plan: CollectionPlan) -> CollectionReport:
    """Take away what was planned, but for what somebody touched meanwhile."""

    def carried_out(taking: Taking) -> tuple[StoredItem, ...]:
        gone = take_away(plan.base, taking.item, taking.untouched_since, taking.pointers)
        return (taking.item, *taking.pointers) if gone else ()

    # Indexes go first: one that is there must never name artefacts that are not.
    indexes = [carried_out(taking) for taking in plan.takings if taking.item.kind == "retraining"]
    with ThreadPoolExecutor(REMOVALS_AT_ONCE) as removers:
        others = list(removers.map(carried_out, (taking for taking in plan.takings if taking.item.kind != "retraining")))
    pointers = [pointer for pointer in plan.dangling if drop_pointer(plan.base, pointer)]
    return report_of(plan, (*chain.from_iterable((*indexes, *others)), *pointers))


def report_of(plan: CollectionPlan, removed: Iterable[StoredItem]) -> CollectionReport:
    """Sum up; what was planned but is not among `removed` was touched meanwhile and stays as recent."""
    removed = tuple(removed)
    gone = {item.path for item in removed}
    indexes = {(item.universe, item.path.name) for item, _ in plan.kept if item.kind == "retraining"}
    spared: list[tuple[StoredItem, Reason]] = [(item, "recent") for item in plan.items if item.path not in gone]
    return CollectionReport(
        namespace=plan.base.name,
        removed=tuple(
            Amount(kind=kind, items=len(sizes), bytes=sum(sizes)) for kind, sizes in _sizes((one.kind, one) for one in removed)
        ),
        kept=tuple(
            KeptAmount(kind=kind, reason=reason, items=len(sizes), bytes=sum(sizes))
            for (kind, reason), sizes in _sizes(((one.kind, reason), one) for one, reason in (*plan.kept, *spared))
        ),
        retrainings=tuple(
            KeptRetraining(universe=universe, retrain_id=retrain_id, reason=mark.detail or mark.reason)
            for universe, retrain_id, mark in plan.retrainings
            if (universe, retrain_id) in indexes
        ),
    )


class _Draft:
    """A plan in the making."""

    def __init__(self, terms: Terms) -> None:
        self.takings: list[Taking] = []
        self.dangling: list[StoredItem] = []
        self.kept: list[tuple[StoredItem, Reason]] = []
        self.retrainings: list[tuple[str, str, Mark]] = []
        self._untouched_since = terms.untouched_since
        # What a run works in says neither whose it is nor, during a long training, that it is being worked in.
        self._workplace = Mark("in progress") if terms.in_progress else None

    def decide(self, item: StoredItem, mark: Mark | None, pointers: tuple[StoredItem, ...] = ()) -> None:
        """Keep what is marked or recent, take away the rest."""
        if mark is None and item.touched < self._untouched_since:
            self.takings.append(Taking(item, self._untouched_since, pointers))
        else:
            reason = "recent" if mark is None else mark.reason
            self.kept += [(one, reason) for one in (item, *pointers)]

    def decide_shelf(self, shelf: Shelf, marks: Marks) -> None:
        for artefact in shelf.artefacts:
            self.decide(artefact, marks.places.get(artefact.path), shelf.pointers.get(artefact.path.name, ()))
        stored = {artefact.path.name for artefact in shelf.artefacts}
        self.dangling += [one for target, pointers in shelf.pointers.items() if target not in stored for one in pointers]

    def decide_checkpoints(self, works: Iterable[StoredItem], marks: Marks) -> None:
        for work in works:
            self.decide(work, self._workplace or marks.inputs.get(work.path.name))

    def decide_leftovers(self, found: Iterable[StoredItem]) -> None:
        for leftover in found:
            if half_removed(leftover):
                self.takings.append(Taking(leftover, ANY_AGE))
            else:
                self.decide(leftover, self._workplace)


def _sizes(items: Iterable[tuple[GroupT, StoredItem]]) -> list[tuple[GroupT, list[int]]]:
    """Bytes of each item, by group, groups in order."""
    groups: dict[GroupT, list[int]] = {}
    for group, item in items:
        groups.setdefault(group, []).append(item.size)
    return sorted(groups.items(), key=lambda entry: str(entry[0]))
