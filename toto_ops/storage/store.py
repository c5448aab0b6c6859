"""The artefact store: `namespace/universe/asset/[symbol/]<content-hash>/files`, written atomically.

An artefact is a folder that appears whole or not at all: it is written under a temporary name, synced and renamed.
Two small pointers live beside it: `by-inputs/<inputs-hash>` lets unchanged work be reused, and `latest` names the
result of the newest retraining that succeeded. Works on local paths and on object stores through universal-pathlib, where the
manifest of files is uploaded last and makes the artefact visible.

Whoever makes or finds an artefact renews its age, under the lock that retention takes away old ones under: what a
retraining has just been promised cannot be collected.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from upath import UPath

from toto_ops.configuration import VersionedModel, in_words
from toto_ops.errors import StorageError
from toto_ops.storage.atomic import replace_file
from toto_ops.storage.hashing import folder_hash
from toto_ops.storage.locking import locked
from toto_ops.storage.refusals import named_refusals

LIVE = "live"
"""Namespace of real retrainings; replay, controls and tests use others and cannot touch it."""

ModelT = TypeVar("ModelT", bound=VersionedModel)

SEAL = "artefact.json"
"""Written last: the file that makes a folder an artefact. When it was last touched is the age of the artefact."""

STAGING = ".staging"
BY_INPUTS = "by-inputs"
LATEST = "latest.json"
_MEND_JSON = "restore the file from a backup, or remove it and run `toto-ops retrain <universe> --force`"


@dataclass(frozen=True)
class ArtefactKey:
    """What an artefact is: the universe and asset it belongs to, and the symbol where it is per symbol."""

    universe: str
    asset: str
    symbol: str | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.universe, self.asset) + ((self.symbol,) if self.symbol else ())

    def __str__(self) -> str:
        return "/".join(self.parts)


@dataclass(frozen=True)
class ArtefactRef:
    """One stored version of an artefact."""

    key: ArtefactKey
    content_hash: str
    inputs_hash: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as stored in JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any], where: str = "") -> ArtefactRef:
        """Inverse of `to_dict`.

        Raises
        ------
        StorageError
            If the content does not name an artefact; `where` says which document it was read from.
        """
        try:
            return _VALIDATOR.validate_python(content)
        except ValidationError as error:
            raise StorageError("does not name an artefact", where=where, remedy=_MEND_JSON) from error


_VALIDATOR = TypeAdapter(ArtefactRef)


class ArtefactStore:
    """Reads and writes artefacts of one namespace under a root.

    Parameters
    ----------
    root
        `TOTO_HOME`, local or remote.
    namespace
        `live` for real retrainings; anything else is isolated from it.
    """

    def __init__(self, root: UPath | Path | str, namespace: str = LIVE) -> None:
        self.root = UPath(root)
        self.namespace = namespace
        self._base = self.root / namespace
        self._local = self._base.protocol in ("", "file")
        self._verified: set[ArtefactRef] = set()

    # -- artefacts ---------------------------------------------------------------------------------------------

    def put(self, key: ArtefactKey, inputs_hash: str, write: Callable[[Path], None]) -> ArtefactRef:
        """Let `write` fill a temporary folder, then publish it under its content hash.

        Publishing the same content twice keeps the first copy. A failure in `write` leaves nothing behind.

        Raises
        ------
        StorageError
            If the disk is full or read-only; whatever was stored before is as it was.
        """
        with named_refusals(str(self._base.joinpath(*key.parts))):
            return self._put(key, inputs_hash, write)

    def find(self, key: ArtefactKey, inputs_hash: str) -> ArtefactRef | None:
        """The artefact already made from these inputs, if it is stored and complete; it is as good as new from now on."""
        pointer = self._by_inputs(key, inputs_hash)
        if not pointer.exists():
            return None
        with named_refusals(str(pointer)), self._lock():
            ref = read_ref(pointer) if pointer.exists() else None
            if ref is None or not (self._folder(key, ref.content_hash) / SEAL).exists():
                return None
            self._renew(ref)
        return ref

    def get_or_make(self, key: ArtefactKey, inputs_hash: str, write: Callable[[Path], None]) -> tuple[ArtefactRef, bool]:
        """Reuse the artefact made from these inputs or make it; the flag says whether it was reused."""
        found = self.find(key, inputs_hash)
        return (found, True) if found else (self.put(key, inputs_hash, write), False)

    def open(self, ref: ArtefactRef) -> UPath:
        """Folder of a stored artefact.

        Raises
        ------
        StorageError
            If it is absent or was not completely written.
        """
        folder = self._folder(ref.key, ref.content_hash)
        if not (folder / SEAL).exists():
            raise StorageError(
                f"artefact {ref.content_hash} is missing or incomplete",
                where=str(ref.key),
                remedy=f"run `toto-ops retrain {ref.key.universe} --force`; unchanged steps are reused",
            )
        return folder

    def place(self, ref: ArtefactRef) -> UPath:
        """Where an artefact is, or would be."""
        return self._folder(ref.key, ref.content_hash)

    def local_folder(self, ref: ArtefactRef) -> Path:
        """Folder of a stored artefact as a local path; remote ones are downloaded once into a cache.

        Raises
        ------
        StorageError
            If it is absent, or its files are not those that were stored.
        """
        folder = self.open(ref)
        if self._local:
            return self._intact(ref, Path(str(folder)))
        cache = Path(tempfile.gettempdir()) / "toto-ops-cache" / self.namespace / Path(*ref.key.parts) / ref.content_hash
        if not (cache / SEAL).exists():
            cache.parent.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(dir=cache.parent, prefix="staging-"))
            for name in _names_below(folder):
                (staging / name).parent.mkdir(parents=True, exist_ok=True)
                (staging / name).write_bytes((folder / name).read_bytes())
            _rename_or_keep(staging, cache)
        return self._intact(ref, cache)

    # -- pointers and small documents ---------------------------------------------------------------------------

    def set_latest(self, ref: ArtefactRef) -> None:
        """Move the `latest` pointer of an artefact; call it only when its retraining has succeeded."""
        self._write_json(self._base.joinpath(*ref.key.parts) / LATEST, ref.to_dict())

    def latest(self, key: ArtefactKey) -> ArtefactRef | None:
        """What `latest` points at, or None before the first success."""
        pointer = self._base.joinpath(*key.parts) / LATEST
        return read_ref(pointer) if pointer.exists() else None

    def write_document(self, name: str, content: dict[str, Any]) -> None:
        """Atomically write a JSON document at a `/`-separated name below the namespace."""
        self._write_json(self._base / name, content)

    def create_document(self, name: str, content: dict[str, Any]) -> bool:
        """Write a JSON document unless there is one of this name already; of several writers at once, one wins.

        An object store has no exclusive creation: there the check and the write are two calls.
        """
        path = self._base / name
        if path.exists():
            return False
        if not self._local:
            self._write_json(path, content)
            return True
        staged = path.with_name(f".{os.getpid()}-{os.urandom(4).hex()}.tmp")
        self._write_json(staged, content)
        with named_refusals(str(path)):
            try:
                os.link(str(staged), str(path))
            except FileExistsError:
                return False
            finally:
                staged.unlink()
        return True

    def has_document(self, name: str) -> bool:
        return bool((self._base / name).exists())

    def read_document(self, name: str) -> dict[str, Any] | None:
        """Read a JSON document, or None where there is none."""
        path = self._base / name
        if not path.exists():
            return None
        return _read_json(path)

    def write_model(self, name: str, model: VersionedModel) -> None:
        """Atomically write a versioned document."""
        self.write_document(name, model.model_dump(mode="json"))

    def create_model(self, name: str, model: VersionedModel) -> bool:
        """Write a versioned document unless there is one of this name already."""
        return self.create_document(name, model.model_dump(mode="json"))

    def read_model(self, name: str, kind: type[ModelT]) -> ModelT | None:
        """Read a versioned document, or None where there is none.

        Raises
        ------
        StorageError
            If it is not what it should be, or of a schema version this release cannot read.
        """
        content = self.read_document(name)
        if content is None:
            return None
        try:
            return kind.stored(content)
        except ValidationError as error:
            raise StorageError(f"cannot be read ({in_words(error)})", where=str(self._base / name), remedy=_MEND_JSON) from error

    def documents(self, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every JSON document directly in `folder`, by stem, in name order."""
        base = self._base / folder
        if not base.exists():
            return
        for path in sorted(base.iterdir(), key=lambda item: item.name):
            if path.name.endswith(".json"):
                yield path.name.removesuffix(".json"), _read_json(path)

    def matching(self, pattern: str) -> Iterator[str]:
        """Names of the documents that match a glob below the namespace, such as `*/openings/*.json`, in order."""
        if not self._base.exists():
            return
        prefix = str(self._base).rstrip("/") + "/"
        yield from sorted(str(path).removeprefix(prefix) for path in self._base.glob(pattern) if not path.name.startswith("."))

    # -- internals -------------------------------------------------------------------------------------------

    def _lock(self) -> AbstractContextManager[None]:
        """Object stores have no lock; nothing is collected there."""
        return locked(Path(str(self._base))) if self._local else nullcontext()

    def _renew(self, ref: ArtefactRef) -> None:
        if self._local:
            os.utime(str(self._folder(ref.key, ref.content_hash) / SEAL))

    def _folder(self, key: ArtefactKey, content_hash: str) -> UPath:
        return self._base.joinpath(*key.parts) / content_hash

    def _intact(self, ref: ArtefactRef, folder: Path) -> Path:
        """`folder`, once its files are known to be those whose hash is its name."""
        if ref not in self._verified:
            if folder_hash(folder, leaving_out=SEAL) != ref.content_hash:
                raise StorageError(
                    f"the files of {ref.key} are not those that were stored",
                    where=str(folder),
                    remedy=f"remove this folder and run `toto-ops retrain {ref.key.universe} --force`, which makes it again",
                )
            self._verified.add(ref)
        return folder

    def _by_inputs(self, key: ArtefactKey, inputs_hash: str) -> UPath:
        return self._base.joinpath(*key.parts) / BY_INPUTS / f"{inputs_hash}.json"

    def _staging_root(self) -> str | None:
        if not self._local:
            return None
        staging = Path(str(self._base)) / STAGING
        staging.mkdir(parents=True, exist_ok=True)
        return str(staging)

    def _put(self, key: ArtefactKey, inputs_hash: str, write: Callable[[Path], None]) -> ArtefactRef:
        with tempfile.TemporaryDirectory(dir=self._staging_root(), prefix="staging-") as staging:
            folder = Path(staging) / "content"
            folder.mkdir()
            write(folder)
            content_hash = folder_hash(folder)
            ref = ArtefactRef(key, content_hash, inputs_hash)
            (folder / SEAL).write_text(json.dumps(ref.to_dict(), sort_keys=True))
            self._sync_files(folder)
            with self._lock():
                self._publish(folder, self._folder(key, content_hash))
                self._write_json(self._by_inputs(key, inputs_hash), ref.to_dict())
        return ref

    def _sync_files(self, folder: Path) -> None:
        """On the disk before it is published, and before the lock is taken: it may take a while."""
        if self._local:
            for item in folder.rglob("*"):
                if item.is_file():
                    _sync(item)

    def _publish(self, folder: Path, target: UPath) -> None:
        if self._local:
            destination = Path(str(target))
            destination.parent.mkdir(parents=True, exist_ok=True)
            _rename_or_keep(folder, destination)
            _sync(destination.parent)
            return
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        for name in sorted(names, key=lambda item: item == SEAL):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((folder / name).read_bytes())

    def _write_json(self, path: UPath, content: dict[str, Any]) -> None:
        text = json.dumps(content, sort_keys=True, indent=1)
        if self._local:
            replace_file(Path(str(path)), text.encode())
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def _read_json(path: UPath | Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise StorageError(f"is not valid JSON ({error})", where=str(path), remedy=_MEND_JSON) from error
    if not isinstance(content, dict):
        raise StorageError("is not a JSON object", where=str(path), remedy=_MEND_JSON)
    return content


def read_ref(pointer: UPath | Path) -> ArtefactRef:
    """The artefact a pointer names."""
    return ArtefactRef.from_dict(_read_json(pointer), str(pointer))


def _names_below(folder: UPath) -> list[str]:
    prefix = str(folder).rstrip("/") + "/"
    return [str(path).removeprefix(prefix) for path in folder.rglob("*") if path.is_file()]


def _rename_or_keep(source: Path, destination: Path) -> None:
    """Rename a finished folder into place; if a complete twin got there first, keep the twin, as good as new."""
    if (destination / SEAL).exists():
        os.utime(destination / SEAL)
        shutil.rmtree(source)
        return
    if destination.exists():  # debris of an interrupted deletion: never visible as complete, safe to replace
        shutil.rmtree(destination)
    source.rename(destination)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
