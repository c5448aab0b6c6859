"""A folder of models: forecasters of this project, each in a folder of its own, and files of weights of any layout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toto_ops.errors import ConfigError, StorageError
from toto_ops.forecasting.forecaster_files import MANIFEST, WEIGHTS, read_forecaster_manifest
from toto_ops.forecasting.reuse.library import StoredModel, Unreadable
from toto_ops.forecasting.reuse.records import Record, record_in
from toto_ops.forecasting.reuse.weight_files import SUFFIXES, WeightsFile


@dataclass(frozen=True)
class FolderSource:
    """The models in a folder, in whatever depth.

    A file of weights says in a JSON file of the same name what it is, unless it says so itself: `transformer.pt` in
    `transformer.json`, `{"kind": "market", "validation_loss": 0.21, "knows_until": "2021-03-01T21:00:00Z"}`.
    """

    folder: Path

    def models(self) -> list[StoredModel | Unreadable]:
        """All there are, by their paths within the folder. What cannot be read is among them, and others go on.

        Raises
        ------
        ConfigError
            If the folder is not there.
        """
        if not self.folder.is_dir():
            raise ConfigError(
                "is not a folder", where=f"reuse.folder: {self.folder}", remedy="correct it in forecasting.yaml, or leave it out"
            )
        return [self._model(path) for path in self._paths()]

    def _paths(self) -> Iterator[Path]:
        """Manifests of forecasters and files of weights, but for those a manifest is about."""
        for path in sorted(self.folder.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(self.folder).parts)
            of_a_forecaster = path.name == WEIGHTS and (path.parent / MANIFEST).exists()
            if path.is_file() and not hidden and not of_a_forecaster and (path.name == MANIFEST or path.suffix in SUFFIXES):
                yield path

    def _model(self, path: Path) -> StoredModel | Unreadable:
        a_forecaster = path.name == MANIFEST
        place = path.parent if a_forecaster else path
        name = self.folder.name if place == self.folder else place.relative_to(self.folder).as_posix()
        try:
            if a_forecaster:
                return _forecaster(name, place)
            weights = WeightsFile(path)
            return StoredModel(name, str(path), _sidecar(path).or_else(weights.record()), weights)
        except (StorageError, OSError) as error:
            return Unreadable(name, str(place), error.problem if isinstance(error, StorageError) else str(error))


def _forecaster(name: str, folder: Path) -> StoredModel:
    """What the release of weights from elsewhere may have known is left aside: only what was trained here is stored with a
    forecaster, and whoever reuses that stands on the same backbone.
    """
    manifest = read_forecaster_manifest(folder)
    return StoredModel(name, str(folder), record_in(manifest.model_dump(), str(folder / MANIFEST)), WeightsFile(folder / WEIGHTS))


def _sidecar(path: Path) -> Record:
    """What the JSON file beside a file of weights says about it."""
    beside = path.with_suffix(".json")
    if not beside.exists():
        return Record()
    try:
        content = json.loads(beside.read_text())
    except (OSError, ValueError) as error:
        raise StorageError(f"{beside.name} beside it cannot be read ({error})", where=str(beside), remedy="mend it") from error
    return record_in(content if isinstance(content, dict) else {}, str(beside))
