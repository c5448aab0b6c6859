"""Registered models: what is stored for a version, how it gets there, and how it is read back.

There is one registered model per universe and line (`toto-crypto-bc`), the line's own history, and one per universe
(`toto-crypto`), the history of what was offered to serve. A version is the ONNX model with its MLflow signature, the
policy itself as safetensors and JSON, and the evidence it was judged by. The SHA-256 of each file is a tag of the
version, so that a file changed afterwards is noticed before it serves.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toto_ops.errors import PromotionError, StorageError
from toto_ops.features.state import ACCOUNT_FEATURES, MARKET_FEATURES
from toto_ops.policies.contract import Policy, PolicyManifest
from toto_ops.registry.evidence_document import EvidenceDocument
from toto_ops.registry.onnx_export import check_parity, export_onnx
from toto_ops.registry.tracking import INPUTS_HASH_TAG, LINE_TAG, RETRAIN_ID_TAG, RunKey, Tracking
from toto_ops.registry.versions import (
    CHALLENGER,
    CODE_VERSION_TAG,
    DATA_HASH_TAG,
    EVIDENCE_HASH_TAG,
    FALLBACK,
    FILES_TAG,
    GATES_TAG,
    KNOWS_UNTIL_TAG,
    NOT_JUDGED_HASH,
    PARITY_TAG,
    UNIVERSE_TAG,
    RegisteredVersion,
)
from toto_ops.simulation.observation import Observation
from toto_ops.storage.hashing import file_digest
from toto_ops.storage.store import LIVE

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

ONNX_FILE = "model.onnx"
EVIDENCE_FILE = "evidence.json"
_POLICY_FILES = ("policy.safetensors", "policy.json")


@dataclass(frozen=True)
class Candidate:
    """A trained policy on its way into the registry.

    Attributes
    ----------
    evidence
        The evidence document as JSON, exactly as it was stored; None for a policy that was not judged.
    observations
        Real observations of the universe's own bars, for the parity check.
    provenance
        Further tags: git revision, Dagster run.
    """

    policy: Policy
    manifest: PolicyManifest
    retrain_id: str
    observations: Sequence[Observation]
    evidence: str | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelRegistry:
    """Registered models of one namespace.

    Parameters
    ----------
    tracking_uri
        MLflow database or server.
    namespace
        Model names of namespaces other than `live` carry its name.
    """

    tracking_uri: str
    namespace: str = LIVE

    @cached_property
    def tracking(self) -> Tracking:
        return Tracking(self.tracking_uri, self.namespace)

    def serving_name(self, universe: str) -> str:
        """Name of the model that serves a universe."""
        return self.tracking.name(f"toto-{universe}")

    def line_name(self, universe: str, line: str) -> str:
        """Name of the model of one line of a universe."""
        return self.tracking.name(f"toto-{universe}-{line}")

    # -- writing -----------------------------------------------------------------------------------------------

    def register(self, candidate: Candidate) -> RegisteredVersion:
        """Store a candidate as a version of its line's model; the same candidate twice is one version.

        Raises
        ------
        PromotionError
            If the ONNX model does not decide as the policy does, or the evidence is about another policy.
        """
        name = self.line_name(candidate.manifest.universe, candidate.manifest.line)
        return self._twin(name, candidate) or self._store(name, candidate)

    def offer_challenger(self, candidate: Candidate) -> RegisteredVersion:
        """Register a judged candidate and make it the universe's `challenger`; what serves does not change."""
        if candidate.evidence is None:
            raise PromotionError(
                "a challenger needs the evidence it was judged by", where=candidate.manifest.universe, remedy="evaluate it first"
            )
        return self._offer(candidate, CHALLENGER)

    def register_fallback(self, candidate: Candidate) -> RegisteredVersion:
        """Register the policy that serves while there is no champion, and point `fallback` at it."""
        return self._offer(candidate, FALLBACK)

    # -- reading -----------------------------------------------------------------------------------------------

    def aliases(self, name: str) -> dict[str, int]:
        """Alias to version of a registered model; empty where the model does not exist yet."""
        from mlflow.exceptions import MlflowException

        try:
            stored = self.tracking.client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise
        return {str(alias): int(version) for alias, version in stored.aliases.items()}

    def version(self, name: str, version: int) -> RegisteredVersion:
        """One version.

        Raises
        ------
        StorageError
            If there is none of that name and number.
        """
        from mlflow.exceptions import MlflowException

        try:
            stored = self.tracking.client.get_model_version(name, str(version))
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise StorageError(
                    f"version {version} does not exist", where=name, remedy="see `toto-ops registry list`"
                ) from error
            raise
        return RegisteredVersion.read(stored, stored.aliases)

    def versions(self, name: str) -> tuple[RegisteredVersion, ...]:
        """All versions of a registered model, oldest first."""
        aliases = self.aliases(name)
        stored: list[Any] = []
        token: str | None = None
        while True:
            page = self.tracking.client.search_model_versions(f"name = '{name}'", max_results=1000, page_token=token)
            stored += page
            token = page.token
            if not token:
                break
        pointing = {int(item.version): [alias for alias, version in aliases.items() if version == int(item.version)] for item in stored}
        found = (RegisteredVersion.read(item, pointing[int(item.version)]) for item in stored)
        return tuple(sorted(found, key=lambda item: item.version))

    def files(self, version: RegisteredVersion) -> Path:
        """Local folder with the files of a version, each checked against the hash noted when it was registered.

        Raises
        ------
        StorageError
            If a file is missing or is not what was registered.
        """
        from mlflow.artifacts import download_artifacts

        folder = Path(download_artifacts(artifact_uri=version.source, tracking_uri=self.tracking_uri))
        for name, digest in version.files.items():
            path = folder / name
            if not path.exists() or file_digest(path) != digest:
                raise StorageError(
                    f"{name} of {version.label} is " + ("not what was registered" if path.exists() else "missing"),
                    where=str(path),
                    remedy="restore the artefact store from a backup, or roll back to a version whose files are intact",
                )
        return folder

    # -- internals ---------------------------------------------------------------------------------------------

    def _offer(self, candidate: Candidate, alias: str) -> RegisteredVersion:
        own = self.register(candidate)
        name = self.serving_name(candidate.manifest.universe)
        offered = self._twin(name, candidate) or self._version_of(name, own.source, own.run_id, self._tags_of(own))
        for version in (own, offered):
            self.tracking.client.set_registered_model_alias(version.name, alias, str(version.version))
        return self.version(name, offered.version)

    def _twin(self, name: str, candidate: Candidate) -> RegisteredVersion | None:
        """The version already made of the same policy and evidence, if a step is being repeated."""
        wanted = (candidate.manifest.inputs_hash, _evidence_hash(candidate))
        for version in reversed(self.versions(name)):
            if (version.inputs_hash, version.evidence_hash) == wanted:
                return version
        return None

    def _store(self, name: str, candidate: Candidate) -> RegisteredVersion:
        manifest = candidate.manifest
        gates = _gates(candidate)
        run_id = self.tracking.run_id(RunKey(manifest.universe, candidate.retrain_id, manifest.line, manifest.inputs_hash))
        with tempfile.TemporaryDirectory(prefix="toto-model-") as scratch:
            folder, difference = _package(candidate, Path(scratch))
            files = {file: file_digest(folder / file) for file in (ONNX_FILE, *_POLICY_FILES, EVIDENCE_FILE) if (folder / file).exists()}
            source = self._upload(folder, candidate, run_id)
        tags = {
            UNIVERSE_TAG: manifest.universe,
            LINE_TAG: manifest.line,
            RETRAIN_ID_TAG: candidate.retrain_id,
            INPUTS_HASH_TAG: manifest.inputs_hash,
            DATA_HASH_TAG: manifest.data_hash,
            CODE_VERSION_TAG: manifest.code_version,
            KNOWS_UNTIL_TAG: manifest.knows_until.isoformat() if manifest.knows_until else "",
            EVIDENCE_HASH_TAG: _evidence_hash(candidate),
            GATES_TAG: gates,
            FILES_TAG: json.dumps(files, sort_keys=True),
            PARITY_TAG: f"{difference:.3g}",
            **candidate.provenance,
        }
        return self._version_of(name, source, run_id, tags)

    def _upload(self, folder: Path, candidate: Candidate, run_id: str) -> str:
        manifest, client = candidate.manifest, self.tracking.client
        model = client.create_logged_model(
            self.tracking.experiment_id(manifest.universe),
            name=manifest.line,
            source_run_id=run_id,
            tags={RETRAIN_ID_TAG: candidate.retrain_id, INPUTS_HASH_TAG: manifest.inputs_hash},
            model_type=manifest.kind,
        )
        client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, "READY")
        # Not `models:/<id>`: MLflow resolves that through the global tracking URI, which is never set here.
        return str(model.artifact_location)

    def _version_of(self, name: str, source: str, run_id: str | None, tags: Mapping[str, str]) -> RegisteredVersion:
        from mlflow.exceptions import MlflowException

        client = self.tracking.client
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        created = client.create_model_version(name, source, run_id=run_id, tags=dict(tags))
        return self.version(name, int(created.version))

    def _tags_of(self, version: RegisteredVersion) -> dict[str, str]:
        return dict(self.tracking.client.get_model_version(version.name, str(version.version)).tags)


def _gates(candidate: Candidate) -> str:
    if candidate.evidence is None:
        return "not judged"
    evidence = EvidenceDocument.read(candidate.evidence, where=f"evidence of {candidate.manifest.line}")
    evidence.require_about(
        universe=candidate.manifest.universe,
        line=candidate.manifest.line,
        inputs_hash=candidate.manifest.inputs_hash,
        retrain_id=candidate.retrain_id,
    )
    return "passed" if evidence.passed else "failed"


def _evidence_hash(candidate: Candidate) -> str:
    return NOT_JUDGED_HASH if candidate.evidence is None else EvidenceDocument.hash_of(candidate.evidence)


def _package(candidate: Candidate, scratch: Path) -> tuple[Path, float]:
    """The folder that becomes the version, and the largest difference the parity check measured."""
    import mlflow.onnx
    import onnx

    exported = export_onnx(candidate.policy, candidate.manifest, scratch / ONNX_FILE)
    parity = check_parity(candidate.policy, exported, candidate.observations)
    folder = scratch / "package"
    mlflow.onnx.save_model(
        onnx.load(str(exported)),
        str(folder),
        signature=_signature(),
        # Named, because MLflow would otherwise start a process to find out.
        pip_requirements=[f"{package}=={installed_version(package)}" for package in ("onnxruntime", "numpy")],
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
    )
    shutil.copy(exported, folder / ONNX_FILE)
    candidate.policy.save(folder, candidate.manifest)
    if candidate.evidence is not None:
        (folder / EVIDENCE_FILE).write_text(candidate.evidence, encoding="utf-8")
    return folder, parity.max_abs_difference


def _signature() -> ModelSignature:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def spec(name: str, dtype: str, *last: int) -> TensorSpec:
        return TensorSpec(np.dtype(dtype), (-1, -1, *last), name)

    return ModelSignature(
        inputs=Schema(
            [
                spec("market", "float32", len(MARKET_FEATURES)),
                spec("account", "float32", len(ACCOUNT_FEATURES)),
                spec("mask", "bool"),
            ]
        ),
        outputs=Schema(
            [
                spec("weight", "float32"),
                spec("hold", "bool"),
                spec("action", "int64"),
                spec("strength", "float32"),
                spec("probabilities", "float32", 3),
            ]
        ),
    )
