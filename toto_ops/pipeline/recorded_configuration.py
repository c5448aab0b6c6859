"""The configuration a retraining was made with, kept beside its index: files change, and a hash cannot be read back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from toto_ops.configuration import VersionedModel
from toto_ops.pipeline.project import Project
from toto_ops.storage.retraining import Retraining
from toto_ops.universes import Universe

CONFIGURATION_DOCUMENT = "configuration.json"


class RecordedConfiguration(VersionedModel):
    """Every setting that influenced a retraining, overlays and overrides applied; `Project.config_hash` is its hash."""

    schema_version: int = 2
    universe: dict[str, JsonValue]
    strategy: dict[str, JsonValue]
    training: dict[str, JsonValue]
    forecasting: dict[str, JsonValue]
    gates: dict[str, JsonValue]

    @classmethod
    def upgraded(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Releases that wrote the first version foretold nothing."""
        return {**content, "forecasting": {}}


def note_configuration(project: Project, retraining: Retraining, universe: Universe) -> None:
    """Keep the present configuration with a retraining, once."""
    parts = {
        "universe": universe,
        "strategy": project.strategy,
        "training": project.training,
        "forecasting": project.forecasting,
        "gates": project.gates(universe),
    }
    content = {name: part.model_dump(mode="json", by_alias=True) for name, part in parts.items()}
    retraining.store.create_model(retraining.document(CONFIGURATION_DOCUMENT), RecordedConfiguration.model_validate(content))


def configuration_of(retraining: Retraining) -> RecordedConfiguration | None:
    """The configuration a retraining was made with; None for one of a release that did not keep it."""
    return retraining.store.read_model(retraining.document(CONFIGURATION_DOCUMENT), RecordedConfiguration)
