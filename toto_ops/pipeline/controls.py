"""The controls: many markets whose right verdict is known, judged side by side in processes of their own.

Everything is kept in a namespace named after what determines the results: seed, line, profile, configuration and source
code. A run that was interrupted goes on where it stopped, one that asks for more markets judges only those, and a change
of code or configuration begins anew. What serves is never touched: markets have homes, stores and databases of their own.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from filelock import FileLock
from pydantic import Field

from toto_ops.configuration import PROJECT_ROOT, Settings, StrictModel
from toto_ops.errors import BusyError, ConfigError
from toto_ops.evaluation.controls.demands import demands
from toto_ops.evaluation.controls.outcome import ControlKind, ControlOutcome, ControlsSummary
from toto_ops.evaluation.controls.tallies import leaked_findings, null_findings, planted_findings
from toto_ops.pipeline.control_market import run_control
from toto_ops.pipeline.control_project import BARS, PROFILES, ControlTask, control_universe, serves_for_controls
from toto_ops.pipeline.project import Project
from toto_ops.storage.hashing import file_digest, value_hash
from toto_ops.storage.locking import held
from toto_ops.storage.store import ArtefactStore
from toto_ops.training.lines import line

OUTCOMES = "markets"
SUMMARY_DOCUMENT = "summary.json"
CONTROLS = "controls"
"""Stands where other namespaces have universes."""

OnOutcome = Callable[[ControlOutcome, int, int], None]
"""Told of each market as it is judged, with how many are done and how many there are."""


class ControlsRequest(StrictModel):
    """What is to be run: the same fields on the command line and in the launchpad of Dagster.

    Attributes
    ----------
    leaked, planted, null
        Number of markets of each kind.
    universes
        Whose rules and gates the markets are judged by, in turns; empty for all with daily bars of one asset class.
    profile
        Of `PROFILES`: how thoroughly the line is trained.
    workers
        Processes; results do not depend on it.
    """

    leaked: int = Field(default=1, ge=0)
    planted: int = Field(default=20, ge=0)
    null: int = Field(default=300, ge=0)
    seed: int = Field(default=0, ge=0)
    line: str = "bc"
    profile: str = "shipped"
    universes: tuple[str, ...] = ()
    workers: int = Field(default=2, ge=1)


def run_controls(settings: Settings, request: ControlsRequest, on_outcome: OnOutcome) -> ControlsSummary:
    """Judge every market asked for, reuse those judged before, and store and return what they show together.

    Raises
    ------
    ConfigError
        If no market was asked for, a universe, line or profile does not exist, or no universe has daily bars of one asset class.
    BusyError
        If the very same controls are in progress.
    """
    project = Project(settings)
    universes = _universes(project, request)
    namespace = _namespace(project, request, universes)
    store = ArtefactStore(settings.root, namespace)
    with in_progress_alone(settings, namespace):
        outcomes = _outcomes(settings, store, _tasks(settings, request, universes), request.workers, on_outcome)
        summary = _summary(project, request, universes, namespace, outcomes)
        store.write_model(f"{CONTROLS}/{SUMMARY_DOCUMENT}", summary)
    return summary


@contextmanager
def in_progress_alone(settings: Settings, namespace: str) -> Iterator[None]:
    """Hold the controls of a namespace.

    Raises
    ------
    BusyError
        If they are in progress.
    """
    busy = BusyError("these controls are in progress", where=namespace, remedy="wait for them")
    with held(FileLock(settings.lock_folder / f"{namespace}.lock", timeout=0), busy):
        yield


def reports_folder(settings: Settings, namespace: str) -> Path:
    """Where evidence and reports of the markets that were not refused are kept."""
    return settings.local_root / namespace / "reports"


def _universes(project: Project, request: ControlsRequest) -> tuple[str, ...]:
    if request.profile not in PROFILES:
        raise ConfigError(f"there is no profile {request.profile!r}", remedy=f"choose one of {', '.join(PROFILES)}")
    line(request.line)
    if not request.leaked + request.planted + request.null:
        raise ConfigError("no market was asked for", remedy="ask for null, planted or leaked markets: none shows nothing")
    if request.universes:
        return tuple(control_universe(project, name).name for name in request.universes)
    fit = tuple(name for name, universe in project.universes.universes.items() if serves_for_controls(universe))
    if not fit:
        raise ConfigError(
            "no universe has daily bars of one asset class", where="universes.yaml", remedy="controls are made of such bars"
        )
    return fit


def _namespace(project: Project, request: ControlsRequest, universes: Sequence[str]) -> str:
    made_of = [request.seed, request.line, request.profile, universes, _code(), _configuration(project, universes)]
    return f"{CONTROLS}-{value_hash(made_of)}"


def _configuration(project: Project, universes: Sequence[str]) -> str:
    return value_hash({name: project.config_hash(project.universe(name)) for name in universes})


@lru_cache(maxsize=1)
def _code() -> str:
    """Hash of the library's source: declared versions say what retrainings may reuse, not that nothing at all changed."""
    package = PROJECT_ROOT / "toto_ops"
    sources = sorted(path for path in package.rglob("*.py"))
    return value_hash({path.relative_to(package).as_posix(): file_digest(path) for path in sources})


def _tasks(settings: Settings, request: ControlsRequest, universes: Sequence[str]) -> tuple[ControlTask, ...]:
    counts: dict[ControlKind, int] = {"leaked": request.leaked, "planted": request.planted, "null": request.null}
    return tuple(
        ControlTask(kind, number, request.seed, universes[number % len(universes)], request.line, request.profile, settings)
        for kind, count in counts.items()
        for number in range(count)
    )


def _outcomes(
    settings: Settings, store: ArtefactStore, tasks: Sequence[ControlTask], workers: int, on_outcome: OnOutcome
) -> tuple[ControlOutcome, ...]:
    found = {task.name: store.read_model(_document(task.name), ControlOutcome) for task in tasks}
    outcomes = {name: outcome for name, outcome in found.items() if outcome is not None}
    missing = [task for task in tasks if task.name not in outcomes]
    for outcome in _judged(settings, store, missing, workers):
        store.write_model(_document(outcome.name), outcome)
        outcomes[outcome.name] = outcome
        on_outcome(outcome, len(outcomes), len(tasks))
    return tuple(outcomes[task.name] for task in tasks)


def _document(name: str) -> str:
    return f"{CONTROLS}/{OUTCOMES}/{name}.json"


def _judged(settings: Settings, store: ArtefactStore, tasks: Sequence[ControlTask], workers: int) -> Iterator[ControlOutcome]:
    """Judge markets in worker processes and yield each outcome as it comes; nothing of theirs stays but reports."""
    if not tasks:
        return
    work = settings.local_root / store.namespace / "work"
    reports = reports_folder(settings, store.namespace)
    shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
    reports.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")  # forking a process with threads of torch or gRPC in it may hang
    pool = ProcessPoolExecutor(min(workers, len(tasks)), context, initializer=_one_thread)
    try:
        for done in as_completed([pool.submit(_in_worker, task, work, reports) for task in tasks]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(work, ignore_errors=True)


def _one_thread() -> None:
    """Sums in another order are other sums: results must not depend on the number of cores."""
    import torch

    torch.set_num_threads(1)


def _in_worker(task: ControlTask, work: Path, reports: Path) -> ControlOutcome:
    return run_control(task, work / str(os.getpid()), reports)


def _summary(
    project: Project, request: ControlsRequest, universes: tuple[str, ...], namespace: str, outcomes: Sequence[ControlOutcome]
) -> ControlsSummary:
    def of(kind: ControlKind) -> list[ControlOutcome]:
        return [outcome for outcome in outcomes if outcome.kind == kind]

    leaked = leaked_findings(of("leaked")) if request.leaked else None
    planted = planted_findings(of("planted")) if request.planted else None
    null = null_findings(of("null")) if request.null else None
    return ControlsSummary(
        namespace=namespace,
        seed=request.seed,
        line=request.line,
        profile=request.profile,
        universes=universes,
        bars=dict(BARS),
        code=_code(),
        configuration=_configuration(project, universes),
        seconds_per_market=round(sum(outcome.seconds for outcome in outcomes) / max(len(outcomes), 1), 3),
        leaked=leaked,
        planted=planted,
        null=null,
        demands=demands(leaked, planted, null),
    )
