"""Keep everything still while the store is worked on as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from assets.exclusive import require_idle
from deploy.instance import prepare_instance
from deploy.universe_lock import universe_lock
from sensors.unfinished_runs import settle_dead_runs
from toto_ops.pipeline.project import Project


@contextmanager
def nothing_running(project: Project) -> Iterator[None]:
    """Hold the lock of every universe, once it is certain that nothing runs, dead runs aside.

    Raises
    ------
    BusyError
        Naming the run that is in progress.
    """
    universes = project.universes.universes.values()
    with ExitStack() as locks:
        for universe in universes:
            locks.enter_context(universe_lock(project.settings, universe))
        if project.settings.dagster_home.exists():
            instance = prepare_instance(project.settings)
            settle_dead_runs(instance)
            for universe in universes:
                require_idle(instance, universe)
        yield
