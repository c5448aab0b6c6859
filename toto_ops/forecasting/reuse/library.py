"""The models there are to begin from, and which of them a training may begin from.

A model that knows later bars than the training may is refused: what is trained from it would know them too. So is one that
does not say what it knows, or how good it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from torch import Tensor, nn

from toto_ops.errors import StorageError
from toto_ops.forecasting.reuse.mapping import require_reusable
from toto_ops.forecasting.reuse.records import Record


class Weights(Protocol):
    """Where the weights of a model are."""

    @property
    def identity(self) -> str:
        """Hash of their content."""

    def tensors(self) -> dict[str, Tensor]:
        """The weights by name."""


@dataclass(frozen=True)
class StoredModel:
    """A model that is stored, its weights not read yet.

    Attributes
    ----------
    name
        What it is called in its source.
    where
        Place or version it is stored at.
    record
        What was recorded about it.
    """

    name: str
    where: str
    record: Record
    weights: Weights

    @property
    def knows_until(self) -> datetime | None:
        return self.record.knows_until

    @property
    def identity(self) -> str:
        """Hash of the weights: trainings that begin from models of one identity begin from the same."""
        return self.weights.identity

    def tensors(self) -> dict[str, Tensor]:
        """The weights by name.

        Raises
        ------
        StorageError
            If they cannot be read, or not safely.
        """
        return self.weights.tensors()


@dataclass(frozen=True)
class Unreadable:
    """Something that should be a model and cannot be read."""

    name: str
    where: str
    reason: str


class ModelSource(Protocol):
    """A place with models."""

    def models(self) -> Sequence[StoredModel | Unreadable]:
        """All there are, in an order that does not change from call to call."""


@dataclass(frozen=True)
class Candidate:
    """A model as the library sees it.

    Attributes
    ----------
    refused
        Why a training would not begin from it; empty if it could.
    """

    name: str
    where: str
    record: Record
    refused: str


@dataclass(frozen=True)
class Beginning:
    """A training that is to begin from an earlier model.

    Attributes
    ----------
    kind
        Kind of its backbone; None: any will do.
    before
        Latest close that the model may know; None: it may know everything.
    network
        What will be trained; models of another architecture are refused.
    data_hash
        Of the bars it will be fitted on. A model of the very same bars is refused: it is this training done before, and
        repeated from its own result it would never come to an end.
    """

    kind: str | None
    before: datetime | None
    network: nn.Module | None = None
    data_hash: str | None = None


@dataclass(frozen=True)
class ModelLibrary:
    """Models of several sources.

    Scores are validation losses as they were recorded. Those of forecasters of this project are in units of the scale of
    each bar, and so near to one another that universes can be compared; the loss of a model from elsewhere means what
    whoever recorded it meant.
    """

    sources: Sequence[ModelSource]

    def best(self, beginning: Beginning) -> StoredModel | None:
        """The model with the lowest recorded validation loss that a training may begin from; None where there is none."""
        readable = [model for model in self._all() if isinstance(model, StoredModel)]
        return next((model for model in sorted(readable, key=_rank) if not _objection(model, beginning)), None)

    def listing(self, beginning: Beginning) -> tuple[Candidate, ...]:
        """Every model with its record and the reason it would be refused for, if any; the best first."""
        found = [
            Candidate(model.name, model.where, model.record, _objection(model, beginning))
            if isinstance(model, StoredModel)
            else Candidate(model.name, model.where, Record(), model.reason)
            for model in self._all()
        ]
        return tuple(sorted(found, key=lambda candidate: (bool(candidate.refused), *_rank(candidate))))

    def _all(self) -> list[StoredModel | Unreadable]:
        return [model for source in self.sources for model in source.models()]


def _objection(model: StoredModel, beginning: Beginning) -> str:
    """Why a training does not begin from a model; empty if it may. Its weights are read only if its record does not tell."""
    recorded = next(_objections(model.record, beginning), "")
    if recorded or beginning.network is None:
        return recorded
    try:
        require_reusable(beginning.network, model.tensors(), model.name)
    except StorageError as error:
        return error.problem
    return ""


def _objections(record: Record, beginning: Beginning) -> Iterator[str]:
    if record.kind is None:
        yield "does not record which kind of backbone it is; a JSON file of its name could"
    elif beginning.kind is not None and record.kind != beginning.kind:
        yield f"is a {record.kind} backbone, not a {beginning.kind} one"
    if record.beats_random_walk is False:
        yield "does not beat a random walk: there is nothing in it to begin from"
    if record.score is None:
        yield "records no validation loss"
    if record.knows_until is None:
        yield "does not record what it knows: it may know bars that it would be judged on"
    elif beginning.before is not None and record.knows_until > beginning.before:
        yield f"knows bars until {record.knows_until:%Y-%m-%d %H:%M}, later than {beginning.before:%Y-%m-%d %H:%M}"
    if record.data_hash is not None and record.data_hash == beginning.data_hash:
        yield "was fitted on these very bars"


def _rank(model: StoredModel | Candidate) -> tuple[bool, float, str, str]:
    """Order from the best recorded loss up, what has none last."""
    score = model.record.score
    return score is None, score or 0.0, model.name, model.where
