"""A check result per symbol is tied to the materialisation it judges; Dagster shows an untied one as not checked."""

from collections.abc import Iterator

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context

from assets.partitions import range_tags, reconcile_partitions, symbol_partitions
from assets.symbol_checks import SymbolCheck, symbol_check_results
from toto_ops.configuration import Settings
from toto_ops.universes import load_universes

UNIVERSE = load_universes(Settings()).universe("crypto")
KEY = dg.AssetKey(["crypto", "checked"])
PARTITIONS = symbol_partitions("crypto")
SPEC = dg.AssetCheckSpec("sound", asset=KEY, partitions_def=PARTITIONS)
UNJUDGED = "QUIET"


@dg.asset(key=KEY, partitions_def=PARTITIONS, backfill_policy=dg.BackfillPolicy.single_run(), check_specs=[SPEC])
def checked(
    context: dg.AssetExecutionContext,
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None] | dg.MaterializeResult[None]]:
    yield dg.MaterializeResult(asset_key=KEY)
    found = [SymbolCheck(symbol, symbol != "BAD", symbol.lower(), {}) for symbol in context.partition_keys if symbol != UNJUDGED]
    yield from symbol_check_results(context, SPEC, dg.AssetCheckSeverity.ERROR, found)


def run(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = dg.Definitions([checked], jobs=[dg.define_asset_job("check")]).resolve_job_def("check")
    return job.execute_in_process(instance=instance, tags=range_tags(instance, UNIVERSE))


def shown(instance: dg.DagsterInstance) -> dict[str, set[str]]:
    """Symbols by status, as the Partitions tab of the check shows them."""
    with partition_loading_context(dynamic_partitions_store=instance):
        state = instance.event_log_storage.get_asset_check_state([(SPEC.key, PARTITIONS)])[SPEC.key]
        subsets = {status.value: set(subset.subset_value.get_partition_keys()) for status, subset in state.subsets.items()}
    return {status: symbols for status, symbols in subsets.items() if symbols}


def test_every_symbol_shows_its_own_result_also_after_a_second_run() -> None:
    instance = dg.DagsterInstance.ephemeral()
    reconcile_partitions(instance, UNIVERSE, ["GOOD", "BAD", "FINE", UNJUDGED])
    for _ in range(2):
        assert run(instance).success
        assert shown(instance) == {"SUCCEEDED": {"GOOD", "FINE"}, "FAILED": {"BAD"}, "SKIPPED": {UNJUDGED}}


def test_a_result_names_the_materialisation_of_its_own_run_and_symbol() -> None:
    instance = dg.DagsterInstance.ephemeral()
    reconcile_partitions(instance, UNIVERSE, ["GOOD", "BAD"])
    run(instance)
    second = run(instance)
    records = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=KEY), limit=2).records
    newest = {record.partition_key: record.storage_id for record in records}
    targets = {check.partition: check.target_materialization_data for check in second.get_asset_check_evaluations()}
    assert {symbol: target.storage_id for symbol, target in targets.items() if target} == newest
    assert {target.run_id for target in targets.values() if target} == {second.run_id}
