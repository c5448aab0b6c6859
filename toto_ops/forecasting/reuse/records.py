"""What a stored model recorded about itself: how good it was, what it knows, which backbone it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime

from toto_ops.configuration import StrictModel
from toto_ops.errors import StorageError

SCORES = ("validation_loss", "val_loss", "valid_loss", "best_validation_loss", "best_val_loss", "best_loss", "loss/validation")
"""Names that validation losses are recorded under, the first found counts. That of a model's own epoch comes before the best of
its training, which may be another epoch's."""

_KINDS = ("kind", "backbone")
_KNOWS_UNTIL = "knows_until"
_BEATS = "beats_random_walk"
_WITHIN = ("metrics", "scores", "metadata", "meta")


class Record(StrictModel):
    """What is known of a model besides its weights; None where nothing was recorded.

    Attributes
    ----------
    kind
        Kind of the backbone.
    score
        Validation loss: lower is better.
    knows_until
        Latest close that influenced the weights.
    beats_random_walk
        Whether it learnt anything at all.
    data_hash
        Of the bars it was fitted on, for forecasters of this project.
    """

    kind: str | None = None
    score: float | None = None
    knows_until: AwareDatetime | None = None
    beats_random_walk: bool | None = None
    data_hash: str | None = None

    def or_else(self, other: Record) -> Record:
        """What is known from here; where nothing is, what is known from the other."""
        return Record(**{name: getattr(other, name) if value is None else value for name, value in self})


def record_in(content: Mapping[str, Any], where: str) -> Record:
    """Find what is recorded in the metadata of a model, at its top or in its metrics.

    Raises
    ------
    StorageError
        If `knows_until` is there but is no moment with a time zone: no model may be taken to know less than it does.
    """
    levels = [content, *(inner for name in _WITHIN if isinstance(inner := content.get(name), Mapping))]
    scores = (_number(level.get(name)) for name in SCORES for level in levels)
    kinds = (level.get(name) for name in _KINDS for level in levels)
    data_hash = content.get("data_hash")
    beats = next((_number(level[_BEATS]) for level in levels if _BEATS in level), None)
    return Record(
        kind=next((kind for kind in kinds if isinstance(kind, str)), None),
        score=next((score for score in scores if score is not None), None),
        knows_until=_moment(next((level[_KNOWS_UNTIL] for level in levels if _KNOWS_UNTIL in level), None), where),
        data_hash=data_hash if isinstance(data_hash, str) else None,
        beats_random_walk=None if beats is None else bool(beats),
    )


def _number(value: Any) -> float | None:
    """A finite number, however it was stored: as such, as a tensor without axes, or as text."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):  # a tensor of several numbers raises the last
        return None
    return number if math.isfinite(number) else None


def _moment(value: Any, where: str) -> datetime | None:
    """A moment or its text. A number is none: the years it would be in depend on its unit, which nobody wrote down."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        moment = None
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise StorageError(
            f"{_KNOWS_UNTIL} {value!r:.40} is no moment with a time zone", where=where, remedy="write it as 2024-06-28T21:00:00Z"
        )
    return moment
