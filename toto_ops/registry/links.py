"""Where things are in the MLflow interface, which opens a run's HTML pages where a browser refuses `file://` links."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


def run_route(experiment_id: str, run_id: str) -> str:
    """Page of a run, within the interface."""
    return f"#/experiments/{quote(experiment_id, safe='')}/runs/{quote(run_id, safe='')}"


def artifact_route(experiment_id: str, run_id: str, path: str) -> str:
    """Page that shows one file of a run, within the interface."""
    return f"{run_route(experiment_id, run_id)}/artifacts/{quote(path)}"


def version_route(name: str, version: int) -> str:
    """Page of a version of a registered model, within the interface."""
    return f"#/models/{quote(name, safe='')}/versions/{version}"


@dataclass(frozen=True)
class MlflowInterface:
    """The MLflow interface as people reach it.

    Parameters
    ----------
    base_url
        Such as `http://127.0.0.1:5000`; it may have a path.
    """

    base_url: str

    def url(self, route: str) -> str:
        """Address of one of its pages."""
        return f"{self.base_url.rstrip('/')}/{route}"
