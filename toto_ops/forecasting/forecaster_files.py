"""A forecaster on disk: the tensors that were trained, as safetensors, and its manifest as JSON. Never a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import torch
from pydantic import ValidationError
from torch import Tensor

from toto_ops.configuration import StrictModel
from toto_ops.errors import StorageError, TotoOpsError
from toto_ops.forecasting.backbones.loading import make_backbone
from toto_ops.forecasting.config import BackboneKind, ForecastingConfig
from toto_ops.forecasting.forecaster import Forecaster, ForecasterManifest, Network
from toto_ops.storage.manifests import stored_manifest

WEIGHTS = "forecaster.safetensors"
MANIFEST = "forecaster.json"


def save_forecaster(forecaster: Forecaster, folder: Path) -> None:
    """Write `forecaster.safetensors` and `forecaster.json` into an existing folder.

    Weights of a backbone that is not trained here are not copied: the manifest says which they are.
    """
    from safetensors.torch import save_file

    tensors = {name: tensor.contiguous() for name, tensor in trained_tensors(forecaster.network).items()}
    save_file(tensors, folder / WEIGHTS)
    (folder / MANIFEST).write_text(forecaster.manifest.model_dump_json(indent=1))


def load_forecaster(folder: Path) -> Forecaster:
    """Read a forecaster back, in eval mode.

    Raises
    ------
    StorageError
        If the folder holds none, its manifest is of another schema version, its tensors are damaged or of another
        architecture, or the backbone it stands on is not there or is not the one it was fitted with.
    """
    manifest = read_forecaster_manifest(folder)
    network = _untrained(manifest, folder)
    _fill(network, folder)
    found = network.backbone.identity
    if found != manifest.backbone_identity:
        raise StorageError(
            f"was fitted on the states of {manifest.backbone} backbone {manifest.backbone_identity}, and this one is {found}",
            where=str(folder / MANIFEST),
            remedy="put the weights of the backbone back to those it names, or retrain",
        )
    network.eval()
    return Forecaster(network, manifest)


def read_forecaster_manifest(folder: Path) -> ForecasterManifest:
    """What the forecaster in a folder is, without loading it.

    Raises
    ------
    StorageError
        If the folder holds no manifest, or one of a schema version this release cannot read.
    """
    return stored_manifest(folder / MANIFEST, ForecasterManifest, "forecaster", remedy="retrain, or name another version")


def trained_tensors(network: Network) -> dict[str, Tensor]:
    """The tensors of a network that training may change: all of it, or the head that stands on a finished backbone."""
    tensors = network.state_dict()
    if network.backbone.capabilities.can_fine_tune:
        return tensors
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("backbone.")}


def _untrained(manifest: ForecasterManifest, folder: Path) -> Network:
    where = str(folder / MANIFEST)
    try:
        horizon, hidden = manifest.head["horizon"], manifest.head["hidden"]
        section = _section(manifest)
    except (LookupError, ValidationError) as error:
        raise StorageError(
            f"does not say how its {manifest.backbone!r} backbone is made ({error})",
            where=where,
            remedy="upgrade toto-ops, or retrain",
        ) from error
    # What is drawn here is overwritten: the caller's random numbers are left alone.
    with torch.random.fork_rng(devices=[]):
        try:
            backbone = make_backbone(manifest.backbone, section, horizon, hidden)
        except TotoOpsError as error:
            raise StorageError(
                f"stands on {manifest.backbone} backbone {manifest.backbone_identity}, which cannot be loaded ({error.problem})",
                where=where,
                remedy=error.remedy or "put its weights back, or retrain",
            ) from error
        return Network.untrained(backbone, horizon, hidden)


def _section(manifest: ForecasterManifest) -> StrictModel:
    """The section of `forecasting.yaml` its backbone was made with."""
    if manifest.backbone not in get_args(BackboneKind):
        raise LookupError(f"no backbone of this release is called {manifest.backbone!r}")
    section: StrictModel = getattr(ForecastingConfig(), manifest.backbone)
    return section.model_validate(manifest.backbone_config)


def _fill(network: Network, folder: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise StorageError(f"cannot be read ({error})", where=str(path), remedy="retrain, or name another version") from error
    expected = trained_tensors(network)
    if faults := _differences(expected, tensors):
        raise StorageError(
            f"is of another architecture than {MANIFEST} says: {faults}",
            where=str(path),
            remedy="retrain, or name another version",
        )
    network.load_state_dict(tensors, strict=False)


def _differences(expected: dict[str, Tensor], found: dict[str, Tensor]) -> str:
    """The first tensors that are missing, unknown or of another shape, in words."""
    faults = [f"{name} is missing" for name in expected.keys() - found.keys()]
    faults += [f"{name} is unknown" for name in found.keys() - expected.keys()]
    faults += [
        f"{name} is {tuple(found[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    return "; ".join(sorted(faults)[:3])
