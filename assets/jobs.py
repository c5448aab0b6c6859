"""Three jobs per universe: retrain (everything), ingest (bars to served market, between retrainings), add symbols."""

from typing import TYPE_CHECKING

import dagster as dg

from assets.partitions import asset_key
from assets.run_tags import SCOPE_TAG, SYMBOLS_SCOPE, UNIVERSE_TAG
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

INGESTED_ASSETS = ("bars", "features", "panel", "served_market", "served_embeddings")


def retrain_job_name(universe: Universe) -> str:
    """`crypto_retrain`, also the name of its schedule."""
    return f"{universe.name}_retrain"


def retrain_job(universe: Universe) -> "UnresolvedAssetJobDefinition":
    """The job that retrains a universe. Launch it with the range tags of `assets.partitions.range_tags`."""
    return dg.define_asset_job(
        retrain_job_name(universe),
        selection=dg.AssetSelection.key_prefixes([universe.name]),
        tags={UNIVERSE_TAG: universe.name},
        description=f"Retrain {universe.name}: validate bars, train every line, judge, register, promote what passes its gates.",
    )


def ingest_job_name(universe: Universe) -> str:
    """`crypto_ingest`."""
    return f"{universe.name}_ingest"


def ingest_job(universe: Universe) -> "UnresolvedAssetJobDefinition":
    """The job that brings in new bars for serving, without training anything; light enough for one process."""
    return dg.define_asset_job(
        ingest_job_name(universe),
        selection=_ingested(universe),
        tags={UNIVERSE_TAG: universe.name},
        executor_def=dg.in_process_executor,
        description=f"Validate and store new bars of {universe.name} and serve from them; no model is trained.",
    )


def add_symbols_job_name(universe: Universe) -> str:
    """`crypto_add_symbols`."""
    return f"{universe.name}_add_symbols"


def add_symbols_job(universe: Universe) -> "UnresolvedAssetJobDefinition":
    """The job that takes new symbols into the served market. Launch it with tags of `assets.partitions.block_tags`."""
    return dg.define_asset_job(
        add_symbols_job_name(universe),
        selection=_ingested(universe),
        tags={UNIVERSE_TAG: universe.name, SCOPE_TAG: SYMBOLS_SCOPE},
        executor_def=dg.in_process_executor,
        description=f"Take the chosen symbols of {universe.name} into its served market; the others stay as they are, "
        "and the next retraining trains on all of them.",
    )


def _ingested(universe: Universe) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*(asset_key(universe, name) for name in INGESTED_ASSETS))
