"""Group `policies`: one asset per line of models."""

from typing import Any

import dagster as dg

from assets.metadata import table
from assets.partitions import asset_key
from assets.resources import TotoOps
from toto_ops.training.line import Line
from toto_ops.training.lines import LINES
from toto_ops.universes import Universe

GROUP = "policies"
PARTITIONED = {"offline_dataset", "embeddings"}


def policy_assets(universe: Universe) -> list[dg.AssetsDefinition]:
    """A `<line>_policy` asset for every line."""
    return [_policy(universe, line) for line in LINES]


def _policy(universe: Universe, line: Line[Any]) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(universe, f"{line.name}_policy"),
        deps=[asset_key(universe, "panel"), *(_upstream(universe, name) for name in line.upstream)],
        group_name=GROUP,
        kinds={"torch", "mlflow"},
        owners=["team:toto-ops"],
        description=f"{line.description[0].upper()}{line.description[1:]}.",
        code_version=line.code_version,
    )
    def policy(context: dg.AssetExecutionContext, toto: TotoOps) -> dg.MaterializeResult[None]:
        from toto_ops.pipeline.policy_steps import train_line

        made = train_line(toto.project(), toto.retraining(context, universe), universe, line.name)
        manifest = made.manifest
        return dg.MaterializeResult(
            metadata={
                "seed": manifest.seed if manifest.seed is not None else "none",
                "knows_until": str(manifest.knows_until),
                "inputs_hash": manifest.inputs_hash,
                "metrics": table([{"metric": name, "value": value} for name, value in sorted(manifest.metrics.items())]),
                "folder": dg.MetadataValue.path(str(made.folder)),
                "reused": made.reused,
            }
        )

    return policy


def _upstream(universe: Universe, name: str) -> dg.AssetDep:
    mapping = dg.AllPartitionMapping() if name in PARTITIONED else None
    return dg.AssetDep(asset_key(universe, name), partition_mapping=mapping)
