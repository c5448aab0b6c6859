"""Group `market`: bars, features, panel, and the checks that say whether they can be trusted."""

from collections.abc import Iterator

import dagster as dg

from assets.exclusive import require_only_retraining
from assets.metadata import table
from assets.partitions import asset_key, symbol_partitions
from assets.resources import TotoOps
from assets.run_tags import as_of_tag, is_symbol_only
from assets.symbol_checks import SymbolCheck, symbol_check_results
from toto_ops.universes import Universe

GROUP = "market"
MINIMUM_HEALTH = 0.5
"""A newest bar whose data health index is below this is shown red; it informs and does not block."""


def market_assets(universe: Universe) -> list[dg.AssetsDefinition | dg.AssetChecksDefinition]:
    """Bars, features, panel and served market of one universe, with their checks."""
    return [_bars(universe), _coverage(universe), _features(universe), _panel(universe), _served_market(universe)]


def _bars(universe: Universe) -> dg.AssetsDefinition:
    key, partitions = asset_key(universe, "bars"), symbol_partitions(universe.name)
    quality = dg.AssetCheckSpec(
        "quality", asset=key, partitions_def=partitions, description="Great Expectations suite of one symbol's bars"
    )

    @dg.asset(
        key=key,
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=GROUP,
        kinds={"polars", "parquet", "great_expectations"},
        owners=["team:toto-ops"],
        description="Validated OHLCV bars per symbol. A symbol that fails its suite is quarantined: it writes nothing, "
        "is absent from this retraining, and what was stored of it before stays.",
        check_specs=[quality],
    )
    def bars(
        context: dg.AssetExecutionContext, toto: TotoOps
    ) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None] | dg.MaterializeResult[None]]:
        from toto_ops.pipeline.market_steps import ingest, ingest_symbols

        require_only_retraining(context, universe)
        project, retraining = toto.project(), toto.retraining(context, universe)
        if is_symbol_only(context):
            ingested = ingest_symbols(project, retraining, universe, context.partition_keys)
        else:
            ingested = ingest(project, retraining, universe, context.partition_keys, as_of_tag(context))
        for name, why in ingested.rejected_files.items():
            context.log.warning(f"{name} was left out: {why}")
        docs = dg.MetadataValue.path(str(ingested.data_docs / "index.html"))
        for result in ingested.results:
            entry = result.entry
            context.add_asset_metadata(
                {
                    "status": entry.status,
                    "dagster/row_count": entry.rows,
                    "first_close": str(entry.first_close),
                    "last_close": str(entry.last_close),
                    "ended": entry.ended,
                    "change": result.change or "none",
                    "content_hash": entry.bars or "",
                    "reason": "; ".join(entry.reasons) or "none",
                    "warnings": "; ".join(entry.warnings) or "none",
                    "as_of": ingested.as_of.isoformat(),
                    "data_docs": docs,
                },
                asset_key=key,
                partition_key=entry.symbol,
            )
        for symbol in ingested.not_members:
            context.add_asset_metadata({"status": "not in the universe"}, asset_key=key, partition_key=symbol)
        yield dg.MaterializeResult(asset_key=key)
        found = [
            SymbolCheck(
                entry.symbol,
                entry.status == "included",
                "; ".join(entry.reasons or entry.warnings) or "every expectation met",
                {"warnings": "; ".join(entry.warnings) or "none", "data_docs": docs},
            )
            for entry in (result.entry for result in ingested.results)
        ]
        yield from symbol_check_results(context, quality, dg.AssetCheckSeverity.ERROR, found)

    return bars


def _coverage(universe: Universe) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(universe, "bars"),
        name="coverage",
        blocking=True,
        description="Enough symbols are healthy to retrain the universe; otherwise nothing downstream runs",
    )
    def coverage(context: dg.AssetCheckExecutionContext, toto: TotoOps) -> dg.AssetCheckResult:
        from toto_ops.pipeline.market_steps import coverage_of

        result = coverage_of(toto.project(), toto.retraining(context, universe), universe)
        return dg.AssetCheckResult(
            passed=result.sufficient,
            description=result.summary,
            metadata={
                "share": result.share,
                "required": result.required,
                "quarantined": table(
                    [{"symbol": symbol, "reason": "; ".join(why)} for symbol, why in result.quarantined.items()]
                ),
            },
        )

    return coverage


def _features(universe: Universe) -> dg.AssetsDefinition:
    key, partitions = asset_key(universe, "features"), symbol_partitions(universe.name)
    health = dg.AssetCheckSpec("health", asset=key, partitions_def=partitions, description="Data health index of the newest bar")

    @dg.asset(
        key=key,
        deps=[asset_key(universe, "bars")],
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name=GROUP,
        kinds={"polars", "parquet"},
        owners=["team:toto-ops"],
        description="The 30 causal market features per bar: returns, indicators, volatility regime, data health, sentiment.",
        check_specs=[health],
    )
    def features(
        context: dg.AssetExecutionContext, toto: TotoOps
    ) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None] | dg.MaterializeResult[None]]:
        from toto_ops.pipeline.feature_steps import make_features

        # A run about new symbols uses the features of all, and has something to say of its own alone.
        asked = set(context.partition_keys)
        features_of_all = make_features(toto.project(), toto.retraining(context, universe), universe)
        made = [one for one in features_of_all if one.symbol in asked]
        for one in made:
            context.add_asset_metadata(
                {"dagster/row_count": one.rows, "health": one.health, "recent_health": one.recent_health, "reused": one.reused},
                asset_key=key,
                partition_key=one.symbol,
            )
        for symbol in asked - {one.symbol for one in made}:
            context.add_asset_metadata({"status": "takes no part"}, asset_key=key, partition_key=symbol)
        yield dg.MaterializeResult(asset_key=key)
        found = [
            SymbolCheck(
                one.symbol,
                one.recent_health >= MINIMUM_HEALTH,
                f"data health index {one.recent_health:.2f} at the newest bar, {one.health:.2f} on average",
                {"recent_health": one.recent_health, "mean_health": one.health},
            )
            for one in made
        ]
        yield from symbol_check_results(context, health, dg.AssetCheckSeverity.WARN, found)

    return features


def _panel(universe: Universe) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(universe, "panel"),
        deps=[dg.AssetDep(asset_key(universe, "features"), partition_mapping=dg.AllPartitionMapping())],
        group_name=GROUP,
        kinds={"numpy"},
        owners=["team:toto-ops"],
        description="Features and prices of all symbols on one time grid, `[T, A, F]` with a mask, joined by timestamp.",
    )
    def panel(context: dg.AssetExecutionContext, toto: TotoOps) -> dg.MaterializeResult[None]:
        from toto_ops.pipeline.feature_steps import make_panel

        made = make_panel(toto.project(), toto.retraining(context, universe), universe)
        return dg.MaterializeResult(
            metadata={
                "symbols": ", ".join(made.symbols),
                "dagster/row_count": made.rows,
                "features": made.features,
                "first_close": made.first_close.isoformat(),
                "last_close": made.last_close.isoformat(),
                "share_masked": made.share_masked,
                "reused": made.reused,
            }
        )

    return panel


def _served_market(universe: Universe) -> dg.AssetsDefinition:
    @dg.asset(
        key=asset_key(universe, "served_market"),
        deps=[asset_key(universe, "panel")],
        group_name=GROUP,
        kinds={"json"},
        owners=["team:toto-ops"],
        description="The snapshot and panel `toto-ops predict` answers from; follows every ingest, whoever the incumbent is.",
    )
    def served_market(context: dg.AssetExecutionContext, toto: TotoOps) -> dg.MaterializeResult[None]:
        from toto_ops.pipeline.serving_steps import publish_served_market

        served = publish_served_market(toto.project(), toto.retraining(context, universe), universe)
        return dg.MaterializeResult(
            metadata={"published": served.published, "as_of": served.as_of.isoformat(), "symbols": ", ".join(served.symbols)}
        )

    return served_market
