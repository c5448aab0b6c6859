"""Looks at one universe without touching it: its served bars, what serves, its last retraining, what waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from pydantic import ValidationError

from toto_ops.errors import SourceError, StorageError, TotoOpsError
from toto_ops.market.snapshot import Snapshot
from toto_ops.monitoring.status import (
    RETRAINING_GRACE,
    RetrainingStatus,
    RunFailure,
    ServingModel,
    UniverseStatus,
    last_due,
    next_due,
)
from toto_ops.pipeline.new_symbols import find_new_symbols
from toto_ops.pipeline.outcome import read_outcome
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import assess, read_last
from toto_ops.serving.market_view import served_snapshot
from toto_ops.universes import Universe

SECONDS_PER_DAY = 86_400

T = TypeVar("T")


@dataclass(frozen=True)
class Activity:
    """What Dagster knows of a universe.

    Parameters
    ----------
    in_progress
        What works on it now, in words.
    failed_runs
        Since the last success, newest first.
    nothing_to_do_at
        When its schedule last found that nothing had changed.
    """

    in_progress: tuple[str, ...] = ()
    failed_runs: tuple[RunFailure, ...] = ()
    nothing_to_do_at: datetime | None = None


def observe_universe(project: Project, universe: Universe, activity: Activity, now: datetime) -> UniverseStatus:
    """How a universe stands at `now`. What cannot be looked at is named in `problems`; nothing is written."""
    problems: list[str] = []
    snapshot = _read(lambda: served_snapshot(project.store, universe.name), problems)
    closes = _closes(snapshot) if snapshot else {}
    newest = max(closes.values(), default=None)
    oldest_allowed = now.timestamp() - universe.max_bar_age_days * SECONDS_PER_DAY
    due_at = last_due(universe.cadence, now - RETRAINING_GRACE)
    quarantined = {symbol: "; ".join(why) for symbol, why in snapshot.quarantined.items()} if snapshot else {}
    waiting = _waiting(project, universe, problems)
    return UniverseStatus(
        universe=universe.name,
        grows=not universe.is_sample,
        newest_bar=newest,
        newest_bar_age_days=None if newest is None else (now - newest).total_seconds() / SECONDS_PER_DAY,
        max_bar_age_days=universe.max_bar_age_days,
        late_symbols={symbol: close for symbol, close in closes.items() if close.timestamp() < oldest_allowed},
        last_feed_ended=_last_feed_ended(snapshot) if snapshot else None,
        quarantined=quarantined,
        waiting={symbol: why for symbol, why in waiting.items() if symbol not in quarantined},
        serving=_serving(project, universe, problems),
        last_retraining=_read(lambda: _last_retraining(project, universe), problems),
        due_at=due_at,
        next_due_at=next_due(universe.cadence, now),
        changed_since=_changed_since(project, universe, activity, due_at, problems),
        in_progress=activity.in_progress,
        failed_runs=activity.failed_runs,
        problems=tuple(dict.fromkeys(problems)),
    )


def _read(look: Callable[[], T | None], problems: list[str]) -> T | None:
    """What a look into the store finds; a document that cannot be read is a problem, and hides nothing else."""
    try:
        return look()
    except StorageError as error:
        problems.append(f"a stored document cannot be read: {error}")
        return None


def _closes(snapshot: Snapshot) -> dict[str, datetime]:
    """Newest close of every symbol that is served."""
    return {
        entry.symbol: entry.last_close
        for entry in snapshot.entries
        if entry.status == "included" and not entry.ended and entry.last_close is not None
    }


def _last_feed_ended(snapshot: Snapshot) -> datetime | None:
    """Close of the last bar of all, where every symbol of the served market has ended; None where one is still fed."""
    included = [entry for entry in snapshot.entries if entry.status == "included"]
    if not all(entry.ended for entry in included):
        return None
    return max((entry.last_close for entry in included if entry.last_close is not None), default=None)


def _waiting(project: Project, universe: Universe, problems: list[str]) -> dict[str, str]:
    try:
        found = find_new_symbols(project, universe)
    except SourceError as error:
        problems.append(f"its source cannot be read: {error}")
        return {}
    except StorageError as error:
        problems.append(f"a stored document cannot be read: {error}")
        return {}
    return {**found.waiting, **dict.fromkeys(found.to_add, "not taken in yet")}


def _last_retraining(project: Project, universe: Universe) -> RetrainingStatus | None:
    last = read_last(project, universe.name)
    if last is None:
        return None
    outcome = read_outcome(project, universe, last.retrain_id)
    return RetrainingStatus(
        retrain_id=last.retrain_id,
        completed_at=last.completed_at,
        as_of=outcome.as_of if outcome else None,
        promoted=outcome.promoted if outcome else None,
        challenger_quarantined=outcome is not None and outcome.verdict == "quarantined",
        decision=outcome.decision if outcome else "its outcome is no longer stored",
    )


def _changed_since(project: Project, universe: Universe, activity: Activity, due_at: datetime, problems: list[str]) -> str:
    last = _read(lambda: read_last(project, universe.name), problems)
    if last is None or last.completed_at >= due_at or activity.in_progress:
        return ""
    if activity.nothing_to_do_at is not None and activity.nothing_to_do_at >= due_at:
        return ""
    try:
        verdict = assess(project, universe)
    except SourceError as error:
        problems.append(f"its source cannot be read: {error}")
        return ""
    return f"due on {due_at:%Y-%m-%d %H:%M} UTC; {verdict.reason}" if verdict.stale else ""


def _serving(project: Project, universe: Universe, problems: list[str]) -> ServingModel | None:
    from toto_ops.registry.tracking import is_unmade

    if is_unmade(project.settings.tracking_uri):
        return None
    from mlflow.exceptions import MlflowException

    try:
        return _registered(project, universe)
    except (MlflowException, TotoOpsError, ValidationError, OSError) as error:
        problems.append(f"what serves cannot be told: {error}")
        return None


def _registered(project: Project, universe: Universe) -> ServingModel | None:
    from toto_ops.registry.events import events, last_change
    from toto_ops.registry.freeze import freeze_in_force
    from toto_ops.registry.history import incumbent_version
    from toto_ops.registry.versions import CHAMPION

    version = incumbent_version(project.registry, universe.name)
    if version is None:
        return None
    diary = events(project.registry, universe.name)
    change, frozen = last_change(diary), freeze_in_force(diary)
    return ServingModel(
        model=version.name,
        version=version.version,
        line=version.line,
        role="champion" if CHAMPION in version.aliases else "fallback",
        since=change.at if change is not None and change.version == version.version else version.created_at,
        frozen=frozen.signed if frozen else "",
    )
