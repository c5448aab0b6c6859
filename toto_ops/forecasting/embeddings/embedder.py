"""A fitted embedder, and its files: safetensors and JSON, never a pickle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import AwareDatetime, Field

from toto_ops.configuration import VersionedModel
from toto_ops.errors import StorageError
from toto_ops.forecasting.config import EmbeddingConfig
from toto_ops.forecasting.embeddings.network import Embedder, EmbedderShape
from toto_ops.forecasting.weights import tensors_hash
from toto_ops.storage.manifests import stored_manifest

WEIGHTS = "embedder.safetensors"
MANIFEST = "embedder.json"


class EmbedderManifest(VersionedModel):
    """What a stored embedder is and where it came from."""

    universe: str
    forecaster_identity: str = Field(description="hash of the forecaster whose states it reads")
    shape: EmbedderShape
    symbols: tuple[str, ...] = Field(description="symbols with a vector of their own; others have that of an unknown one")
    context_names: tuple[str, ...] = Field(description="context it reads, in its order")
    horizons: tuple[int, ...] = Field(description="bars ahead it was trained to tell of, and forecasts beside it are made for")
    config: EmbeddingConfig
    work: str = Field(description="identity of its training: data, spans, configuration, code version and forecaster")
    knows_until: AwareDatetime = Field(description="latest close that influenced weights, scale or selection, parents included")
    possibly_knows_until: AwareDatetime | None = Field(default=None, description="as in the forecaster's manifest")
    epochs: int
    metrics: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True)
class FittedEmbedder:
    """A network with the weights of its best epoch, in eval mode."""

    network: Embedder
    manifest: EmbedderManifest

    @cached_property
    def identity(self) -> str:
        """Hash of every weight and of what is read by them: embedders of one identity give the same vectors."""
        manifest = self.manifest
        names = (manifest.forecaster_identity, *manifest.symbols, *manifest.context_names, *map(str, manifest.horizons))
        return tensors_hash({"embedder": self.network.state_dict()}, str(manifest.shape.heads), *names)


def save_embedder(embedder: FittedEmbedder, folder: Path) -> None:
    """Write `embedder.safetensors` and `embedder.json` into an existing folder."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in embedder.network.state_dict().items()}, folder / WEIGHTS)
    (folder / MANIFEST).write_text(embedder.manifest.model_dump_json(indent=1))


def load_embedder(folder: Path) -> FittedEmbedder:
    """Read an embedder back.

    Raises
    ------
    StorageError
        If the folder holds none, its manifest is of another schema version, or its tensors are damaged or of another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    manifest = read_embedder_manifest(folder)
    network = Embedder(manifest.shape)
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise StorageError(
            f"cannot be read as what {MANIFEST} says it is ({error})",
            where=str(folder / WEIGHTS),
            remedy="remove this folder and retrain",
        ) from error
    network.eval()
    return FittedEmbedder(network, manifest)


def read_embedder_manifest(folder: Path) -> EmbedderManifest:
    """What the embedder in a folder is, without loading it.

    Raises
    ------
    StorageError
        If the folder holds no manifest, or one of a schema version this release cannot read.
    """
    return stored_manifest(folder / MANIFEST, EmbedderManifest, "embedder", remedy="remove this folder and retrain")
