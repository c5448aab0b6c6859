"""Weights on disk, made once. These tests run where the packages are: `make backbones`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backbones.tiny_models import save_bolt, save_chronos_2, save_toto

SAVED_BY: dict[str, Callable[[Path], None]] = {"toto": save_toto, "bolt": save_bolt, "chronos-2": save_chronos_2}


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weights of each model below it, by its name in `SAVED_BY`: to be read, not written to."""
    root = tmp_path_factory.mktemp("weights")
    for name, save in SAVED_BY.items():
        save(root / name)
    return root


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever reaches for a network fails: loading weights must not need one."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a test reached for the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
