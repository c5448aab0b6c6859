"""An MLflow client that fails at a chosen call: refusing it, losing the answer, gone for good, or with its process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from toto_ops.registry.models import ModelRegistry


class Dead(BaseException):
    """The process is gone: nothing that it still meant to do happens."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong at the n-th call.

    Attributes
    ----------
    error
        `ConnectionError`; `KeyboardInterrupt` or `Dead` where it is the process that ends.
    takes_effect
        Whether the call that fails was carried out, and only its answer lost.
    lasts
        Whether every later call fails too, so that nothing can be put in order.
    """

    error: type[BaseException]
    takes_effect: bool
    lasts: bool


FAULTS = {
    "refuses": Fault(ConnectionError, takes_effect=False, lasts=False),
    "loses_the_answer": Fault(ConnectionError, takes_effect=True, lasts=False),
    "goes_away": Fault(ConnectionError, takes_effect=False, lasts=True),
    "goes_away_after": Fault(ConnectionError, takes_effect=True, lasts=True),
    "is_interrupted": Fault(KeyboardInterrupt, takes_effect=False, lasts=False),
    "is_interrupted_after": Fault(KeyboardInterrupt, takes_effect=True, lasts=False),
    "dies": Fault(Dead, takes_effect=False, lasts=True),
    "dies_after": Fault(Dead, takes_effect=True, lasts=True),
}


class FaultyClient:
    """Passes every call on to a real client, until the call that fails."""

    def __init__(self, client: object, fault: Fault, failing: tuple[int, ...]) -> None:
        self.client = client
        self.fault = fault
        self.failing = failing
        self.names: list[str] = []

    @property
    def calls(self) -> int:
        """How many were made."""
        return len(self.names)

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self.client, name)

        def call(*args: object, **named: object) -> object:
            self.names.append(name)
            broken = self.calls in self.failing or (self.fault.lasts and self.calls > self.failing[0])
            if not broken:
                return method(*args, **named)
            if self.fault.takes_effect and self.calls == self.failing[0]:
                method(*args, **named)
            raise self.fault.error(f"call {self.calls}, {name}")

        return call


@contextmanager
def failing_at(registry: ModelRegistry, fault: Fault, *calls: int) -> Iterator[FaultyClient]:
    """Let the registry's client fail at these calls, counted from 1."""
    healthy = registry.tracking.client
    faulty = FaultyClient(healthy, fault, calls)
    registry.tracking.__dict__["client"] = faulty
    try:
        yield faulty
    finally:
        registry.tracking.__dict__["client"] = healthy
