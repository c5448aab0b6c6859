"""Launch retrainings and symbol-only runs from the command line over the same Dagster instance the UI shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import dagster as dg

from assets.exclusive import require_idle
from assets.jobs import add_symbols_job_name, retrain_job_name
from assets.partitions import block_tags, range_tags, reconcile_partitions
from assets.run_tags import AS_OF_TAG, NAMESPACE_TAG, launch_tags, new_symbols_tags
from deploy.execution import OnEvent, execute
from deploy.instance import prepare_instance
from deploy.universe_lock import universe_lock
from sensors.unfinished_runs import settle_dead_runs, settle_given_up_runs
from toto_ops.errors import LookAheadError, SymbolNameError
from toto_ops.pipeline.new_symbols import NewSymbols, find_new_symbols, nothing_to_join
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.retraining_decision import assess, last_retraining
from toto_ops.pipeline.symbol_states import how_to_add
from toto_ops.universes import Universe, checked_symbol

REPLAY = "replay"
"""Namespace of retrainings that stand at an earlier moment than the last live one."""


@dataclass(frozen=True)
class LaunchRequest:
    """A retraining that is asked for.

    Parameters
    ----------
    force
        Retrain even if nothing changed.
    as_of
        Aware moment after which nothing may be known; None leaves it to the source.
    on_event
        Told of the progress of every step.
    """

    project: Project
    universe: Universe
    on_event: OnEvent
    force: bool = False
    as_of: datetime | None = None


@dataclass(frozen=True)
class Launch:
    """How one universe's launch ended."""

    namespace: str
    status: Literal["retrained", "up_to_date", "failed"]
    reason: str
    retrain_id: str | None = None
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Backfill:
    """How a launch of symbol-only runs ended.

    Attributes
    ----------
    status
        `nothing_new` when no run was started, since none of the symbols has to be taken in.
    symbols
        Those that were asked for, or found to be new.
    tried
        Those of them that were not served before.
    runs
        One run per contiguous block of partitions.
    """

    status: Literal["completed", "nothing_new", "failed"]
    symbols: tuple[str, ...]
    tried: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


def retrain(request: LaunchRequest) -> Launch:
    """Retrain one universe through Dagster, or say that nothing changed.

    One that is to stand at an earlier moment than the last one is a replay: it has a namespace of its own, so that a
    model judged on older bars can never come to serve.

    Raises
    ------
    BusyError
        If something else works on this universe.
    LookAheadError
        If `as_of` lies in the future: live, it would put every later retraining into the past.
    KeyboardInterrupt
        If the run was interrupted; Dagster has it as failed.
    """
    universe, as_of = request.universe, request.as_of
    if as_of is not None and as_of > datetime.now(UTC):
        raise LookAheadError(
            f"as_of {as_of:%Y-%m-%d %H:%M %Z} lies in the future", where=universe.name, remedy="give a moment that has passed"
        )
    instance = prepare_instance(request.project.settings)
    with universe_lock(request.project.settings, universe):
        _clear_the_way(instance, universe)
        return _retrain(instance, request)


def backfill(project: Project, universe: Universe, symbols: Sequence[str] | None, on_event: OnEvent) -> Backfill:
    """Take symbols into the served market of a universe, without training anything.

    Parameters
    ----------
    symbols
        Members of the universe, tried again even if their source has not changed since they were refused; every new one
        by default.

    Raises
    ------
    BusyError
        If something else works on this universe.
    SymbolNameError
        If one of the symbols is not a member.
    StorageError
        If the universe serves nothing yet.
    SourceError
        If the source cannot be read: that is never taken for an empty universe.
    KeyboardInterrupt
        If a run was interrupted; Dagster has it as failed.
    """
    instance = prepare_instance(project.settings)
    with universe_lock(project.settings, universe):
        _clear_the_way(instance, universe)
        return _backfill(instance, project, universe, symbols, on_event)


def _clear_the_way(instance: dg.DagsterInstance, universe: Universe) -> None:
    """Settle what died and respect what lives. The caller holds the lock of the universe."""
    settle_dead_runs(instance)
    settle_given_up_runs(instance, universe)
    require_idle(instance, universe)


def _retrain(instance: dg.DagsterInstance, request: LaunchRequest) -> Launch:
    universe, as_of = request.universe, request.as_of
    namespace = _namespace(request.project, universe, as_of)
    project = Project(request.project.settings, namespace)
    assessment = assess(project, universe)
    if not assessment.stale and not request.force and _stands_at(project, universe, as_of):
        return Launch(namespace, "up_to_date", assessment.reason)
    reconcile_partitions(instance, universe, assessment.symbols)
    reason = assessment.reason if assessment.stale else "asked for"
    tags = {**range_tags(instance, universe), **launch_tags(universe, reason), NAMESPACE_TAG: namespace}
    if as_of is not None:
        tags[AS_OF_TAG] = as_of.isoformat()
    done = execute(instance, retrain_job_name(universe), namespace, tags, request.on_event)
    return Launch(namespace, "retrained" if done.success else "failed", reason, done.run_id, done.failures)


def _backfill(
    instance: dg.DagsterInstance, project: Project, universe: Universe, symbols: Sequence[str] | None, on_event: OnEvent
) -> Backfill:
    found = find_new_symbols(project, universe)
    if not found.serving:
        raise nothing_to_join(universe)
    chosen = found.to_add if symbols is None else _named(found, universe, symbols)
    tried = tuple(symbol for symbol in chosen if symbol in found.marks)
    if not tried:
        return Backfill("nothing_new", chosen)
    reconcile_partitions(instance, universe, found.members)
    runs = []
    for block in block_tags(instance, universe, tried):
        tags = {**block, **new_symbols_tags(universe, tried), NAMESPACE_TAG: project.namespace}
        runs.append(execute(instance, add_symbols_job_name(universe), project.namespace, tags, on_event))
    failures = tuple(failure for run in runs for failure in run.failures)
    status: Literal["completed", "failed"] = "completed" if all(run.success for run in runs) else "failed"
    return Backfill(status, chosen, tried, tuple(run.run_id for run in runs), failures)


def _named(found: NewSymbols, universe: Universe, symbols: Sequence[str]) -> tuple[str, ...]:
    """The symbols that were named, checked, once each and in the order of partitions to come."""
    named = tuple(sorted({checked_symbol(symbol) for symbol in symbols}))
    strangers = [symbol for symbol in named if symbol not in found.members]
    if strangers:
        raise SymbolNameError(
            f"{', '.join(strangers)}: not in the universe",
            where=universe.name,
            remedy=how_to_add(universe, strangers),
        )
    return named


def _namespace(project: Project, universe: Universe, as_of: datetime | None) -> str:
    last = last_retraining(project, universe)
    return REPLAY if as_of is not None and last is not None and as_of < last.as_of else project.namespace


def _stands_at(project: Project, universe: Universe, as_of: datetime | None) -> bool:
    """Whether the last retraining stood at the moment now asked for; any does when none is asked for."""
    last = last_retraining(project, universe)
    return as_of is None or (last is not None and last.as_of == as_of)
