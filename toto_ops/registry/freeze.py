"""Freezing a universe: nothing is promoted, by schedule or by hand, until somebody lifts it. Rollback stays possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from toto_ops.errors import PromotionRefusedError
from toto_ops.registry.attempts import Intent, attempted, changes_in_turn, require_registered, require_signed
from toto_ops.registry.events import RegistryEvent
from toto_ops.registry.models import ModelRegistry
from toto_ops.registry.versions import serving_version


def freeze(registry: ModelRegistry, universe: str, *, by: str, why: str) -> RegistryEvent:
    """Let no version of a universe be promoted until `unfreeze`; returns the diary's entry.

    Raises
    ------
    PromotionRefusedError
        If it is frozen already.
    PromotionError
        If nobody gives a reason, or the registry failed.
    StorageError
        If nothing was registered for the universe yet.
    BusyError
        If another change is under way.
    """
    return _switch(registry, universe, "freeze", by, why)


def unfreeze(registry: ModelRegistry, universe: str, *, by: str, why: str) -> RegistryEvent:
    """Allow promotions again; returns the diary's entry. Raises as `freeze`, if it is not frozen."""
    return _switch(registry, universe, "unfreeze", by, why)


def freeze_in_force(diary: Sequence[RegistryEvent]) -> RegistryEvent | None:
    """The entry that says who froze promotions, when and why; None where they are free."""
    switches = [event for event in diary if event.outcome == "done" and event.kind in ("freeze", "unfreeze")]
    return switches[-1] if switches and switches[-1].kind == "freeze" else None


def require_not_frozen(diary: Sequence[RegistryEvent]) -> None:
    """Insist that promotions are free.

    Raises
    ------
    PromotionRefusedError
        Naming who froze them, when and why.
    """
    frozen = freeze_in_force(diary)
    if frozen is not None:
        raise PromotionRefusedError(
            f"promotions of {frozen.universe} were frozen {frozen.signed}",
            where=frozen.universe,
            remedy=f"talk to {frozen.by}; `toto-ops registry unfreeze {frozen.universe} --why …` lifts it",
        )


def _switch(registry: ModelRegistry, universe: str, kind: Literal["freeze", "unfreeze"], by: str, why: str) -> RegistryEvent:
    name = registry.serving_name(universe)
    require_signed(by, why, name)
    with changes_in_turn(registry, universe):
        serving = serving_version(require_registered(registry, universe))
        with attempted(registry, universe, Intent(kind, serving, None, by, why)) as attempt:
            frozen = freeze_in_force(attempt.diary)
            if kind == "freeze" and frozen is not None:
                raise PromotionRefusedError(
                    f"promotions were frozen already {frozen.signed}", where=name, remedy="nothing is left to do"
                )
            if kind == "unfreeze" and frozen is None:
                raise PromotionRefusedError("promotions are not frozen", where=name, remedy="nothing is left to do")
        return attempt.event.closed("done")
