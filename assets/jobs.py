"""One retraining job per universe: every asset, every check, over all symbols in one run."""

import dagster as dg

from assets.resources import UNIVERSE_TAG
from toto_ops.universes import Universe


def retrain_job_name(universe: Universe) -> str:
    return f"{universe.name}_retrain"


def retrain_job(universe: Universe) -> dg.UnresolvedAssetJobDefinition:
    """The job that retrains a universe. Launch it with the range tags of `assets.partitions.range_tags`."""
    return dg.define_asset_job(
        retrain_job_name(universe),
        selection=dg.AssetSelection.key_prefixes([universe.name]),
        tags={UNIVERSE_TAG: universe.name},
        description=f"Retrain {universe.name}: validate bars, train every line, judge, register, promote what passes its gates.",
    )
