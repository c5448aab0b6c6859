"""`toto-ops admin gc` over a whole home: every namespace of the store, the controls, and the runs of the Dagster instance."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from deploy.run_retention import RunHistory, StoredRun
from toto_ops.configuration import Settings, StrictModel
from toto_ops.pipeline import collection
from toto_ops.pipeline.collection import CollectionPlan, CollectionReport
from toto_ops.pipeline.controls_retention import old_controls, remove_controls
from toto_ops.pipeline.retention_marks import Terms
from toto_ops.storage.retention import StoredItem


@dataclass(frozen=True)
class HomePlan:
    """What would be taken away from a home.

    Attributes
    ----------
    controls
        Runs of the controls.
    history
        Whose runs these are; None where Dagster has never run.
    """

    settings: Settings
    terms: Terms
    namespaces: tuple[CollectionPlan, ...]
    controls: tuple[StoredItem, ...]
    history: RunHistory | None
    runs: tuple[StoredRun, ...]


class RunAmount(StrictModel):
    """How many runs, of Dagster or of the controls, and the bytes of all that they left."""

    items: int
    bytes: int


class HomeReport(StrictModel):
    """What a collection took away from a home, or would, and what stays."""

    untouched_since: datetime
    in_progress: tuple[str, ...]
    namespaces: tuple[CollectionReport, ...]
    controls: RunAmount
    dagster_runs: RunAmount

    @property
    def removed_bytes(self) -> int:
        return sum(namespace.removed_bytes for namespace in self.namespaces) + self.controls.bytes + self.dagster_runs.bytes


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
    runs = history.removable(terms.since, kept, _checks()) if history else ()
    return HomePlan(settings, terms, plans, old_controls(settings, terms.untouched_since), history, runs)


def report_of(plan: HomePlan) -> HomeReport:
    """What carrying out a plan would come to."""
    return _report(plan, [collection.report_of(one, one.items) for one in plan.namespaces], plan.controls)


def carry_out(plan: HomePlan) -> HomeReport:
    """Take away what was planned."""
    reports = [collection.carry_out(one) for one in plan.namespaces]
    controls = [one for one in plan.controls if remove_controls(plan.settings, one, plan.terms.untouched_since)]
    if plan.history is not None:
        for run in plan.runs:
            plan.history.remove(run)
    return _report(plan, reports, controls)


def _report(plan: HomePlan, namespaces: list[CollectionReport], controls: Sequence[StoredItem]) -> HomeReport:
    return HomeReport(
        untouched_since=plan.terms.since,
        in_progress=tuple(sorted(plan.terms.in_progress)),
        namespaces=tuple(namespaces),
        controls=RunAmount(items=len(controls), bytes=sum(item.size for item in controls)),
        dagster_runs=RunAmount(items=len(plan.runs), bytes=sum(run.size for run in plan.runs)),
    )


def _checks() -> AbstractSet[dg.AssetCheckKey]:
    from deploy.definitions import defs  # reads the configuration, which may be at fault

    return defs.resolve_asset_graph().asset_check_keys
