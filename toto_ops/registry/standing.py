"""Where a version stands: whether it serves, when it served and by whose decision, what came before and after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from toto_ops.errors import StorageError
from toto_ops.registry.events import RegistryEvent, changes, events, last_promotion, last_withdrawal
from toto_ops.registry.freeze import freeze_in_force
from toto_ops.registry.models import ModelRegistry
from toto_ops.registry.versions import CHAMPION, FALLBACK, PREVIOUS, RegisteredVersion


@dataclass(frozen=True)
class Service:
    """One stretch of time a version served.

    Attributes
    ----------
    began, ended
        The decisions it began and ended with. A fallback also begins when it is registered while there is no champion,
        and ends when a newer fallback takes its place: None, as where it has not ended.
    """

    since: datetime
    began: RegistryEvent | None
    ended: RegistryEvent | None


@dataclass(frozen=True)
class Standing:
    """One version among the others of its universe.

    Attributes
    ----------
    serves
        Whether it answers now.
    events
        Every attempt it had a part in, oldest first.
    services
        When it served, oldest first.
    predecessor, successor
        The champion it was promoted over, and what last came to serve in its place.
    rolls_back_to
        What a rollback would put in its place; None where it does not serve as champion, or nothing could.
    frozen
        The freeze in force, where it serves and promotions are frozen.
    """

    version: RegisteredVersion
    serves: bool
    events: tuple[RegistryEvent, ...]
    services: tuple[Service, ...]
    predecessor: RegisteredVersion | None
    successor: RegisteredVersion | None
    rolls_back_to: RegisteredVersion | None
    frozen: RegistryEvent | None

    @property
    def promotion(self) -> RegistryEvent | None:
        """The promotion that made it champion, if one did."""
        return last_promotion(self.events, self.version.version)

    @property
    def withdrawal(self) -> RegistryEvent | None:
        """The rollback that withdrew it, if one did."""
        return last_withdrawal(self.events, self.version.version)


@dataclass(frozen=True)
class Succession:
    """Every version offered to serve a universe, and the diary of what became of them, read at one moment."""

    name: str
    versions: tuple[RegisteredVersion, ...]
    diary: tuple[RegistryEvent, ...]

    @property
    def serving(self) -> RegisteredVersion | None:
        """What answers now: the champion, else the fallback; None before anything was registered."""
        return self._pointed_at(CHAMPION) or self._pointed_at(FALLBACK)

    @property
    def ever_served(self) -> tuple[RegisteredVersion, ...]:
        """What serves, and what came to serve or ceased to by a promotion or a rollback; oldest version first."""
        numbers = {number for event in changes(self.diary) for number in (event.version, event.instead_of)}
        return tuple(version for version in self.versions if version == self.serving or version.version in numbers)

    @property
    def frozen(self) -> RegistryEvent | None:
        """The freeze in force, if promotions are frozen."""
        return freeze_in_force(self.diary)

    def events_about(self, number: int) -> tuple[RegistryEvent, ...]:
        """Every attempt a version had a part in, oldest first."""
        return tuple(event for event in self.diary if number in (event.version, event.instead_of))

    def standing(self, number: int) -> Standing:
        """Where one version stands.

        Raises
        ------
        StorageError
            If it does not exist.
        """
        version = self._numbered(number)
        if version is None:
            raise StorageError(f"version {number} does not exist", where=self.name, remedy="see `toto-ops registry list`")
        serves = version == self.serving
        services = _services(version, self.diary, serves=serves)
        ended = services[-1].ended if services else None
        promotion = last_promotion(self.diary, number)
        return Standing(
            version=version,
            serves=serves,
            events=self.events_about(number),
            services=services,
            predecessor=self._numbered(promotion.instead_of if promotion else None),
            successor=self._numbered(ended.version if ended else None),
            rolls_back_to=self._pointed_at(PREVIOUS) or self._pointed_at(FALLBACK) if CHAMPION in version.aliases else None,
            frozen=self.frozen if serves else None,
        )

    def _pointed_at(self, alias: str) -> RegisteredVersion | None:
        return next((version for version in self.versions if alias in version.aliases), None)

    def _numbered(self, number: int | None) -> RegisteredVersion | None:
        return next((version for version in self.versions if version.version == number), None)


def succession_of(registry: ModelRegistry, universe: str) -> Succession:
    """Read the versions and the diary of a universe."""
    name = registry.serving_name(universe)
    return Succession(name, registry.versions(name), events(registry, universe))


def _services(version: RegisteredVersion, diary: Sequence[RegistryEvent], *, serves: bool) -> tuple[Service, ...]:
    services: list[Service] = []
    current: Service | None = None
    for event in changes(diary):
        if event.version == version.version:
            current = Service(event.at, event, None)
        elif current is not None:
            services.append(Service(current.since, current.began, event))
            current = None
    if current is not None:
        services.append(current)
    elif serves:  # a fallback that was registered while there was no champion
        services.append(Service(version.created_at, None, None))
    return tuple(services)
