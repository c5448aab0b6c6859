"""The diary of a universe's serving model: every promotion and rollback, in order, never rewritten.

Aliases only say what is so now, and a version promoted twice keeps one tag. The diary is kept as tags of the
registered model, so that it is where the model is and shows in the MLflow interface.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime

from toto_ops.configuration import VersionedModel

if TYPE_CHECKING:
    from toto_ops.registry.models import ModelRegistry

_PREFIX = "toto.event."


class RegistryEvent(VersionedModel):
    """One change of what serves.

    Attributes
    ----------
    version
        What serves since.
    instead_of
        What served as champion before, if anything.
    """

    universe: str
    at: AwareDatetime
    kind: Literal["promoted", "rolled back"]
    version: int
    instead_of: int | None


def record_event(registry: ModelRegistry, event: RegistryEvent) -> str:
    """Append one event and return the tag it is kept in. The caller holds the promotion lock of the universe."""
    name = registry.serving_name(event.universe)
    number = len(events(registry, event.universe)) + 1
    tag = f"{_PREFIX}{number:05d}"
    registry.tracking.client.set_registered_model_tag(name, tag, event.model_dump_json())
    return tag


def events(registry: ModelRegistry, universe: str) -> tuple[RegistryEvent, ...]:
    """Every event of a universe, oldest first; empty before the first promotion."""
    tags = registry.model_tags(registry.serving_name(universe))
    entries = sorted((name, text) for name, text in tags.items() if name.startswith(_PREFIX))
    return tuple(RegistryEvent.model_validate_json(text) for _, text in entries)
