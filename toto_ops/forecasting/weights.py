"""Weights as content: a hash that says whether two modules are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from torch import Tensor

from toto_ops.storage.hashing import HASH_LENGTH


def tensors_hash(parts: Mapping[str, Mapping[str, Tensor]], *also: str) -> str:
    """Hash of named tensors, by name, dtype, shape and values, and of whatever else identifies what they belong to."""
    hasher = hashlib.sha256("\x00".join(also).encode())
    for part in sorted(parts):
        for name in sorted(parts[part]):
            tensor = parts[part][name].detach().cpu().contiguous()
            hasher.update(f"{part}.{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
            hasher.update(tensor.numpy().tobytes())
    return hasher.hexdigest()[:HASH_LENGTH]
