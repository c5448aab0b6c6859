"""The preview features of Dagster this project stands on, as a contract: an upgrade that changes them fails here."""

from collections.abc import Iterator

import dagster as dg
import pytest

from assets.partitions import range_tags, reconcile_partitions, symbol_partitions
from toto_ops.configuration import Settings
from toto_ops.universes import load_universes

UNIVERSE = load_universes(Settings()).universe("crypto")
KEY = dg.AssetKey(["crypto", "checked"])
PARTITIONS = symbol_partitions("crypto")
SPEC = dg.AssetCheckSpec("sound", asset=KEY, partitions_def=PARTITIONS)


@dg.asset(key=KEY, partitions_def=PARTITIONS, backfill_policy=dg.BackfillPolicy.single_run(), check_specs=[SPEC])
def checked(
    context: dg.AssetExecutionContext,
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None] | dg.MaterializeResult[None]]:
    for symbol in context.partition_keys:
        context.add_asset_metadata({"symbol": symbol}, asset_key=KEY, partition_key=symbol)
        yield dg.AssetCheckEvaluation(asset_key=KEY, check_name="sound", passed=symbol != "BAD", partition=symbol, blocking=False)
    yield dg.Output(None, output_name=SPEC.get_python_identifier())
    yield dg.MaterializeResult(asset_key=KEY)


@dg.asset(key=dg.AssetKey(["crypto", "after"]), deps=[dg.AssetDep(KEY, partition_mapping=dg.AllPartitionMapping())])
def after() -> None:
    """Runs although one symbol's check failed."""


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def test_one_run_carries_every_symbol_with_a_check_result_each(instance: dg.DagsterInstance) -> None:
    reconcile_partitions(instance, UNIVERSE, ["GOOD", "BAD", "FINE"])
    job = dg.Definitions([checked, after], jobs=[dg.define_asset_job("both")]).resolve_job_def("both")
    result = job.execute_in_process(instance=instance, tags=range_tags(instance, UNIVERSE))
    assert result.success
    checks = {check.partition: check.passed for check in result.get_asset_check_evaluations()}
    assert checks == {"GOOD": True, "BAD": False, "FINE": True}
    made = {
        event.partition: event.materialization.metadata for event in result.get_asset_materialization_events() if event.partition
    }
    assert {symbol: metadata["symbol"].value for symbol, metadata in made.items()} == {
        "GOOD": "GOOD",
        "BAD": "BAD",
        "FINE": "FINE",
    }


def test_partitions_are_added_and_never_removed(instance: dg.DagsterInstance) -> None:
    assert reconcile_partitions(instance, UNIVERSE, ["A", "B"]) == ("A", "B")
    assert reconcile_partitions(instance, UNIVERSE, ["B", "C"]) == ("C",)
    assert set(instance.get_dynamic_partitions("crypto_symbols")) == {"A", "B", "C"}
