"""Specialists on disk: their adapters as safetensors, and their manifest with the table as JSON. Never a pickle."""

from __future__ import annotations

from pathlib import Path

from toto_ops.errors import StorageError
from toto_ops.forecasting.forecaster import Forecaster
from toto_ops.forecasting.specialists.adapters import CloseHead, StackedAdapters
from toto_ops.forecasting.specialists.specialists import Specialists, SpecialistsManifest
from toto_ops.storage.manifests import stored_manifest

WEIGHTS = "specialists.safetensors"
MANIFEST = "specialists.json"


def save_specialists(specialists: Specialists, folder: Path) -> None:
    """Write `specialists.safetensors` and `specialists.json` into an existing folder. The forecaster is not copied."""
    from safetensors.torch import save_file

    tensors = {name: tensor.contiguous() for name, tensor in specialists.adapters.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    (folder / MANIFEST).write_text(specialists.manifest.model_dump_json(indent=1))


def read_specialists_manifest(folder: Path) -> SpecialistsManifest:
    """What the specialists in a folder are, and their table, without loading them.

    Raises
    ------
    StorageError
        If the folder holds no manifest, or one of a schema version this release cannot read.
    """
    return stored_manifest(folder / MANIFEST, SpecialistsManifest, "specialists", remedy="fit them again")


def load_specialists(folder: Path, forecaster: Forecaster) -> Specialists:
    """Read specialists back, onto the forecaster they adapt.

    Raises
    ------
    StorageError
        If the folder holds none, they adapt another forecaster, their manifest is of another schema version, or their tensors
        are damaged or not those of their table.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    manifest = read_specialists_manifest(folder)
    if manifest.forecaster_identity != forecaster.identity:
        raise StorageError(
            f"adapt forecaster {manifest.forecaster_identity}, and this one is {forecaster.identity}",
            where=str(folder / MANIFEST),
            remedy="load the forecaster they were fitted on, or fit them again",
        )
    close = CloseHead(forecaster.head, manifest.horizons)
    adapters = StackedAdapters(close, len(manifest.kept), manifest.config.rank)
    path = folder / WEIGHTS
    try:
        adapters.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise StorageError(
            f"cannot be read as the adapters of {MANIFEST} ({error})", where=str(path), remedy="fit them again"
        ) from error
    return Specialists(forecaster, adapters.requires_grad_(requires_grad=False), manifest)
