"""How long `toto-ops admin gc` takes over a store of ten thousand artefacts: planning it, and carrying it out.

A store of 2,000 symbols with five versions each of their bars, made by five retrainings of which the newest two are in
use. The registry is MLflow on SQLite, as in a project; imports are not counted. `rm -rf` of as many folders and files,
in the same run, says what the file system itself takes. Writes `build/benchmarks/retention.json`.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from toto_ops.configuration import PROJECT_ROOT, Settings
from toto_ops.pipeline.collection import carry_out, plan_collections, report_of
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retention_marks import Terms
from toto_ops.storage.hashing import folder_hash
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import BY_INPUTS, SEAL, ArtefactKey, ArtefactRef

SYMBOLS, VERSIONS, IN_USE = 2_000, 5, 2
REQUIRED_SECONDS = 10.0
DAY = 86_400.0


def fill(project: Project) -> None:
    """Write the store as retrainings would have, but without syncing each file, which would take minutes."""
    base = Path(str(project.store.root)) / project.namespace
    (base / ".staging").mkdir(parents=True)
    for version in range(VERSIONS):
        retraining = Retraining(project.store, "crypto", f"run-{version}")
        entries = base / retraining.folder / "artefacts"
        entries.mkdir(parents=True)
        for number in range(SYMBOLS):
            symbol = f"S{number:04}"
            ref = store_bars(base, ArtefactKey("crypto", "bars", symbol), f"{symbol} {version}")
            (entries / f"bars@{symbol}.json").write_text(json.dumps(ref.to_dict()))
            if version == VERSIONS - 1:
                (base / "crypto" / "bars" / symbol / "latest.json").write_text(json.dumps(ref.to_dict()))
    stamp = time.time() - 60 * DAY
    for path in base.rglob("*"):
        os.utime(path, (stamp, stamp))
    for document in (base / "crypto" / "retrainings" / f"run-{VERSIONS - IN_USE}" / "artefacts").iterdir():
        os.utime(document)


def store_bars(base: Path, key: ArtefactKey, text: str) -> ArtefactRef:
    """One artefact of three files with its pointer."""
    staged = base / ".staging" / "next"
    staged.mkdir()
    (staged / "bars.parquet").write_bytes(text.encode() * 500)
    (staged / "manifest.json").write_text(text)
    ref = ArtefactRef(key, folder_hash(staged), text.replace(" ", "-"))
    (staged / SEAL).write_text(json.dumps(ref.to_dict()))
    folder = base.joinpath(*key.parts)
    (folder / BY_INPUTS).mkdir(parents=True, exist_ok=True)
    staged.rename(folder / ref.content_hash)
    (folder / BY_INPUTS / f"{ref.inputs_hash}.json").write_text(json.dumps(ref.to_dict()))
    return ref


def seconds_of_rm(folder: Path) -> float:
    """Seconds that `rm -rf` takes over as many folders, files and pointers as the collection removed."""
    (folder / ".staging").mkdir(parents=True)
    for number in range(SYMBOLS):
        for version in range(VERSIONS - IN_USE):
            store_bars(folder, ArtefactKey("crypto", "bars", f"S{number:04}"), f"{number} {version}")
    began = time.perf_counter()
    subprocess.run(["rm", "-rf", str(folder)], check=True)
    return time.perf_counter() - began


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="toto-bench-"))
    try:
        settings = Settings(home=str(home))
        project = Project(settings)
        fill(project)
        project.registry.versions("toto-crypto")  # MLflow's imports and tables are not part of it
        terms = Terms(moment=datetime.now(UTC), older_than=timedelta(days=30))
        began, used = time.perf_counter(), time.process_time()
        plans = plan_collections(settings, terms)
        planned = time.perf_counter()
        report = carry_out(plans[0])
        ended = time.perf_counter()
        assert report.removed == report_of(plans[0], plans[0].items).removed
        removed = {row.kind: row.items for row in report.removed}
        assert removed["artefact"] == SYMBOLS * (VERSIONS - IN_USE), removed
        result = {
            "artefacts": SYMBOLS * VERSIONS,
            "removed": removed,
            "plan_s": round(planned - began, 2),
            "sweep_s": round(ended - planned, 2),
            "total_s": round(ended - began, 2),
            "cpu_s": round(time.process_time() - used, 2),
            "rm_rf_s": round(seconds_of_rm(home / "same again"), 2),
            "required_s": REQUIRED_SECONDS,
        }
    finally:
        shutil.rmtree(home)
    for name, value in result.items():
        print(f"{name:<12} {value}")
    folder = PROJECT_ROOT / "build" / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "retention.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
