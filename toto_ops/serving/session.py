"""One registered model, loaded to answer: ONNX Runtime on the CPU, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toto_ops.errors import StorageError
from toto_ops.features.state import STATE_SCHEMA
from toto_ops.learning.onnx_files import open_session
from toto_ops.policies.contract import PolicyManifest, read_manifest
from toto_ops.registry.history import require_incumbent
from toto_ops.registry.models import ONNX_FILE, ModelRegistry
from toto_ops.registry.onnx_export import DecisionArrays, run_session
from toto_ops.registry.versions import CHAMPION, RegisteredVersion

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@dataclass(frozen=True)
class ServingSession:
    """A model that is ready to answer.

    Attributes
    ----------
    version
        Which registered version it is.
    manifest
        What it was trained on.
    is_fallback
        Whether it serves only because the universe has no champion.
    """

    version: RegisteredVersion
    manifest: PolicyManifest
    is_fallback: bool
    runtime: InferenceSession

    def decide(self, market: NDArray[np.float32], account: NDArray[np.float32], mask: NDArray[np.bool_]) -> DecisionArrays:
        """Decisions for market `[B, A, 30]`, account `[B, A, 4]` and mask `[B, A]`."""
        return run_session(self.runtime, market, account, mask)


def open_incumbent(registry: ModelRegistry, universe: str) -> ServingSession:
    """Load what serves a universe now: its champion, else its fallback.

    Raises
    ------
    StorageError
        If nothing is registered, a file is not what was registered, or the model expects other observations.
    """
    version = require_incumbent(registry, universe)
    folder = registry.files(version)
    manifest = read_manifest(folder)
    if manifest.observation_schema != STATE_SCHEMA:
        raise StorageError(
            f"expects observations {manifest.observation_schema!r}, this release makes {STATE_SCHEMA!r}",
            where=version.label,
            remedy="retrain, or serve it with the release that registered it",
        )
    return ServingSession(version, manifest, CHAMPION not in version.aliases, open_session(folder / ONNX_FILE))
