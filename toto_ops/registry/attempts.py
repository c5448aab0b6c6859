"""One attempt to change what serves: in the diary before anything moves, closed with what became of it.

The alias `champion` moves last and in one write, so whether an attempt took effect is read off where it points, never
remembered. Everything else, the alias `previous` and the tags of the versions, follows from the diary and is brought in
line with it: after an error at once, and by the next attempt where the process died. Until then the incumbent is what
the alias says, before or after, and nothing in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from toto_ops.errors import BusyError, PromotionError, StorageError, TotoOpsError
from toto_ops.registry.events import (
    LONGEST_TEXT,
    Kind,
    Outcome,
    RegistryEvent,
    events,
    last_promotion,
    last_withdrawal,
    record_event,
)
from toto_ops.registry.models import ModelRegistry
from toto_ops.registry.versions import CHAMPION, PREVIOUS, PROMOTED_AT_TAG, REPLACED_TAG, ROLLED_BACK_AT_TAG
from toto_ops.storage.locking import held
from toto_ops.storage.refusals import refusal

LONGEST_NAME = 200
"""Characters of `by`."""


@dataclass(frozen=True)
class Intent:
    """What somebody wants to do to what serves a universe.

    Attributes
    ----------
    version
        What is meant to serve; what serves, for a freeze.
    instead_of
        What serves as champion now, if anything.
    by, why
        Who asks for it, and the reason given.
    """

    kind: Kind
    version: int | None
    instead_of: int | None
    by: str
    why: str


@dataclass(frozen=True)
class Attempt:
    """An attempt under way: `event` is in the diary as begun, `diary` is what came before it."""

    registry: ModelRegistry
    diary: tuple[RegistryEvent, ...]
    event: RegistryEvent

    def move_champion(self, version: int | None) -> None:
        """Let a version serve as champion; None leaves it to the fallback. What follows from it is noted first."""
        _follow(self.registry, (*self.diary, self.event.closed("done")), champion=version)
        _point(self.registry, self.registry.serving_name(self.event.universe), CHAMPION, version)


@contextmanager
def changes_in_turn(registry: ModelRegistry, universe: str) -> Iterator[None]:
    """Hold the one lock under which what serves a universe may change, with what a dead process left in order.

    Raises
    ------
    BusyError
        If another change is still under way after two minutes.
    """
    busy = BusyError(
        "another promotion or rollback is in progress",
        where=registry.serving_name(universe),
        remedy="try again when it has finished",
    )
    with held(registry.tracking.lock(f"promotion-{universe}"), busy):
        _settle(registry, universe, "failed", "its process ended before it was finished")
        yield


def settle_interrupted(registry: ModelRegistry, universe: str) -> None:
    """Close an attempt whose process died in the middle, if there is one. Every attempt does this before its own."""
    with changes_in_turn(registry, universe):
        pass


def require_signed(by: str, why: str, where: str) -> None:
    """Insist that somebody gives a reason; without it, nothing is attempted.

    Raises
    ------
    PromotionError
        If either is blank or too long.
    """
    for what, text, longest in (("who asks for it", by, LONGEST_NAME), ("a reason", why, LONGEST_TEXT)):
        if not text.strip() or len(text) > longest:
            raise PromotionError(
                f"the diary needs {what}", where=where, remedy=f"say it in 1 to {longest:,} characters".replace(",", " ")
            )


def require_registered(registry: ModelRegistry, universe: str) -> dict[str, int]:
    """Aliases of the model that serves a universe, once there is one.

    Raises
    ------
    StorageError
        If nothing was registered for the universe yet.
    """
    name = registry.serving_name(universe)
    aliases = registry.aliases(name)
    if not aliases:
        raise StorageError("no model is registered", where=name, remedy=f"run `toto-ops retrain {universe}` first")
    return aliases


@contextmanager
def attempted(registry: ModelRegistry, universe: str, intent: Intent) -> Iterator[Attempt]:
    """Note an attempt, let it happen in the body, and close it. The caller is inside `changes_in_turn`.

    A body that raised an error of this project's is a refusal, any other error a failure, and the error goes on to the
    caller; unless `champion` turns out to have moved, as when only the server's answer was lost: then it is done.

    Raises
    ------
    PromotionError
        If the registry failed. What serves is what `champion` points at, and the message says so.
    """
    diary = events(registry, universe)
    event = RegistryEvent(
        number=diary[-1].number + 1 if diary else 1,
        universe=universe,
        at=datetime.now(UTC),
        kind=intent.kind,
        version=intent.version,
        instead_of=intent.instead_of,
        by=intent.by,
        why=intent.why,
        outcome="begun",
    )
    try:
        record_event(registry, event)
        yield Attempt(registry, diary, event)
        record_event(registry, event.closed("done"))
    except BaseException as error:
        closed = _settle_after(registry, event, error)
        took_effect = closed is not None and closed.number == event.number and closed.outcome == "done"
        if not (took_effect and isinstance(error, Exception)):
            if isinstance(error, Exception) and not isinstance(error, TotoOpsError):
                raise _failure(registry, event, error) from error
            raise


def _settle_after(registry: ModelRegistry, event: RegistryEvent, error: BaseException) -> RegistryEvent | None:
    refused = isinstance(error, TotoOpsError)
    detail = _detail(error)
    try:
        return _settle(registry, event.universe, "refused" if refused else "failed", detail)
    except Exception as trouble:
        if not isinstance(error, Exception):  # the process is being stopped: the next attempt settles this one
            raise error from trouble
        raise PromotionError(
            f"the {event.kind} broke off ({detail}), and then its traces could not be put in order ({_detail(trouble)})",
            where=registry.serving_name(event.universe),
            remedy="what serves is one whole version, see `toto-ops registry show`; the next promotion, rollback or freeze "
            "puts the rest in order",
        ) from error


def _detail(error: BaseException) -> str:
    known = refusal(error) or error
    return known.problem if isinstance(known, TotoOpsError) else f"{type(known).__name__}: {known}"


def _failure(registry: ModelRegistry, event: RegistryEvent, error: Exception) -> PromotionError:
    return PromotionError(
        f"the {event.kind} failed, what serves is as it was: {_detail(error)}",
        where=registry.serving_name(event.universe),
        remedy="see that the MLflow database or server works, then try again",
    )


def _settle(registry: ModelRegistry, universe: str, otherwise: Outcome, detail: str) -> RegistryEvent | None:
    """Close the newest entry if it is open, and bring in line what follows from it; returns the newest entry."""
    diary = events(registry, universe)
    if not diary or diary[-1].outcome != "begun":
        return diary[-1] if diary else None
    champion = registry.aliases(registry.serving_name(universe)).get(CHAMPION)
    closed = diary[-1].closed("done") if _took_effect(diary[-1], champion) else diary[-1].closed(otherwise, detail)
    _follow(registry, (*diary[:-1], closed), champion)
    record_event(registry, closed)
    return closed


def _took_effect(event: RegistryEvent, champion: int | None) -> bool:
    match event.kind:
        case "promotion":
            return champion == event.version
        case "rollback":
            return champion != event.instead_of
        case "freeze" | "unfreeze":  # nothing but the entry itself, and that says `begun`
            return False


# -- what follows from the diary -----------------------------------------------------------------------------------


def _follow(registry: ModelRegistry, diary: Sequence[RegistryEvent], champion: int | None) -> None:
    """Bring the tags of the versions the newest entry is about, and the alias `previous`, in line with the diary."""
    newest = diary[-1]
    if newest.kind not in ("promotion", "rollback"):
        return
    name = registry.serving_name(newest.universe)
    for version in (newest.version, newest.instead_of):
        if version is not None:
            _tag(registry, name, version, _tags_of(diary, version))
    promotion = last_promotion(diary, champion)
    _point(registry, name, PREVIOUS, promotion.instead_of if promotion else None)


def _tags_of(diary: Sequence[RegistryEvent], version: int) -> dict[str, str | None]:
    promotion, withdrawal = last_promotion(diary, version), last_withdrawal(diary, version)
    return {
        PROMOTED_AT_TAG: promotion.at.isoformat() if promotion else None,
        REPLACED_TAG: str(promotion.instead_of or "") if promotion else None,
        ROLLED_BACK_AT_TAG: withdrawal.at.isoformat() if withdrawal else None,
    }


def _tag(registry: ModelRegistry, name: str, version: int, wanted: dict[str, str | None]) -> None:
    client, place = registry.tracking.client, (name, str(version))
    present = client.get_model_version(*place).tags
    for tag, value in wanted.items():
        if value is not None and present.get(tag) != value:
            client.set_model_version_tag(*place, tag, value)
        elif value is None and tag in present:
            client.delete_model_version_tag(*place, tag)


def _point(registry: ModelRegistry, name: str, alias: str, version: int | None) -> None:
    present = registry.aliases(name).get(alias)
    if version is not None and present != version:
        registry.tracking.client.set_registered_model_alias(name, alias, str(version))
    elif version is None and present is not None:
        registry.tracking.client.delete_registered_model_alias(name, alias)
