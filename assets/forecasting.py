"""Group `forecasting`: the generic forecaster, its specialists, embeddings of every bar, and how good the forecasts are."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from assets.metadata import picture, show_symbols, table
from assets.partitions import asset_key, symbol_partitions
from assets.resources import TotoOps
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.forecasting.specialists.specialists import SpecialistRow
    from toto_ops.pipeline.forecasting_steps import NotMade

GROUP = "forecasting"


def forecasting_assets(universe: Universe) -> list[dg.AssetsDefinition]:
    """Forecaster, specialists, embeddings and their evaluation, of one universe."""
    return [
        _forecaster(universe),
        _specialist_forecaster(universe),
        _embeddings(universe),
        _forecast_evaluation(universe),
        _served_embeddings(universe),
    ]


def _forecaster(universe: Universe) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(universe, "forecaster"),
        deps=[asset_key(universe, "panel")],
        group_name=GROUP,
        kinds={"torch", "mlflow"},
        owners=["team:toto-ops"],
        description="One forecaster for every symbol: a backbone and a quantile head, fitted on the first half of train.",
    )
    def forecaster(context: dg.AssetExecutionContext, toto: TotoOps) -> dg.MaterializeResult[None]:
        from toto_ops.pipeline.forecasting_steps import NotMade, make_forecaster

        made = make_forecaster(toto.project(), toto.retraining(context, universe), universe, context.log.info)
        if isinstance(made, NotMade):
            return dg.MaterializeResult(metadata=_not_made(made))
        manifest = made.manifest
        return dg.MaterializeResult(
            metadata={
                "backbone": manifest.backbone,
                "passed_over": table([one.model_dump() for one in manifest.passed_over]),
                "knows_until": str(manifest.knows_until),
                "possibly_knows_until": str(manifest.possibly_knows_until or "nothing beyond"),
                "taken_over": dg.MetadataValue.json(manifest.reused or {"from": "nothing: fitted anew"}),
                "metrics": table([{"metric": name, "value": value} for name, value in sorted(manifest.metrics.items())]),
                "folder": dg.MetadataValue.path(str(made.folder)),
                "reused": made.reused,
            }
        )

    return forecaster


def _specialist_forecaster(universe: Universe) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(universe, "specialist_forecaster"),
        # Features for the same reason as `ensemble_decisions`: the search for partitions stops at an unpartitioned asset.
        deps=[asset_key(universe, "features"), asset_key(universe, "forecaster")],
        partitions_def=symbol_partitions(universe.name),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=GROUP,
        kinds={"torch"},
        owners=["team:toto-ops"],
        description="Low-rank adapters of the forecaster, one per symbol, fitted in one batch. One that does not beat the "
        "generic forecaster on validation does not serve.",
    )
    def specialist_forecaster(context: dg.AssetExecutionContext, toto: TotoOps) -> dg.MaterializeResult[None]:
        from toto_ops.pipeline.forecasting_steps import NotMade, make_specialists

        made = make_specialists(toto.project(), toto.retraining(context, universe), universe)
        if isinstance(made, NotMade):
            return dg.MaterializeResult(metadata=_not_made(made))
        rows = {row.symbol: _shown(row) for row in made.specialists.table}
        show_symbols(context, {symbol: {**row, "reused": made.reused} for symbol, row in rows.items()})
        return dg.MaterializeResult(metadata={"specialists": table(list(rows.values()))})

    return specialist_forecaster


def _not_made(made: "NotMade") -> dict[str, str]:
    return {"status": "not made", "reason": made.reason}


def _shown(row: "SpecialistRow") -> dict[str, str | int | float | bool]:
    content = {**row.model_dump(), "improvement": row.improvement}
    return {name: "-" if value is None else value for name, value in content.items()}


def _embeddings(universe: Universe) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(universe, "embeddings"),
        deps=[asset_key(universe, "specialist_forecaster"), asset_key(universe, "panel")],
        partitions_def=symbol_partitions(universe.name),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=GROUP,
        kinds={"torch"},
        owners=["team:toto-ops"],
        description="128 numbers per bar and symbol, known at its close, with the forecasts policies observe. Only new bars "
        "are computed.",
    )
    def embeddings(context: dg.AssetExecutionContext, toto: TotoOps) -> dg.MaterializeResult[None]:
        from toto_ops.pipeline.embedding_steps import make_embeddings
        from toto_ops.pipeline.forecasting_steps import NotMade

        made = make_embeddings(toto.project(), toto.retraining(context, universe), universe, context.log.info)
        if isinstance(made, NotMade):
            return dg.MaterializeResult(metadata=_not_made(made))
        show_symbols(context, {one.symbol: one.model_dump(mode="json") for one in made.symbols})
        return dg.MaterializeResult(
            metadata={
                "rows_computed": made.rows_computed,
                "rows_reused": made.rows_reused,
                "knows_until": str(made.manifest.knows_until),
                "metrics": table([{"metric": name, "value": value} for name, value in sorted(made.manifest.metrics.items())]),
                "by_trend_regime": picture(made.plot, "embedding space coloured by trend regime"),
            }
        )

    return embeddings


def _forecast_evaluation(universe: Universe) -> dg.AssetsDefinition:
    key = asset_key(universe, "forecast_evaluation")

    @dg.asset(
        key=key,
        deps=[dg.AssetDep(asset_key(universe, "specialist_forecaster"), partition_mapping=dg.AllPartitionMapping())],
        group_name=GROUP,
        kinds={"torch"},
        owners=["team:toto-ops"],
        description="Forecasts on bars the forecaster was not fitted on, against seasonal naive, drift and EWMA volatility. "
        "The test span is left to the evaluation report.",
        check_specs=[
            dg.AssetCheckSpec("skill", asset=key, description="The forecaster beats every naive forecast at some horizon")
        ],
    )
    def forecast_evaluation(context: dg.AssetExecutionContext, toto: TotoOps) -> Iterator[dg.MaterializeResult[None]]:
        from toto_ops.evaluation.reports.forecast_tables import scores_table, symbols_table
        from toto_ops.pipeline.forecast_evaluation_steps import make_forecast_evaluation
        from toto_ops.pipeline.forecasting_steps import NotMade

        made = make_forecast_evaluation(toto.project(), toto.retraining(context, universe), universe)
        if isinstance(made, NotMade):
            result = dg.AssetCheckResult(
                check_name="skill", passed=False, severity=dg.AssetCheckSeverity.WARN, description=made.reason
            )
            yield dg.MaterializeResult(asset_key=key, metadata=_not_made(made), check_results=[result])
            return
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                **{one.part: dg.MetadataValue.md(scores_table(one).markdown()) for one in made.evaluations},
                **{f"{one.part}_symbols": dg.MetadataValue.md(symbols_table(one).markdown()) for one in made.evaluations},
                **{f"fans_{symbol}": picture(png, f"forecasts of {symbol} and what came") for symbol, png in made.fans.items()},
                "reused": made.reused,
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name="skill",
                    passed=made.skilled,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=made.statement,
                )
            ],
        )

    return forecast_evaluation


def _served_embeddings(universe: Universe) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(universe, "served_embeddings"),
        # The embeddings for their order alone: a run that makes them leaves nothing to do.
        deps=[
            asset_key(universe, "served_market"),
            dg.AssetDep(asset_key(universe, "embeddings"), partition_mapping=dg.AllPartitionMapping()),
        ],
        group_name=GROUP,
        kinds={"torch"},
        owners=["team:toto-ops"],
        description="Embeddings and forecasts of the served market, by the forecaster of the last settled retraining: of new "
        "bars alone, unless the symbols are others.",
    )
    def served_embeddings(context: dg.AssetExecutionContext, toto: TotoOps) -> dg.MaterializeResult[None]:
        from toto_ops.pipeline.embedding_steps import serve_embeddings
        from toto_ops.pipeline.forecasting_steps import NotMade

        updated = serve_embeddings(toto.project(), toto.retraining(context, universe), universe)
        if isinstance(updated, NotMade):
            return dg.MaterializeResult(metadata=_not_made(updated))
        return dg.MaterializeResult(metadata={"rows_computed": updated.rows_computed, "rows_reused": updated.rows_reused})

    return served_embeddings
