"""The diary of a universe's serving model: every attempt to change what serves, in order, by whom and why.

Aliases only say what is so now. The diary is kept as tags of the registered model, so that it is where the model is
and shows in the MLflow interface. An attempt is noted as `begun` before anything moves, and its entry is then rewritten
with what became of it: `toto_ops.registry.attempts`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AwareDatetime, ValidationError

from toto_ops.configuration import VersionedModel, in_words
from toto_ops.errors import StorageError

if TYPE_CHECKING:
    from toto_ops.registry.models import ModelRegistry

EVENT_TAG = "toto.event."
"""Tags of a registered model that begin so hold its diary; the number of the entry follows."""

_KINDS_OF_VERSION_1 = {"promoted": "promotion", "rolled back": "rollback"}

Kind = Literal["promotion", "rollback", "freeze", "unfreeze"]
Outcome = Literal["begun", "done", "refused", "failed"]

LONGEST_TEXT = 1000
"""Characters of `why` and of `detail`: a database keeps at most 5,000 of a whole entry."""


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
        `refused`: the rules do not allow it; `failed`: something broke, and what serves is as it was; `begun`: under
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

    @property
    def signed(self) -> str:
        """When, by whom and why, in words."""
        return f"on {self.at:%Y-%m-%d %H:%M} UTC by {self.by}: {self.why}"

    def closed(self, outcome: Outcome, detail: str = "") -> RegistryEvent:
        """The same attempt with what became of it."""
        shortened = detail if len(detail) <= LONGEST_TEXT else f"{detail[: LONGEST_TEXT - 1]}…"
        return self.model_copy(update={"outcome": outcome, "detail": shortened})

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
    tag = f"{EVENT_TAG}{event.number:05d}"
    registry.tracking.client.set_registered_model_tag(registry.serving_name(event.universe), tag, event.model_dump_json())
    return tag


def changes(diary: Sequence[RegistryEvent]) -> tuple[RegistryEvent, ...]:
    """Promotions and rollbacks that took effect, oldest first."""
    return tuple(event for event in diary if event.outcome == "done" and event.kind in ("promotion", "rollback"))


def last_change(diary: Sequence[RegistryEvent]) -> RegistryEvent | None:
    """The newest promotion or rollback that took effect; None where nothing was ever promoted."""
    return next(reversed(changes(diary)), None)


def last_promotion(diary: Sequence[RegistryEvent], version: int | None) -> RegistryEvent | None:
    """The newest promotion that made a version champion, if one did."""
    promotions = (event for event in reversed(changes(diary)) if event.kind == "promotion")
    return next((event for event in promotions if event.version == version), None)


def last_withdrawal(diary: Sequence[RegistryEvent], version: int) -> RegistryEvent | None:
    """The newest rollback that withdrew a version, if one did."""
    rollbacks = (event for event in reversed(changes(diary)) if event.kind == "rollback")
    return next((event for event in rollbacks if event.instead_of == version), None)


def events(registry: ModelRegistry, universe: str) -> tuple[RegistryEvent, ...]:
    """Every event of a universe, oldest first; empty before the first attempt.

    Raises
    ------
    StorageError
        If an entry cannot be read.
    """
    model = registry.serving_name(universe)
    entries = sorted((tag, text) for tag, text in registry.model_tags(model).items() if tag.startswith(EVENT_TAG))
    return tuple(_read_event(f"{model}, tag {tag}", event_content(model, tag, text)) for tag, text in entries)


def event_content(model: str, tag: str, text: str) -> dict[str, Any]:
    """An entry as it is stored, of any version. Those of version 1 have their number in the name of the tag alone.

    Raises
    ------
    StorageError
        If the tag is none of the diary's.
    """
    try:
        return {"number": int(tag.removeprefix(EVENT_TAG)), **json.loads(text)}
    except (ValueError, TypeError) as error:
        raise _unreadable(f"{model}, tag {tag}", str(error)) from error


def _read_event(where: str, content: dict[str, Any]) -> RegistryEvent:
    try:
        return RegistryEvent.stored(content)
    except ValidationError as error:
        raise _unreadable(where, in_words(error)) from error


def _unreadable(where: str, why: str) -> StorageError:
    return StorageError(
        f"is no readable entry of the diary ({why})",
        where=where,
        remedy="correct the tag in MLflow, or use the release that wrote it; what serves is what `champion` points at",
    )
