"""Errors a user can act on: each says what is wrong, where, and what to do about it."""

from __future__ import annotations


class TotoOpsError(Exception):
    """Base of every error this project raises on purpose.

    Parameters
    ----------
    problem
        What is wrong, in one sentence.
    where
        The file, symbol, bar or configuration key it was found at.
    remedy
        What the reader should do next.
    """

    def __init__(self, problem: str, *, where: str = "", remedy: str = "") -> None:
        self.problem = problem
        self.where = where
        self.remedy = remedy
        place = f"{where}: " if where else ""
        advice = f" Remedy: {remedy}" if remedy else ""
        stop = "." if remedy and not problem.endswith((".", "!", "?")) else ""
        super().__init__(f"{place}{problem}{stop}{advice}")

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process boundaries in Dagster steps; keyword-only arguments need help to get there.
        return (_rebuild, (type(self), self.problem, self.where, self.remedy))


def _rebuild(kind: type[TotoOpsError], problem: str, where: str, remedy: str) -> TotoOpsError:
    return kind(problem, where=where, remedy=remedy)


class ConfigError(TotoOpsError):
    """A configuration file does not say what the schema allows."""


class SourceError(TotoOpsError):
    """A market data source could not be read. Never to be taken for an empty universe."""


class BarDataError(TotoOpsError):
    """The bars of one symbol cannot be used; the symbol is quarantined, others go on."""


class SymbolNameError(TotoOpsError):
    """A symbol name that must not reach a path, or collides with another."""


class StorageError(TotoOpsError):
    """An artefact is missing, incomplete, or of a schema version this code cannot read."""


class InsufficientDataError(TotoOpsError):
    """Too few bars, symbols or decisions to do what was asked."""


class BackboneUnavailableError(TotoOpsError):
    """A forecasting backbone cannot be used here; another one of the preference list may serve."""


class LookAheadError(TotoOpsError):
    """Something would have read information from after the moment it claims to stand at."""


class PromotionError(TotoOpsError):
    """A promotion or rollback was refused; the incumbent is as it was."""


class PromotionRefusedError(PromotionError):
    """The rules say that this version may not serve; nothing broke."""


class StaleBarsError(TotoOpsError):
    """The newest bar is too old to act on."""


class BusyError(TotoOpsError):
    """Another retraining of the same universe is in progress."""


class AlertError(TotoOpsError):
    """An alert could not be delivered; the next tick tries again."""
