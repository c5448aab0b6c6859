"""`toto-ops admin gc` over a whole home: every namespace of the store, and the runs of the Dagster instance beside it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from deploy.run_retention import RunHistory, StoredRun
from toto_ops.configuration import Settings, StrictModel
from toto_ops.pipeline import collection
from toto_ops.pipeline.collection import CollectionPlan, CollectionReport
from toto_ops.pipeline.retention_marks import Terms


@dataclass(frozen=True)
class HomePlan:
    """What would be taken away from a home.

    Attributes
    ----------
    history
        Whose runs these are; None where Dagster has never run.
    """

    terms: Terms
    namespaces: tuple[CollectionPlan, ...]
    history: RunHistory | None
    runs: tuple[StoredRun, ...]


class RunAmount(StrictModel):
    """How many runs of Dagster, and the bytes of their event logs and output."""

    items: int
    bytes: int


class HomeReport(StrictModel):
    """What a collection took away from a home, or would, and what stays."""

    untouched_since: datetime
    in_progress: tuple[str, ...]
    namespaces: tuple[CollectionReport, ...]
    dagster_runs: RunAmount

    @property
    def removed_bytes(self) -> int:
        return sum(namespace.removed_bytes for namespace in self.namespaces) + self.dagster_runs.bytes


def plan_home(settings: Settings, older_than: timedelta) -> HomePlan:
    """Find out what nothing needs any more, by reading alone.

    Raises
    ------
    StorageError
        If the store is remote, or it cannot be told what is in use.
    """
    history = RunHistory.existing(settings)
    in_progress = history.unfinished_retrainings() if history else frozenset()
    terms = Terms(datetime.now(UTC), older_than, in_progress)
    plans = collection.plan_collections(settings, terms)
    kept = {retrain_id for plan in plans for _, retrain_id, _ in plan.retrainings}
    return HomePlan(terms, plans, history, history.removable(terms.since, kept, _checks()) if history else ())


def report_of(plan: HomePlan) -> HomeReport:
    """What carrying out a plan would come to."""
    return _report(plan, [collection.report_of(one, one.items) for one in plan.namespaces])


def carry_out(plan: HomePlan) -> HomeReport:
    """Take away what was planned."""
    reports = [collection.carry_out(one) for one in plan.namespaces]
    if plan.history is not None:
        for run in plan.runs:
            plan.history.remove(run)
    return _report(plan, reports)


def _report(plan: HomePlan, namespaces: list[CollectionReport]) -> HomeReport:
    return HomeReport(
        untouched_since=plan.terms.since,
        in_progress=tuple(sorted(plan.terms.in_progress)),
        namespaces=tuple(namespaces),
        dagster_runs=RunAmount(items=len(plan.runs), bytes=sum(run.size for run in plan.runs)),
    )


def _checks() -> AbstractSet[dg.AssetCheckKey]:
    from deploy.definitions import defs  # reads the configuration, which may be at fault

    return defs.resolve_asset_graph().asset_check_keys
