"""Files of weights from anywhere, read without running anything that is in them.

A file that `torch.save` wrote is a pickle; it is only read with `weights_only=True`, by which PyTorch makes tensors, numbers,
texts and containers and refuses everything else.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toto_ops.errors import StorageError
from toto_ops.forecasting.reuse.records import SCORES, Record, record_in
from toto_ops.storage.hashing import HASH_LENGTH, file_digest

PICKLED = (".pt", ".pth", ".ckpt", ".bin")
SAFETENSORS = ".safetensors"
SUFFIXES = (*PICKLED, SAFETENSORS)

STATE_DICTS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "network",
    "net",
    "backbone",
    "encoder",
    "module",
    "weights",
    "params",
)
"""Names that training loops keep the weights under, beside optimizer and epoch."""

_OBJECT = re.compile(r"GLOBAL ([\w.]+)")


def _numpy_numbers() -> list[Any]:
    """What a number of numpy is pickled as: losses often are such, and making one runs nothing."""
    numbers: list[np.generic] = [np.float64(0), np.float32(0), np.int64(0), np.int32(0)]
    make = numbers[0].__reduce__()[0]
    # Releases of numpy before 2 kept the same function elsewhere.
    return [np.dtype, (make, "numpy.core.multiarray.scalar"), make, *(type(number.dtype) for number in numbers)]


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights.

    Parameters
    ----------
    path
        Of one of `SUFFIXES`.
    """

    path: Path

    @property
    def identity(self) -> str:
        """Hash of the file."""
        return file_digest(self.path)[:HASH_LENGTH]

    def tensors(self) -> dict[str, Tensor]:
        """The weights by name.

        Raises
        ------
        StorageError
            If the file is damaged, holds no weights, or holds objects that would have to be run to be read.
        """
        if self.path.suffix == SAFETENSORS:
            return _require_some(_safetensors(self.path), self.path)
        return _require_some(_state_dict_in(_unpickled(self.path))[0], self.path)

    def record(self) -> Record:
        """What is recorded beside the weights, which are not read where the format allows it; raises as `tensors` does."""
        if self.path.suffix == SAFETENSORS:
            beside: Mapping[str, Any] = _safetensors_metadata(self.path)
        else:
            tensors, beside = _state_dict_in(_unpickled(self.path))
            _require_some(tensors, self.path)
        return record_in(beside, str(self.path))


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error


def _safetensors_metadata(path: Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            return stored.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error


def _unpickled(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_numpy_numbers()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about storages that older releases of torch wrote
            # Only the present format can be mapped into memory.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # a damaged pickle fails in as many ways as there are instructions in it
        if found := _OBJECT.search(str(error)):
            raise StorageError(
                f"holds more than weights: {found[1]} would have to be run to read it, and nothing in such a file is",
                where=str(path),
                remedy="where it was made, store the state_dict of the model alone, best as safetensors",
            ) from error
        raise _damaged(path, error) from error


def _state_dict_in(content: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights in what was stored, and what was stored beside them."""
    if not isinstance(content, Mapping):
        return {}, {}
    for name in STATE_DICTS:
        tensors, beside = _state_dict_in(content.get(name))
        if tensors:
            return tensors, {**beside, **content}
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor) and name not in SCORES}
    return tensors, dict(content)


def _require_some(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    if not tensors:
        raise StorageError("holds no weights", where=str(path), remedy="store the state_dict of the model alone in it")
    return tensors


def _damaged(path: Path, error: Exception) -> StorageError:
    told = re.split(r"\.\s|\n", str(error).strip())[0] or type(error).__name__
    return StorageError(f"cannot be read ({told:.120})", where=str(path), remedy="copy it anew, or remove it")
