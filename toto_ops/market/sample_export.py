"""Copies the bundled bars out, as a start for a CSV folder of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path

from toto_ops.errors import ConfigError
from toto_ops.market.sources import SAMPLE_FOLDER


def export_sample(name: str, folder: Path) -> tuple[Path, ...]:
    """Copy the sample called `name` (`stocks`, `crypto`) into `folder`, which must be new or empty.

    Raises
    ------
    ConfigError
        If there is no such sample, or the folder holds something already.
    """
    samples = {path.name.removeprefix("daily_"): path for path in sorted(SAMPLE_FOLDER.iterdir()) if path.is_dir()}
    if name not in samples:
        raise ConfigError(f"there is no sample {name!r}", remedy=f"choose one of {', '.join(samples)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError("is not an empty folder", where=str(folder), remedy="name a new one; nothing was overwritten")
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(Path(shutil.copyfile(path, folder / path.name)) for path in sorted(samples[name].glob("*.csv")))
