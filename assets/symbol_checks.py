"""Results of a partitioned check in a run that carries many symbols.

`AssetCheckResult` knows one partition per run, so each symbol gets an `AssetCheckEvaluation` of its own. It names the
materialisation it judges: without that, Dagster takes the partition for not checked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData


@dataclass(frozen=True)
class SymbolCheck:
    """What a check found about one symbol."""

    symbol: str
    passed: bool
    description: str
    metadata: Mapping[str, str | float | dg.MetadataValue]


def symbol_check_results(
    context: dg.AssetExecutionContext, spec: dg.AssetCheckSpec, severity: dg.AssetCheckSeverity, found: Sequence[SymbolCheck]
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
    """Everything to yield for `spec`, after the asset's own `MaterializeResult`."""
    judged = _materializations(context.instance, spec.asset_key, {one.symbol for one in found})
    for one in found:
        yield dg.AssetCheckEvaluation(
            asset_key=spec.asset_key,
            check_name=spec.name,
            passed=one.passed,
            partition=one.symbol,
            blocking=False,
            severity=severity,
            description=one.description,
            metadata=one.metadata,
            target_materialization_data=judged.get(one.symbol),
        )
    yield dg.Output(None, output_name=spec.get_python_identifier())


def _materializations(
    instance: dg.DagsterInstance, key: dg.AssetKey, symbols: set[str]
) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
    """The newest materialisation of each symbol, in two queries however many symbols there are."""
    newest = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION, symbols)
    if not newest:
        return {}
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, storage_ids=list(newest.values())), limit=len(newest)
    ).records
    return {
        str(record.partition_key): AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
        for record in records
    }
