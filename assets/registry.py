"""Group `registry`: the challenger as a registered version, and the champion alias moved only on passed gates."""

from typing import TYPE_CHECKING

import dagster as dg

from assets.exclusive import require_unfinished
from assets.metadata import table
from assets.partitions import asset_key
from assets.resources import TotoOps
from assets.run_tags import REASON_TAG
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.pipeline.lineage import LineagePage

GROUP = "registry"
PROMOTION_POOL = "promotion"
"""Limited to one at a time by the instance: MLflow has no compare-and-set on aliases."""


def registry_assets(universe: Universe) -> list[dg.AssetsDefinition]:
    """Challenger and champion of one universe."""
    return [_challenger(universe), _champion(universe)]


def lineage_metadata(page: "LineagePage") -> dict[str, dg.MetadataValue]:
    """Where to read how what serves came to be: in the MLflow interface, and as a file on this machine."""
    links: dict[str, dg.MetadataValue] = {"lineage": dg.MetadataValue.url(page.url)}
    if page.report_url is not None:
        links["report_of_what_serves"] = dg.MetadataValue.url(page.report_url)
    if page.path is not None:
        links["lineage_file"] = dg.MetadataValue.path(str(page.path))
    return links


def _challenger(universe: Universe) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(universe, "challenger"),
        deps=[asset_key(universe, "evaluation_report")],
        group_name=GROUP,
        kinds={"mlflow", "onnx"},
        owners=["team:toto-ops"],
        pool=PROMOTION_POOL,
        retry_policy=dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL),
        description="The judged challenger and the fallback as registered MLflow versions with ONNX. Serving does not change.",
    )
    def challenger(context: dg.AssetExecutionContext, toto: TotoOps) -> dg.MaterializeResult[None]:
        from toto_ops.pipeline.registry_steps import register_challenger
        from toto_ops.registry.links import MlflowInterface, version_route

        registered = register_challenger(toto.project(), toto.retraining(context, universe), universe)
        interface = MlflowInterface(toto.project().settings.mlflow_interface)
        return dg.MaterializeResult(
            metadata={
                "challenger": registered.challenger.label,
                "in_mlflow": dg.MetadataValue.url(
                    interface.url(version_route(registered.challenger.name, registered.challenger.version))
                ),
                "fallback": registered.fallback.label,
                "gates": registered.challenger.gates,
                "inputs_hash": registered.challenger.inputs_hash,
                "data_hash": registered.challenger.data_hash,
            }
        )

    return challenger


def _champion(universe: Universe) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(universe, "champion"),
        # The embeddings for their order alone: a retraining without them is not settled, and so made again.
        deps=[
            asset_key(universe, "challenger"),
            dg.AssetDep(asset_key(universe, "embeddings"), partition_mapping=dg.AllPartitionMapping()),
        ],
        group_name=GROUP,
        kinds={"mlflow"},
        owners=["team:toto-ops"],
        pool=PROMOTION_POOL,
        description="What serves: the challenger if it passed every gate, else whatever served before.",
    )
    def champion(context: dg.AssetExecutionContext, toto: TotoOps) -> dg.MaterializeResult[None]:
        from toto_ops.pipeline.lineage import page_of_incumbent
        from toto_ops.pipeline.registry_steps import settle_champion

        require_unfinished(context)
        reason = context.run.tags.get(REASON_TAG, "asked for")
        outcome = settle_champion(toto.project(), toto.retraining(context, universe), universe, reason=reason)
        return dg.MaterializeResult(
            metadata={
                "namespace": toto.namespace,
                "promoted": outcome.promoted,
                "decision": outcome.decision,
                "serving": outcome.incumbent,
                **lineage_metadata(page_of_incumbent(toto.project(), universe)),
                "report_of_this_retraining": dg.MetadataValue.path(outcome.report),
                "gates": table([row.model_dump() for row in outcome.criteria]),
            }
        )

    return champion
