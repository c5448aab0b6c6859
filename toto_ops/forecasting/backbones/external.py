"""What backbones with weights from elsewhere share: where these are, that they are whole, and that they stay as they are."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toto_ops.errors import BackboneUnavailableError
from toto_ops.forecasting.backbones.contract import Backbone
from toto_ops.forecasting.config import ExternalConfig
from toto_ops.forecasting.series import lengths_of
from toto_ops.forecasting.weights import tensors_hash
from toto_ops.storage.hashing import value_hash

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class ExternalBackbone(Backbone):
    """A backbone whose weights are used as they were published: frozen, in eval mode whatever stands on it does.

    Parameters
    ----------
    model
        The network of the package, float32.
    architecture
        Its `config.json`.
    """

    model: Any  # of a package without types

    def __init__(self, config: ExternalConfig, model: nn.Module, architecture: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.architecture = architecture
        self.model = model.eval().requires_grad_(requires_grad=False)

    def train(self, mode: bool = True) -> ExternalBackbone:  # noqa: FBT001, FBT002 - the signature is torch's
        super().train(mode)
        self.model.eval()
        return self

    @property
    def context(self) -> int:
        """Bars a state or a forecast looks back on at most."""
        return self.config.context

    @cached_property
    def identity(self) -> str:
        return tensors_hash({"model": self.model.state_dict()}, self.kind, value_hash(self.architecture), str(self.context))

    @property
    def released(self) -> datetime:
        """End of the day the weights were published."""
        return datetime.combine(self.config.latest_release + timedelta(days=1), time.min, tzinfo=UTC)

    def states(self, x: Tensor) -> Tensor:
        first = self.minimum_bars - 1
        states = torch.full((x.shape[0], x.shape[-1], self.width), torch.nan, dtype=torch.float32, device=x.device)
        # Series by series: one has passes enough to fill a batch, and what is held beside the answer stays small.
        for row, length in enumerate(lengths_of(x).tolist()):
            bars = torch.arange(first, max(first, length), device=x.device)
            states[row, bars] = self.states_at(x, torch.full_like(bars, row), bars)
        return states

    def latest_states(self, x: Tensor, count: int) -> Tensor:
        states = torch.full((x.shape[0], count, self.width), torch.nan, dtype=torch.float32, device=x.device)
        bars = lengths_of(x).unsqueeze(-1) - torch.arange(count, 0, -1, device=x.device)
        rows, places = (bars >= self.minimum_bars - 1).nonzero(as_tuple=True)
        states[rows, places] = self.states_at(x, rows, bars[rows, places])
        return states

    @abstractmethod
    def states_at(self, x: Tensor, rows: Tensor, bars: Tensor) -> Tensor:
        """States `[N, D]` float32 of `N` bars of series `[B, V, T]`: bar `bars[n]` of series `rows[n]`, none beyond its end."""


@contextmanager
def package_of(kind: str, requirement: str) -> Iterator[None]:
    """Around the import of a package from an extra.

    Raises
    ------
    BackboneUnavailableError
        If it is not installed, or does not import.
    """
    try:
        yield
    except ImportError as error:
        raise BackboneUnavailableError(
            f"the package {requirement} cannot be imported ({error})",
            where=kind,
            remedy="install it as docs/forecasting.md says, or leave it out of the preference list",
        ) from error


@contextmanager
def damaged_weights(kind: str, folder: Path) -> Iterator[None]:
    """Around whatever reads weights: a damaged file, or one of another architecture, comes out as one error that says where.

    Raises
    ------
    BackboneUnavailableError
        Whatever a package raised.
    """
    try:
        yield
    except BackboneUnavailableError:
        raise
    except Exception as error:
        raise BackboneUnavailableError(
            f"the weights cannot be loaded ({type(error).__name__}: {_first_line(error)})",
            where=f"{kind} weights in {folder}",
            remedy="fetch them anew, or name others in forecasting.yaml",
        ) from error


def weights_folder(kind: str, config: ExternalConfig) -> Path:
    """The folder with the weights: the one that is configured, or the snapshot of a hub id.

    A snapshot is looked for in the local cache; only `download` lets it be fetched.

    Raises
    ------
    BackboneUnavailableError
        If there is none, or it lacks its `config.json` or safetensors files. Pickled weights are not read.
    """
    folder = Path(config.weights).expanduser()
    if not folder.is_dir():
        folder = _snapshot(kind, config)
    if not (folder / CONFIG).is_file() or not ((folder / WEIGHTS).is_file() or (folder / INDEX).is_file()):
        raise BackboneUnavailableError(
            f"has no {CONFIG} beside {WEIGHTS} or {INDEX}",
            where=f"{kind} weights in {folder}",
            remedy="fetch the weights anew in the safetensors layout",
        )
    return folder


def architecture_of(kind: str, folder: Path) -> dict[str, Any]:
    """The `config.json` of a folder.

    Raises
    ------
    BackboneUnavailableError
        If it is not a JSON object.
    """
    with damaged_weights(kind, folder):
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError(f"{CONFIG} is not an object")
        return content


def check_whole(kind: str, folder: Path, model: nn.Module) -> None:
    """See that every tensor of a model came from the files: packages draw missing ones at random, and only say so in a log.

    Raises
    ------
    BackboneUnavailableError
        If one is missing in the files, or holds a value that is not finite.
    """
    stored = _stored_names(folder)
    tensors = model.state_dict(keep_vars=True)
    # Tensors that share memory are stored once, under any of their names.
    filled = {tensor.data_ptr() for name, tensor in tensors.items() if name in stored}
    missing = [name for name, tensor in tensors.items() if name not in stored and tensor.data_ptr() not in filled]
    broken = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    for names, fault in ((missing, "are not in the files"), (broken, "hold values that are not finite")):
        if names:
            raise BackboneUnavailableError(
                f"{len(names)} tensors {fault}, {names[0]} among them",
                where=f"{kind} weights in {folder}",
                remedy="fetch the weights anew, or name others in forecasting.yaml",
            )


def _stored_names(folder: Path) -> set[str]:
    from safetensors import safe_open

    files = [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        files = [folder / name for name in sorted(set(json.loads((folder / INDEX).read_text())["weight_map"].values()))]
    names: set[str] = set()
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            names.update(tensors.keys())
    return names


def _snapshot(kind: str, config: ExternalConfig) -> Path:
    if not HUB_ID.fullmatch(config.weights):
        raise BackboneUnavailableError(
            f"folder {config.weights!r} does not exist", where=f"{kind}.weights", remedy="correct it in forecasting.yaml"
        )
    with package_of(kind, "huggingface-hub"):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HTTPError
    try:
        return Path(
            snapshot_download(
                config.weights, local_files_only=not config.download, allow_patterns=[CONFIG, INDEX, "model*.safetensors"]
            )
        )
    except (OSError, ValueError, HTTPError) as error:
        found = (
            f"could not be fetched ({_first_line(error)})" if config.download else "is not in the local cache of the model hub"
        )
        raise BackboneUnavailableError(
            f"{config.weights} {found}",
            where=f"{kind}.weights",
            remedy="fetch it once, set `download: true`, or name a folder in forecasting.yaml",
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")[:300]
