"""Everything Dagster loads: `workspace.yaml` points here."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets.backtest_jobs import backtest_job
from assets.control_jobs import controls_job
from assets.cross_validation_jobs import cross_validation_job
from assets.evaluation import evaluation_assets
from assets.forecasting import forecasting_assets
from assets.jobs import add_symbols_job, ingest_job, retrain_job
from assets.market import market_assets
from assets.offline import offline_assets
from assets.policies import policy_assets
from assets.promotion_jobs import promotion_jobs
from assets.registry import registry_assets
from assets.resources import TotoOps
from sensors.alerts import alert_sensors
from sensors.failures import run_failure_log
from sensors.new_symbols import new_symbols_sensor
from sensors.schedules import schedules
from sensors.settle_runs import settle_runs
from toto_ops.configuration import Settings
from toto_ops.universes import Universe, load_universes

PRELOADED_MODULES = (
    "torch",
    "polars",
    "pandas",
    "great_expectations",
    "mlflow",
    "onnxruntime",
    "exchange_calendars",
    "matplotlib.pyplot",
    "deploy.definitions",
)
"""Imported once per run by the fork server; steps then start in under a second. A test imports each name, since
Dagster ignores missing ones silently."""

STEPS_AT_ONCE = 2


def retraining_executor() -> dg.ExecutorDefinition:
    """Each step in its own process, forked from one that has the heavy imports done."""
    return dg.multiprocess_executor.configured(
        {"max_concurrent": STEPS_AT_ONCE, "start_method": {"forkserver": {"preload_modules": list(PRELOADED_MODULES)}}}
    )


def universe_assets(universe: Universe) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """The whole asset graph of one universe."""
    return [
        *market_assets(universe),
        *forecasting_assets(universe),
        *offline_assets(universe),
        *policy_assets(universe),
        *evaluation_assets(universe),
        *registry_assets(universe),
    ]


def build_defs(
    resource_overrides: Mapping[str, Any] | None = None,
    executor: dg.ExecutorDefinition | None = None,
    settings: Settings | None = None,
) -> dg.Definitions:
    """Build the definitions; tests pass their own resources, executor and settings.

    Parameters
    ----------
    resource_overrides
        Replaces resources by name (`toto`).
    executor
        Default executor of every job; forked processes unless given.
    settings
        Where `universes.yaml` is; the environment's unless given.
    """
    file = load_universes(settings or Settings())
    running = file.sensors_default_status == "running"
    schedule_status = dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED
    sensor_status = dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED
    universes = tuple(file.universes.values())
    definitions = [definition for universe in universes for definition in universe_assets(universe)]
    return dg.Definitions(
        assets=[item for item in definitions if not isinstance(item, dg.AssetChecksDefinition)],
        asset_checks=[item for item in definitions if isinstance(item, dg.AssetChecksDefinition)],
        jobs=[
            *(job for universe in universes for job in (retrain_job(universe), ingest_job(universe), add_symbols_job(universe))),
            *(job for universe in universes for job in promotion_jobs(universe)),
            *(backtest_job(universe) for universe in universes),
            *(cross_validation_job(universe) for universe in universes),
            controls_job(),
        ],
        schedules=[schedule for universe in universes for schedule in schedules(universe, schedule_status)],
        sensors=[
            run_failure_log(sensor_status),
            settle_runs(),
            *(new_symbols_sensor(universe, sensor_status) for universe in universes),
            *alert_sensors(sensor_status),
        ],
        resources={"toto": TotoOps(), **(resource_overrides or {})},
        executor=executor or retraining_executor(),
    )


defs = build_defs()


def job_named(name: str) -> dg.JobDefinition:
    """A resolved job, for launchers that must rebuild it in other processes."""
    return defs.resolve_job_def(name)
