"""The symbols Dagster knows: list them as they stand, and let go of one that left its universe."""

from __future__ import annotations

import time

import dagster as dg

from assets.exclusive import in_progress, queued
from assets.partitions import partitions_name
from deploy.instance import existing_instance, prepare_instance
from deploy.universe_lock import universe_lock
from sensors.unfinished_runs import settle_dead_runs, settle_given_up_runs
from toto_ops.errors import BusyError, SymbolNameError
from toto_ops.market.sources import open_source
from toto_ops.market.universe_symbols import universe_symbols
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.symbol_states import SymbolState, how_to_leave, symbol_states, where_stored
from toto_ops.universes import Universe, checked_symbol

POLL_SECONDS = 1.0


def list_symbols(project: Project, universe: Universe) -> tuple[SymbolState, ...]:
    """Every symbol of a universe as it stands. A home that is not there yet is not made.

    Raises
    ------
    SourceError
        If the source cannot be read.
    """
    instance = existing_instance(project.settings)
    return symbol_states(project, universe, _partitions(instance, universe) if instance else ())


def remove_symbol(project: Project, universe: Universe, name: str, wait: float) -> str:
    """Make a symbol that left its universe no partition any more, once nothing runs in the universe.

    Parameters
    ----------
    wait
        Seconds to wait for runs that are queued or in progress.

    Returns
    -------
    str
        Where the data of the symbol is: it is not touched.

    Raises
    ------
    SymbolNameError
        If it is no partition, or still a member, in which case it would come back with the next launch.
    SourceError
        If the source cannot be read, so that nobody knows whether it is a member.
    BusyError
        If the wait was not long enough.
    """
    symbol = checked_symbol(name)
    instance = prepare_instance(project.settings)
    deadline = time.monotonic() + wait
    with universe_lock(project.settings, universe, wait):
        if symbol not in _partitions(instance, universe):
            raise SymbolNameError(
                f"{symbol} is not a partition", where=universe.name, remedy=f"see `toto-ops symbols list {universe.name}`"
            )
        if symbol in universe_symbols(universe, open_source(universe)):
            raise SymbolNameError(
                f"{symbol} is still in the universe and would come back with the next launch",
                where=universe.name,
                remedy=how_to_leave(universe, symbol),
            )
        _wait_until_idle(instance, universe, deadline)
        instance.delete_dynamic_partition(partitions_name(universe.name), symbol)
    return where_stored(project, universe, symbol)


def _partitions(instance: dg.DagsterInstance, universe: Universe) -> tuple[str, ...]:
    return tuple(instance.get_dynamic_partitions(partitions_name(universe.name)))


def _wait_until_idle(instance: dg.DagsterInstance, universe: Universe, deadline: float) -> None:
    """Dagster cannot execute a run whose partition is gone: queued ones have to end first as well."""
    settle_dead_runs(instance)
    settle_given_up_runs(instance, universe)
    while waited_for := (*in_progress(instance, universe), *queued(instance, universe)):
        if time.monotonic() >= deadline:
            raise BusyError(
                f"{waited_for[0].description} has not ended",
                where=universe.name,
                remedy="try again later, with a longer --wait, or cancel it in the Dagster UI",
            )
        time.sleep(POLL_SECONDS)
