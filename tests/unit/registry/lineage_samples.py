"""Registered versions and diary entries as values, without a registry."""

from datetime import UTC, datetime, timedelta

from toto_ops.registry.events import RegistryEvent
from toto_ops.registry.versions import RegisteredVersion

BEGINNING = datetime(2024, 6, 1, tzinfo=UTC)
REVISION = "0123456789abcdef0123456789abcdef01234567"


def registered(number: int, *aliases: str, line: str = "bc", **changes) -> RegisteredVersion:
    """A version registered on day `number`."""
    values = {
        "name": "toto-crypto",
        "version": number,
        "universe": "crypto",
        "line": line,
        "aliases": aliases,
        "retrain_id": f"retrain-{number}",
        "inputs_hash": f"inputs-{number}",
        "data_hash": f"data-{number}",
        "code_version": "1",
        "knows_until": BEGINNING,
        "gates": "not judged" if line == "fallback" else "passed",
        "evidence_hash": "evidence",
        "files": {"model.onnx": f"{number:064x}", "policy.safetensors": f"{number + 100:064x}"},
        "source": "/models",
        "run_id": "run",
        "created_at": BEGINNING + timedelta(days=number),
        "promoted_at": None,
        "replaced": None,
        "rolled_back_at": None,
        "provenance": {"toto.git_revision": REVISION, "toto.release": "0.1.0"},
    }
    return RegisteredVersion(**{**values, **changes})


def entry(number: int, kind: str, version: int, instead_of: int | None = None, **changes) -> RegistryEvent:
    """The `number`-th entry of the diary, made on day 100 + `number`."""
    values = {
        "number": number,
        "universe": "crypto",
        "at": BEGINNING + timedelta(days=100 + number),
        "kind": kind,
        "version": version,
        "instead_of": instead_of,
        "by": "ann@desk",
        "why": f"reason {number}",
        "outcome": "done",
    }
    return RegistryEvent(**{**values, **changes})
