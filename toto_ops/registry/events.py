"""The diary of a universe's serving model: every attempt to change what serves, in order, by whom and why.

Aliases only say what is so now. The diary is kept as tags of the registered model, so that it is where the model is
and shows in the MLflow interface. An attempt is noted as `begun` before anything moves; one whose process died in the
middle is settled by the next attempt, from where the `champion` alias then points.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AwareDatetime

from toto_ops.configuration import VersionedModel

if TYPE_CHECKING:
    from toto_ops.registry.models import ModelRegistry

_PREFIX = "toto.event."
_KINDS_OF_VERSION_1 = {"promoted": "promotion", "rolled back": "rollback"}

Kind = Literal["promotion", "rollback", "freeze", "unfreeze"]
Outcome = Literal["begun", "done", "refused", "failed"]


class RegistryEvent(VersionedModel):
    """One attempt to change what serves.

    Attributes
    ----------
    number
        Place in the diary, from 1.
    version
        What serves since, or was meant to; what serves, for a freeze.
    instead_of
        What served as champion before, if anything.
    by, why
        Who asked for it, and the reason given.
    outcome
        `refused`: the rules do not allow it; `failed`: something broke, and what served was put back; `begun`: under
        way, or its process died.
    detail
        What refused it or broke.
    """

    schema_version: int = 2
    number: int
    universe: str
    at: AwareDatetime
    kind: Kind
    version: int | None
    instead_of: int | None
    by: str
    why: str
    outcome: Outcome
    detail: str = ""

    @classmethod
    def upgraded(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Version 1 knew only what had succeeded, and neither who nor why; its number was in the tag alone."""
        return {
            **content,
            "kind": _KINDS_OF_VERSION_1[content["kind"]],
            "by": "unknown",
            "why": "not recorded",
            "outcome": "done",
        }


def record_event(registry: ModelRegistry, event: RegistryEvent) -> str:
    """Write one event and return the tag it is kept in. The caller holds the promotion lock of the universe."""
    tag = f"{_PREFIX}{event.number:05d}"
    registry.tracking.client.set_registered_model_tag(registry.serving_name(event.universe), tag, event.model_dump_json())
    return tag


def events(registry: ModelRegistry, universe: str) -> tuple[RegistryEvent, ...]:
    """Every event of a universe, oldest first; empty before the first attempt."""
    tags = registry.model_tags(registry.serving_name(universe))
    entries = sorted((name, text) for name, text in tags.items() if name.startswith(_PREFIX))
    return tuple(RegistryEvent.stored({"number": int(name.removeprefix(_PREFIX)), **json.loads(text)}) for name, text in entries)
