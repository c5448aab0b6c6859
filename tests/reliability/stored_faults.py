"""What must hold of the store at any moment, whatever was killed: whatever is visible is whole."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from tests.reliability.planted_home import UNIVERSE, PlantedHome
from toto_ops.errors import TotoOpsError
from toto_ops.storage.hashing import folder_hash
from toto_ops.storage.store import LIVE, ArtefactRef
from toto_ops.training.ledger import TrialLedger

_COMPLETE = "artefact.json"
_CONTENT_HASH = re.compile(r"[0-9a-f]{16}")


def stored_faults(planted: PlantedHome) -> list[str]:
    """Every artefact, document, ledger entry and checkpoint that is visible and not whole."""
    namespace = planted.root / LIVE
    faults: list[str] = []
    for folder, documents in _visible_folders(namespace):
        if (folder / _COMPLETE).exists():
            faults += _artefact_faults(folder)
        elif _CONTENT_HASH.fullmatch(folder.name):
            faults.append(f"{folder} is visible and incomplete")
        else:
            faults += [fault for path in documents for fault in _document_faults(namespace, path)]
    for path in (planted.root / "checkpoints").rglob("[!.]*.safetensors"):
        faults += _checkpoint_faults(path)
    return faults + _ledger_faults(planted)


def _visible_folders(namespace: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Every folder readers can reach, with its JSON documents; what is inside an artefact belongs to that artefact."""
    for place, folders, files in os.walk(namespace):
        folder = Path(place)
        folders[:] = [] if _COMPLETE in files else [name for name in folders if not name.startswith(".")]
        yield folder, [folder / name for name in files if name.endswith(".json") and not name.startswith(".")]


def _artefact_faults(folder: Path) -> list[str]:
    stored = ArtefactRef.from_dict(json.loads((folder / _COMPLETE).read_text()))
    found = folder_hash(folder, leaving_out=_COMPLETE)
    if not found == stored.content_hash == folder.name:
        return [f"{folder} holds {found} and says it holds {stored.content_hash}"]
    return []


def _document_faults(namespace: Path, path: Path) -> list[str]:
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        return [f"{path} is no JSON: {error}"]
    if not isinstance(content, dict):
        return [f"{path} is no JSON object"]
    points = path.name == "latest.json" or path.parent.name in {"by-inputs", "artefacts"}
    if not points:
        return []
    ref = ArtefactRef.from_dict(content)
    whole = (namespace.joinpath(*ref.key.parts) / ref.content_hash / _COMPLETE).exists()
    return [] if whole else [f"{path} points at {ref.key} {ref.content_hash}, which is not there"]


def _checkpoint_faults(path: Path) -> list[str]:
    try:
        with safe_open(path, framework="numpy") as checkpoint:
            for name in checkpoint.keys():  # noqa: SIM118 - it is no mapping
                checkpoint.get_tensor(name)
    except SafetensorError as error:
        return [f"{path} cannot be read: {error}"]
    return []


def _ledger_faults(planted: PlantedHome) -> list[str]:
    ledger = TrialLedger(planted.project().store, UNIVERSE)
    try:
        list(ledger.trials())
        list(ledger.openings())
    except TotoOpsError as error:
        return [str(error)]
    return []
