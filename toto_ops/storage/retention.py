"""What a namespace of a local store holds and how old it is, and how something is taken away from it.

What may go is decided by whoever knows what everything is for (`toto_ops.pipeline.collection`). Here is only the
mechanism, which is safe beside a retraining: an artefact is taken away under the lock that `ArtefactStore` renews it
under, after its age was looked at once more, and by one rename. So it is there as a whole or not at all, and a
retraining that has just found it keeps it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toto_ops.errors import StorageError
from toto_ops.storage.hashing import HASH_LENGTH
from toto_ops.storage.locking import locked
from toto_ops.storage.refusals import named_refusals
from toto_ops.storage.retraining import RETRAININGS
from toto_ops.storage.store import BY_INPUTS, LATEST, SEAL, STAGING, ArtefactRef, ArtefactStore, read_ref

Kind = Literal["artefact", "pointer", "retraining", "checkpoint", "leftover", "controls"]

_TRASH = "trash-"
_HASH = re.compile(rf"[0-9a-f]{{{HASH_LENGTH}}}")


@dataclass(frozen=True)
class StoredItem:
    """One thing that is kept or taken away as a whole.

    Attributes
    ----------
    size
        Bytes of all its files.
    touched
        When it was last made, found or written to, seconds since the epoch.
    """

    kind: Kind
    universe: str
    path: Path
    size: int
    touched: float


@dataclass(frozen=True)
class Shelf:
    """All versions of one artefact, and the pointers that name each by what it was made from.

    Attributes
    ----------
    pointers
        By content hash; also of versions that are stored no longer.
    """

    artefacts: tuple[StoredItem, ...]
    pointers: Mapping[str, tuple[StoredItem, ...]]


def namespaces(root: Path) -> tuple[str, ...]:
    """Namespaces that hold artefacts, by name; each is known by its staging folder."""
    if not root.is_dir():
        return ()
    return tuple(sorted(folder.name for folder in root.iterdir() if (folder / STAGING).is_dir()))


def local_base(store: ArtefactStore) -> Path:
    """Folder of a store's namespace.

    Raises
    ------
    StorageError
        If the store is remote: there is no lock there, so nothing can be taken away safely beside a retraining.
    """
    if store.root.protocol not in {"", "file"}:
        raise StorageError(
            "is an object store, where nothing is collected: it has no lock that would keep a retraining safe",
            where=str(store.root),
            remedy="delete namespaces you no longer need as a whole; `live` is only collected on a local disk",
        )
    return Path(str(store.root / store.namespace))


def universe_names(base: Path) -> tuple[str, ...]:
    """Universes a namespace holds anything of, configured or not."""
    return tuple(sorted(folder.name for folder in _folders(base) if not folder.name.startswith(".")))


def shelves(base: Path, universe: str) -> Iterator[Shelf]:
    """Every artefact of a universe with its versions, per symbol where it has symbols."""
    for asset in _folders(base / universe):
        if asset.name == RETRAININGS:
            continue
        yield _shelf(universe, asset)
        for symbol in _folders(asset):
            if symbol.name != BY_INPUTS and not _is_artefact(symbol):
                yield _shelf(universe, symbol)


def latest_refs(store: ArtefactStore, universe: str) -> Iterator[ArtefactRef]:
    """What every `latest` pointer of a universe names."""
    base = local_base(store)
    for pointer in sorted((*base.glob(f"{universe}/*/{LATEST}"), *base.glob(f"{universe}/*/*/{LATEST}"))):
        yield read_ref(pointer)


def retraining_indexes(base: Path, universe: str) -> Iterator[StoredItem]:
    """The index of every retraining of a universe, named by its `retrain_id`."""
    yield from wholes("retraining", universe, _folders(base / universe / RETRAININGS))


def checkpoints(root: Path, universe: str) -> Iterator[StoredItem]:
    """Training checkpoints of a universe, `root/universe/line/inputs-hash`."""
    for line in _folders(root / universe):
        yield from wholes("checkpoint", universe, _folders(line))


def wholes(kind: Kind, universe: str, paths: Iterable[Path]) -> Iterator[StoredItem]:
    """Each of some files and folders as one thing with all it holds; what vanishes meanwhile is left out."""
    for path in paths:
        try:
            if path.is_file():
                yield _file(kind, universe, path)
            else:
                size, touched = _measure(path)
                yield StoredItem(kind, universe, path, size, _seal_age(path) or touched)
        except FileNotFoundError:  # whoever was writing it has published or withdrawn it meanwhile
            continue


def leftovers(base: Path) -> Iterator[StoredItem]:
    """What killed processes left behind: half-written artefacts, half-removed ones, and half-written documents."""
    yield from wholes("leftover", "", _folders(base / STAGING))
    for universe in universe_names(base):
        for folder, names, files in os.walk(base / universe):
            # Those of a retraining's index go with it.
            names[:] = [name for name in names if name != RETRAININGS and not _HASH.fullmatch(name)]
            half_written = (Path(folder, name) for name in files if name.startswith(".") and name.endswith(".tmp"))
            yield from wholes("leftover", universe, half_written)


def half_removed(item: StoredItem) -> bool:
    """Whether a leftover is something a collection had taken away already when it was killed."""
    return item.kind == "leftover" and item.path.name.startswith(_TRASH)


def take_away(base: Path, item: StoredItem, untouched_since: float, pointers: Iterable[StoredItem] = ()) -> bool:
    """Remove something that nobody has touched since, and the pointers to it; False if it was touched and stays.

    Parameters
    ----------
    base
        Folder of the namespace, whose lock is held for the rename and no longer.
    untouched_since
        Seconds since the epoch.

    Raises
    ------
    StorageError
        If the file system refuses.
    """
    with named_refusals(str(item.path)):
        trash = _trash(base) / f"{_TRASH}{os.urandom(8).hex()}"
        with locked(base):
            if not item.path.exists() or _touched(item) >= untouched_since:
                return False
            item.path.rename(trash)
            # Into what is about to go, because the lock is held: a rename is short, giving back a file's blocks may not be.
            for pointer in pointers:
                pointer.path.rename(trash / pointer.path.name)
        shutil.rmtree(trash) if trash.is_dir() else trash.unlink()
    return True


def drop_pointer(base: Path, pointer: StoredItem) -> bool:
    """Remove a pointer to nothing; False if by now it points to something and stays."""
    with named_refusals(str(pointer.path)), locked(base):
        if not pointer.path.exists() or (pointer.path.parents[1] / _target(pointer.path) / SEAL).exists():
            return False
        pointer.path.unlink()
    return True


def _shelf(universe: str, folder: Path) -> Shelf:
    artefacts = tuple(wholes("artefact", universe, filter(_is_artefact, _folders(folder))))
    pointers: dict[str, tuple[StoredItem, ...]] = {}
    for path in sorted((folder / BY_INPUTS).glob("*.json")):
        target = _target(path)
        pointers[target] = (*pointers.get(target, ()), _file("pointer", universe, path))
    return Shelf(artefacts, pointers)


def _is_artefact(folder: Path) -> bool:
    """Sealed, or the debris of one: a symbol may look like a hash, but has its pointers inside."""
    return (folder / SEAL).exists() or (_HASH.fullmatch(folder.name) is not None and not (folder / BY_INPUTS).exists())


def _target(pointer: Path) -> str:
    return read_ref(pointer).content_hash


def _file(kind: Kind, universe: str, path: Path) -> StoredItem:
    state = path.stat()
    return StoredItem(kind, universe, path, state.st_size, state.st_mtime)


def _touched(item: StoredItem) -> float:
    if item.path.is_file():
        return item.path.stat().st_mtime
    return _seal_age(item.path) or _measure(item.path)[1]


def _seal_age(folder: Path) -> float | None:
    """The age of an artefact is that of its seal; None for anything else."""
    seal = folder / SEAL
    return seal.stat().st_mtime if seal.exists() else None


def _measure(folder: Path) -> tuple[int, float]:
    """Bytes of all files below a folder and the newest modification of one; of the folder itself where it has none."""
    size, newest = _measure_files(folder)
    return size, newest or folder.stat().st_mtime


def _measure_files(folder: Path) -> tuple[int, float]:
    size, newest = 0, 0.0
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                more, touched = _measure_entry(entry)
            except FileNotFoundError:  # a document's temporary name, renamed meanwhile
                continue
            size, newest = size + more, max(newest, touched)
    return size, newest


def _measure_entry(entry: os.DirEntry[str]) -> tuple[int, float]:
    if entry.is_dir(follow_symlinks=False):
        return _measure_files(Path(entry.path))
    state = entry.stat(follow_symlinks=False)
    return state.st_size, state.st_mtime


def _folders(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    with os.scandir(folder) as entries:
        return tuple(sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)))


def _trash(base: Path) -> Path:
    """The staging folder, which exists already: a disk may be too full for another."""
    staging = base / STAGING
    staging.mkdir(parents=True, exist_ok=True)
    return staging
