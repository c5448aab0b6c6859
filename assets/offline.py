"""Group `offline`: the analysts' decision history and the datasets a pupil trains on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from assets.metadata import show_symbols
from assets.partitions import asset_key, symbol_partitions
from assets.resources import TotoOps
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.pipeline.offline_steps import DecisionsMade

GROUP = "offline"


def offline_assets(universe: Universe) -> list[dg.AssetsDefinition]:
    """Decision history and offline dataset of one universe."""
    return [_ensemble_decisions(universe), _offline_dataset(universe)]


def _ensemble_decisions(universe: Universe) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(universe, "ensemble_decisions"),
        # The panel alone would do, were it not for "Materialize all": Dagster's search for the partitions of everything below
        # the roots stops at an unpartitioned asset, and would leave this one and all that follows out of the backfill.
        deps=[asset_key(universe, "features"), asset_key(universe, "panel")],
        partitions_def=symbol_partitions(universe.name),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=GROUP,
        kinds={"torch", "parquet"},
        owners=["team:toto-ops"],
        description="Every decision of the analysts' ensemble in a backtest, with the portfolio as it was at that moment.",
    )
    def ensemble_decisions(context: dg.AssetExecutionContext, toto: TotoOps) -> dg.MaterializeResult[None]:
        from toto_ops.pipeline.offline_steps import make_decisions

        return _shown(context, make_decisions(toto.project(), toto.retraining(context, universe), universe))

    return ensemble_decisions


def _offline_dataset(universe: Universe) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(universe, "offline_dataset"),
        deps=[asset_key(universe, "ensemble_decisions")],
        partitions_def=symbol_partitions(universe.name),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=GROUP,
        kinds={"numpy"},
        owners=["team:toto-ops"],
        description="(state of 34 features, action, strength) per decision, as `.npz` per symbol.",
    )
    def offline_dataset(context: dg.AssetExecutionContext, toto: TotoOps) -> dg.MaterializeResult[None]:
        from toto_ops.pipeline.offline_steps import make_datasets

        return _shown(context, make_datasets(toto.retraining(context, universe)))

    return offline_dataset


def _shown(context: dg.AssetExecutionContext, made: Sequence["DecisionsMade"]) -> dg.MaterializeResult[None]:
    show_symbols(
        context,
        {
            one.symbol: {
                "dagster/row_count": one.decisions,
                "hold": one.hold,
                "buy": one.buy,
                "sell": one.sell,
                "mean_strength": one.mean_strength,
                "reused": one.reused,
            }
            for one in made
        },
    )
    return dg.MaterializeResult()
