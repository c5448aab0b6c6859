"""Which symbols to take into the served market now, and which have to wait. A pure decision.

A symbol whose bars cannot be used, most often because its history is too short, is tried again when its source has
changed and nothing that can be seen beforehand stands in the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime

from toto_ops.configuration import VersionedModel
from toto_ops.storage.hashing import value_hash


class SymbolAttempt(VersionedModel):
    """What became of a symbol when it was last read."""

    symbol: str
    source_mark: str
    """What the source held of it then; of unchanged content another attempt would end the same."""
    status: Literal["stored", "joined", "waiting"]
    """Bars stored but not served yet; served, or listed as ended; or quarantined for the reasons given."""
    reasons: tuple[str, ...] = ()
    attempted_at: AwareDatetime
    retrain_id: str


@dataclass(frozen=True)
class Candidate:
    """A member of the universe that takes no part in the served market.

    Parameters
    ----------
    symbol
        Its name.
    mark
        What its source holds now.
    attempt
        Its last attempt, if there was one.
    obstacle
        Why a changed source would not help yet, in words; empty if nothing is known to stand in the way.
    """

    symbol: str
    mark: str
    attempt: SymbolAttempt | None = None
    obstacle: str = ""


@dataclass(frozen=True)
class Verdict:
    """Symbols to take in now, and those that wait with the reason."""

    to_add: tuple[str, ...]
    waiting: dict[str, str]


def decide(candidates: Sequence[Candidate]) -> Verdict:
    """Take in what was never tried, what a run lost on its way, and what changed since it was refused."""
    waiting = {candidate.symbol: reason for candidate in candidates if (reason := _reason_to_wait(candidate))}
    return Verdict(tuple(candidate.symbol for candidate in candidates if candidate.symbol not in waiting), waiting)


def attempt_key(universe_name: str, marks: Mapping[str, str], now: datetime) -> str:
    """Key under which a run for these symbols is asked for once: new with their content, and with each UTC day.

    A run that was lost is so asked for again the next day, and not every minute.
    """
    return f"{universe_name}-{value_hash(marks)}-{now.astimezone(UTC):%Y%m%d}"


def _reason_to_wait(candidate: Candidate) -> str:
    attempt = candidate.attempt
    if attempt is None or attempt.status != "waiting":
        return ""
    return "; ".join(attempt.reasons) if attempt.source_mark == candidate.mark else candidate.obstacle
