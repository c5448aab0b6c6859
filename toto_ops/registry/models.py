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
from toto_ops.evaluation.judgement.evidence import EVIDENCE_FILE, Evidence, Verdict, read_evidence, write_evidence
from toto_ops.features.state import ACCOUNT_FEATURES, MARKET_FEATURES
from toto_ops.policies.contract import Policy, PolicyManifest, load_policy
from toto_ops.registry.belonging import require_about
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
    Gates,
    RegisteredVersion,
)
from toto_ops.simulation.observation import Observation
from toto_ops.storage.hashing import file_digest, value_hash
from toto_ops.storage.store import LIVE

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel
    from mlflow.models import ModelSignature

ONNX_FILE = "model.onnx"
_POLICY_FILES = ("policy.safetensors", "policy.json")


@dataclass(frozen=True)
class Submission:
    """A trained policy on its way into the registry.

    Attributes
    ----------
    evidence
        What the judgement found; None for a policy that was not judged.
    observations
        Real observations of the universe's own bars, for the parity check.
    provenance
        Further tags: git revision, Dagster run.
    """

    policy: Policy
    manifest: PolicyManifest
    retrain_id: str
    observations: Sequence[Observation]
    evidence: Evidence | None = None
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
        """The MLflow client and experiments of this namespace."""
        return Tracking(self.tracking_uri, self.namespace)

    def serving_name(self, universe: str) -> str:
        """Name of the model that serves a universe."""
        return self.tracking.name(f"toto-{universe}")

    def line_name(self, universe: str, line: str) -> str:
        """Name of the model of one line of a universe."""
        return self.tracking.name(f"toto-{universe}-{line}")

    # -- writing -----------------------------------------------------------------------------------------------

    def register(self, submission: Submission) -> RegisteredVersion:
        """Store a policy as a version of its line's model; the same submission twice is one version.

        Raises
        ------
        PromotionError
            If the ONNX model does not decide as the policy does, or the evidence is about another policy.
        """
        name = self.line_name(submission.manifest.universe, submission.manifest.line)
        return self._twin(name, submission) or self._store(name, submission)

    def offer_challenger(self, submission: Submission) -> RegisteredVersion:
        """Register a judged policy and make it the universe's `challenger`; what serves does not change."""
        if submission.evidence is None:
            raise PromotionError(
                "a challenger needs the evidence it was judged by", where=submission.manifest.universe, remedy="evaluate it first"
            )
        return self._offer(submission, CHALLENGER)

    def register_fallback(self, submission: Submission) -> RegisteredVersion:
        """Register the policy that serves while there is no champion, and point `fallback` at it."""
        return self._offer(submission, FALLBACK)

    def upload(self, folder: Path, key: RunKey, kind: str) -> str:
        """Attach the files of a model to the run it was trained in; returns where they are kept."""
        client = self.tracking.client
        model = client.create_logged_model(
            self.tracking.experiment_id(key.universe),
            name=key.line,
            source_run_id=self.tracking.run_id(key),
            tags={RETRAIN_ID_TAG: key.retrain_id, INPUTS_HASH_TAG: key.inputs_hash},
            model_type=kind,
        )
        client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, "READY")
        # Not `models:/<id>`: MLflow resolves that through the global tracking URI, which is never set here.
        return str(model.artifact_location)

    def create_version(self, name: str, source: str, run_id: str | None, tags: Mapping[str, str]) -> RegisteredVersion:
        """Make a version of a registered model, and the model itself where it is the first, of files that are kept already."""
        from mlflow.exceptions import MlflowException

        client = self.tracking.client
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        created = client.create_model_version(name, source, run_id=run_id, tags=dict(tags))
        return self.version(name, int(created.version))

    # -- reading -----------------------------------------------------------------------------------------------

    def aliases(self, name: str) -> dict[str, int]:
        """Alias to version of a registered model; empty where the model does not exist yet."""
        stored = self._model(name)
        return {} if stored is None else {str(alias): int(version) for alias, version in stored.aliases.items()}

    def model_tags(self, name: str) -> dict[str, str]:
        """Tags of a registered model itself; empty where the model does not exist yet."""
        stored = self._model(name)
        return {} if stored is None else dict(stored.tags)

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
        # A search leaves the aliases of versions empty; only the model itself has them.
        pointing: dict[int, list[str]] = {}
        for alias, number in aliases.items():
            pointing.setdefault(number, []).append(alias)
        found = (RegisteredVersion.read(item, pointing.get(int(item.version), ())) for item in stored)
        return tuple(sorted(found, key=lambda item: item.version))

    def policy(self, version: RegisteredVersion) -> tuple[Policy, PolicyManifest]:
        """The policy of a version as it was trained, for evaluation; serving uses the ONNX model."""
        return load_policy(self.files(version))

    def files(self, version: RegisteredVersion) -> Path:
        """Local folder with the files of a version, each checked against the hash noted when it was registered.

        Raises
        ------
        StorageError
            If a file is missing or is not what was registered.
        """
        from mlflow.artifacts import download_artifacts

        folder = Path(version.source)
        if not folder.is_absolute():
            # One place per version, so that repeated downloads do not pile up; the hashes below say what it holds.
            cache = Path(tempfile.gettempdir()) / "toto-ops-models" / value_hash([self.tracking_uri, version.source])
            cache.mkdir(parents=True, exist_ok=True)
            folder = Path(download_artifacts(artifact_uri=version.source, dst_path=str(cache), tracking_uri=self.tracking_uri))
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

    def _model(self, name: str) -> RegisteredModel | None:
        from mlflow.exceptions import MlflowException

        try:
            return self.tracking.client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def _offer(self, submission: Submission, alias: str) -> RegisteredVersion:
        own = self.register(submission)
        name = self.serving_name(submission.manifest.universe)
        offered = self._twin(name, submission) or self.create_version(name, own.source, own.run_id, self._tags_of(own))
        for version in (own, offered):
            self.tracking.client.set_registered_model_alias(version.name, alias, str(version.version))
        return self.version(name, offered.version)

    def _twin(self, name: str, submission: Submission) -> RegisteredVersion | None:
        """The version already made of the same policy, data and evidence, if a step is being repeated."""
        wanted = (submission.manifest.inputs_hash, submission.manifest.data_hash, _evidence_hash(submission))
        for version in reversed(self.versions(name)):
            if (version.inputs_hash, version.data_hash, version.evidence_hash) == wanted:
                return version
        return None

    def _store(self, name: str, submission: Submission) -> RegisteredVersion:
        manifest = submission.manifest
        gates = _gates(submission)
        key = RunKey(manifest.universe, submission.retrain_id, manifest.line, manifest.inputs_hash)
        run_id = self.tracking.run_id(key)
        with tempfile.TemporaryDirectory(prefix="toto-model-") as scratch:
            folder, difference = _package(submission, Path(scratch))
            files = {
                file: file_digest(folder / file)
                for file in (ONNX_FILE, *_POLICY_FILES, EVIDENCE_FILE)
                if (folder / file).exists()
            }
            source = self.upload(folder, key, manifest.kind)
        self.tracking.client.set_terminated(run_id, "FINISHED")  # the fallback is not trained: nothing else ends its run
        tags = {
            UNIVERSE_TAG: manifest.universe,
            LINE_TAG: manifest.line,
            RETRAIN_ID_TAG: submission.retrain_id,
            INPUTS_HASH_TAG: manifest.inputs_hash,
            DATA_HASH_TAG: manifest.data_hash,
            CODE_VERSION_TAG: manifest.code_version,
            KNOWS_UNTIL_TAG: manifest.knows_until.isoformat() if manifest.knows_until else "",
            EVIDENCE_HASH_TAG: _evidence_hash(submission),
            GATES_TAG: gates,
            FILES_TAG: json.dumps(files, sort_keys=True),
            PARITY_TAG: f"{difference:.3g}",
            **submission.provenance,
        }
        return self.create_version(name, source, run_id, tags)

    def _tags_of(self, version: RegisteredVersion) -> dict[str, str]:
        return dict(self.tracking.client.get_model_version(version.name, str(version.version)).tags)


def _gates(submission: Submission) -> Gates:
    if submission.evidence is None:
        return "not judged"
    require_about(submission.evidence, submission.manifest, submission.retrain_id)
    answers: Mapping[Verdict, Gates] = {"passed": "passed", "refused": "failed", "quarantined": "quarantined"}
    return answers[submission.evidence.verdict]


def _evidence_hash(submission: Submission) -> str:
    return NOT_JUDGED_HASH if submission.evidence is None else value_hash(submission.evidence)


def _package(submission: Submission, scratch: Path) -> tuple[Path, float]:
    """The folder that becomes the version, and the largest difference the parity check measured."""
    import mlflow.onnx
    import onnx

    exported = export_onnx(submission.policy, submission.manifest, scratch / ONNX_FILE)
    parity = check_parity(submission.policy, exported, submission.observations)
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
    submission.policy.save(folder, submission.manifest)
    if submission.evidence is not None:
        write_evidence(submission.evidence, folder)
        # Promotion will read it back: whatever cannot be read must be found out now.
        read_evidence(folder)
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
