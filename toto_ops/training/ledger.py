"""The trial ledger: every configuration ever tried and every look at a test span, so that luck can be priced in.

Choosing the best of many trials inflates its Sharpe ratio. The deflated Sharpe ratio (Bailey and Lopez de Prado, 2014)
corrects for that, but only if every trial was written down when it happened, the failed ones included. The ledger is
append-only: each entry is its own document, an entry already there is never changed, and the namespace of the store
keeps the trials of replays and tests apart from the live ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydantic import AwareDatetime, Field, ValidationError, field_validator, model_validator

from toto_ops.configuration import VersionedModel
from toto_ops.errors import StorageError
from toto_ops.learning.splits import Span, Splits
from toto_ops.storage.hashing import value_hash
from toto_ops.storage.store import ArtefactStore

TRIALS = "trials"
OPENINGS = "openings"
"""Folders of a universe that hold its ledger."""


class Trial(VersionedModel):
    """One configuration that was trained and then looked at on the validation span.

    Attributes
    ----------
    config_hash
        Of the trainer's configuration without its seeds: trials that share it differ by luck alone.
    inputs_hash
        Of all that the training read: data, configuration, code version.
    symbols
        The only ones it traded, where it was tried on some of the universe; None: on all. The challenger, who trades all, was
        never chosen among trials of some.
    returns, timestamps
        Validation returns per bar and the moments they were earned by; equally long.
    metrics
        What the trainer measured, finite numbers only.
    """

    trial_id: str
    universe: str
    line: str
    config_hash: str
    inputs_hash: str
    split: Splits
    seed: int
    symbols: tuple[str, ...] | None = None
    returns: tuple[float, ...]
    timestamps: tuple[AwareDatetime, ...]
    metrics: dict[str, float] = Field(default_factory=dict)
    created_at: AwareDatetime

    @staticmethod
    def identity(universe: str, line: str, config_hash: str, inputs_hash: str, seed: int) -> str:
        """The `trial_id` of a training: the same work gets the same id, whenever it is done."""
        return value_hash([universe, line, config_hash, inputs_hash, seed])

    @model_validator(mode="after")
    def _returns_are_dated(self) -> Trial:
        if len(self.returns) != len(self.timestamps):
            raise ValueError(f"{len(self.returns)} returns but {len(self.timestamps)} timestamps")
        return self

    @field_validator("returns")
    @classmethod
    def _finite_returns(cls, returns: tuple[float, ...]) -> tuple[float, ...]:
        if not all(math.isfinite(value) for value in returns):
            raise ValueError("a return is not a finite number")
        return returns

    @field_validator("metrics")
    @classmethod
    def _finite_metrics(cls, metrics: dict[str, float]) -> dict[str, float]:
        wrong = sorted(name for name, value in metrics.items() if not math.isfinite(value))
        if wrong:
            raise ValueError(f"metrics {wrong} are not finite numbers")
        return metrics


class Opening(VersionedModel):
    """One look at a test span: who looked, when, at which bars, with which policy.

    Attributes
    ----------
    opened_by
        The `retrain_id` or other name of whoever asked.
    policy
        `inputs_hash` of the policy that was evaluated.
    """

    universe: str
    line: str
    policy: str
    span: Span
    opened_by: str
    opened_at: AwareDatetime

    @property
    def opening_id(self) -> str:
        """The same look in the same retraining is one opening, however often its step is run."""
        return value_hash([self.universe, self.line, self.policy, self.span, self.opened_by])

    def overlaps(self, span: Span) -> bool:
        """Whether a bar of `span` was among those looked at."""
        return self.span.after < span.until and span.after < self.span.until


class TrialLedger:
    """The trials and openings of one universe in one namespace.

    Parameters
    ----------
    store
        Its namespace decides which ledger this is; live trials are only in `live`.
    universe
        Name of the universe.
    """

    def __init__(self, store: ArtefactStore, universe: str) -> None:
        self._store = store
        self._universe = universe

    def record(self, trial: Trial) -> bool:
        """Append a trial; False if one of this id is there already, which then stays as it was.

        Raises
        ------
        StorageError
            If the trial belongs to another universe.
        """
        return self._append(TRIALS, trial.trial_id, trial)

    def open_test(self, opening: Opening) -> bool:
        """Log a look at test bars, before looking; False if this very look is logged already.

        Raises
        ------
        StorageError
            If the opening belongs to another universe.
        """
        return self._append(OPENINGS, opening.opening_id, opening)

    def trials(self) -> Iterator[Trial]:
        """Every trial, by id.

        Raises
        ------
        StorageError
            If an entry cannot be read: a ledger with holes must not pass for a short one.
        """
        for name, content in self._store.documents(self._folder(TRIALS)):
            try:
                yield Trial.stored(content)
            except ValidationError as error:
                raise self._unreadable(TRIALS, name, error) from error

    def openings(self, overlapping: Span | None = None) -> Iterator[Opening]:
        """Every opening, or those that looked at bars of one span.

        Raises
        ------
        StorageError
            If an entry cannot be read.
        """
        for name, content in self._store.documents(self._folder(OPENINGS)):
            try:
                opening = Opening.stored(content)
            except ValidationError as error:
                raise self._unreadable(OPENINGS, name, error) from error
            if overlapping is None or opening.overlaps(overlapping):
                yield opening

    def _append(self, log: str, name: str, entry: Trial | Opening) -> bool:
        if entry.universe != self._universe:
            raise StorageError(
                f"an entry of universe {entry.universe} does not belong in this ledger",
                where=self._folder(log),
                remedy="use the ledger of that universe",
            )
        return self._store.create_document(f"{self._folder(log)}/{name}.json", entry.model_dump(mode="json"))

    def _folder(self, log: str) -> str:
        return f"{self._universe}/{log}"

    def _unreadable(self, log: str, name: str, error: ValidationError) -> StorageError:
        return StorageError(
            f"ledger entry {name} cannot be read ({error})",
            where=self._folder(log),
            remedy="restore it from a backup, or use the release that wrote it",
        )
