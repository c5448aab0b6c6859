"""Registered forecasters: one model per universe (`toto-crypto-forecaster`), and the library of what later ones begin from.

A version is `forecaster.json` and `forecaster.safetensors`, the SHA-256 of each a tag. Nothing serves from here: what serves
is a policy, and a retraining reads its forecaster from the artefact store. The registry is for those that come later.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from toto_ops.errors import StorageError
from toto_ops.forecasting.config import ReuseConfig
from toto_ops.forecasting.forecaster_files import MANIFEST, WEIGHTS, read_forecaster_manifest
from toto_ops.forecasting.reuse.folder import FolderSource
from toto_ops.forecasting.reuse.library import ModelLibrary, ModelSource, StoredModel, Unreadable
from toto_ops.forecasting.reuse.records import record_in
from toto_ops.forecasting.reuse.weight_files import WeightsFile
from toto_ops.registry.model_uris import ModelUri
from toto_ops.registry.models import ModelRegistry
from toto_ops.registry.tracking import INPUTS_HASH_TAG, LINE_TAG, RETRAIN_ID_TAG, RunKey, RunRecord, is_unmade
from toto_ops.registry.versions import (
    CODE_VERSION_TAG,
    DATA_HASH_TAG,
    EVIDENCE_HASH_TAG,
    FILES_TAG,
    GATES_TAG,
    KNOWS_UNTIL_TAG,
    NOT_JUDGED_HASH,
    UNIVERSE_TAG,
    RegisteredVersion,
)
from toto_ops.storage.hashing import HASH_LENGTH, file_digest

FORECASTER = "forecaster"
"""Stands where the name of a line does."""

BACKBONE_TAG = "toto.backbone"
METRICS_TAG = "toto.metrics"


def register_forecaster(
    registry: ModelRegistry, folder: Path, retrain_id: str, provenance: Mapping[str, str] | None = None
) -> RegisteredVersion:
    """Store a forecaster as a version of the model of its universe; one of the same inputs is one version.

    Parameters
    ----------
    folder
        As `save_forecaster` wrote it.
    provenance
        Further tags: git revision, Dagster run.

    Raises
    ------
    StorageError
        If the folder holds no forecaster.
    """
    manifest = read_forecaster_manifest(folder)
    name = registry.line_name(manifest.universe, FORECASTER)
    with registry.tracking.lock(f"register-{name}"):
        for version in reversed(registry.versions(name)):
            if (version.inputs_hash, version.data_hash) == (manifest.inputs_hash, manifest.data_hash):
                return version
        key = RunKey(manifest.universe, retrain_id, FORECASTER, manifest.inputs_hash)
        tags = dict(provenance or {})
        run_id = registry.tracking.record(key, RunRecord(manifest.config, manifest.metrics, tags))
        with tempfile.TemporaryDirectory(prefix="toto-forecaster-") as scratch:
            package = Path(scratch)
            for file in (MANIFEST, WEIGHTS):
                shutil.copyfile(folder / file, package / file)
            files = {file: file_digest(package / file) for file in (MANIFEST, WEIGHTS)}
            source = registry.upload(package, key, manifest.backbone)
        tags |= {
            UNIVERSE_TAG: manifest.universe,
            LINE_TAG: FORECASTER,
            RETRAIN_ID_TAG: retrain_id,
            INPUTS_HASH_TAG: manifest.inputs_hash,
            DATA_HASH_TAG: manifest.data_hash,
            CODE_VERSION_TAG: manifest.code_version,
            KNOWS_UNTIL_TAG: manifest.knows_until.isoformat(),
            EVIDENCE_HASH_TAG: NOT_JUDGED_HASH,
            GATES_TAG: "not judged",
            FILES_TAG: json.dumps(files, sort_keys=True),
            BACKBONE_TAG: manifest.backbone,
            METRICS_TAG: json.dumps(manifest.metrics, sort_keys=True),
        }
        return registry.create_version(name, source, run_id, tags)


def forecaster_library(registry: ModelRegistry, config: ReuseConfig) -> ModelLibrary:
    """All models a forecaster may begin from: those registered, of every universe, and those in the configured folder."""
    sources: list[ModelSource] = [RegistrySource(registry)]
    if config.folder is not None:
        sources.append(FolderSource(config.folder))
    return ModelLibrary(sources)


@dataclass(frozen=True)
class RegistrySource:
    """The registered forecasters of a namespace, of every universe. Asking makes no database where there is none yet."""

    registry: ModelRegistry

    def models(self) -> list[StoredModel | Unreadable]:
        """All versions, universe by universe, oldest first."""
        if is_unmade(self.registry.tracking_uri):
            return []
        return [model for name in sorted(self._names()) for model in self._models(name)]

    def _names(self) -> Iterator[str]:
        client, token = self.registry.tracking.client, None
        pattern = self.registry.line_name("%", FORECASTER)
        while True:
            page = client.search_registered_models(filter_string=f"name LIKE '{pattern}'", page_token=token)
            yield from (str(model.name) for model in page)
            token = page.token
            if not token:
                return

    def _models(self, name: str) -> list[StoredModel | Unreadable]:
        try:
            versions = self.registry.versions(name)
        except StorageError as error:
            return [Unreadable(name, error.where, error.problem)]
        return [self._model(version) for version in versions]

    def _model(self, version: RegisteredVersion) -> StoredModel | Unreadable:
        name, where = f"{version.name}/{version.version}", str(ModelUri(version.name, version=version.version))
        recorded = {
            "kind": version.provenance.get(BACKBONE_TAG),
            "knows_until": version.knows_until,
            "data_hash": version.data_hash,
            "metrics": json.loads(version.provenance.get(METRICS_TAG, "{}")),
        }
        return StoredModel(name, where, record_in(recorded, where), RegisteredWeights(self.registry, version))


@dataclass(frozen=True)
class RegisteredWeights:
    """Weights of a registered version, which are fetched when they are asked for."""

    registry: ModelRegistry
    version: RegisteredVersion

    @property
    def identity(self) -> str:
        """Hash of the file, as it was registered."""
        return self.version.files[WEIGHTS][:HASH_LENGTH]

    def tensors(self) -> dict[str, Tensor]:
        """The weights by name.

        Raises
        ------
        StorageError
            If a file of the version is missing or is not what was registered.
        """
        return WeightsFile(self.registry.files(self.version) / WEIGHTS).tensors()
