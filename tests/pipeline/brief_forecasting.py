"""Forecasting in the size a test can afford that is about something else."""

from pathlib import Path
from typing import Any

import yaml

from toto_ops.configuration import PROJECT_ROOT

BRIEF: dict[str, dict[str, Any]] = {
    "market": {"width": 16, "layers": 1, "heads": 2},
    "pretraining": {"epochs": 1, "hidden": 16, "stride": 256, "batch": 64},
    "specialists": {"steps": 2},
    "embeddings": {"epochs": 1, "batch": 512},
}


def write_brief_forecasting(folder: Path, preference: tuple[str, ...] = ("statistical",)) -> None:
    """Write a `forecasting.yaml` as shipped, but with a backbone without weights and a single short epoch of everything."""
    content = yaml.safe_load((PROJECT_ROOT / "deploy" / "config" / "forecasting.yaml").read_text())
    for section, changes in BRIEF.items():
        content[section] |= changes
    (folder / "forecasting.yaml").write_text(yaml.safe_dump(content | {"preference": list(preference)}))
