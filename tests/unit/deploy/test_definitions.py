"""The composition root: what Dagster loads, and what it relies on silently."""

import importlib
import subprocess
import sys

import dagster as dg
import pytest

from deploy.definitions import PRELOADED_MODULES, build_defs, defs
from toto_ops.configuration import Settings

ASSETS = {
    "bars",
    "features",
    "panel",
    "served_market",
    "forecaster",
    "specialist_forecaster",
    "embeddings",
    "forecast_evaluation",
    "served_embeddings",
    "ensemble_decisions",
    "offline_dataset",
    "bc_policy",
    "evaluation_report",
    "challenger",
    "champion",
}


def test_every_universe_has_the_same_graph() -> None:
    keys = {tuple(key.path) for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert keys == {(universe, asset) for universe in ("stocks", "crypto", "multi") for asset in ASSETS}


def test_everything_resolves() -> None:
    dg.Definitions.validate_loadable(defs)


def test_every_asset_says_what_it_is_and_who_owns_it() -> None:
    for key in defs.resolve_asset_graph().get_all_asset_keys():
        node = defs.resolve_asset_graph().get(key)
        assert node.description, key
        assert node.owners, key
        assert node.kinds, key
        assert node.group_name != "default", key


def test_schedules_follow_the_cadence_of_their_universe() -> None:
    schedules = {schedule.name: schedule for schedule in defs.schedules or () if isinstance(schedule, dg.ScheduleDefinition)}
    assert schedules["crypto_retrain"].cron_schedule == "0 6 1 * *"
    assert schedules["stocks_retrain"].cron_schedule == "0 6 1 1,4,7,10 *"


@pytest.mark.parametrize(("env", "status"), [("local", "STOPPED"), ("prod", "RUNNING")])
def test_default_status_comes_from_the_environment(env: str, status: str) -> None:
    built = build_defs(settings=Settings(env=env))  # type: ignore[arg-type]
    statuses = {one.name: one.default_status.value for one in (*(built.schedules or ()), *(built.sensors or ()))}  # type: ignore[union-attr]
    assert statuses.pop("settle_unfinished_runs") == "RUNNING", "a slot held by a dead run is freed in every environment"
    assert {"crypto_retrain", "stocks_retrain", "crypto_new_symbols", "stocks_new_symbols"} <= statuses.keys()
    assert set(statuses.values()) == {status}


@pytest.mark.parametrize("name", PRELOADED_MODULES)
def test_every_preloaded_module_exists(name: str) -> None:
    importlib.import_module(name)


@pytest.mark.subprocess
def test_the_code_location_does_not_load_what_steps_need() -> None:
    heavy = "torch", "mlflow", "great_expectations", "onnxruntime", "matplotlib", "exchange_calendars", "sklearn"
    code = f"import deploy.definitions, sys; print([name for name in {heavy!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
