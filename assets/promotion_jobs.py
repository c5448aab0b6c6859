"""Four jobs per universe for people: promote, roll back, freeze and unfreeze, from the launchpad of the UI.

They call what `toto-ops registry` calls. They do not carry the universe's tag: a rollback must not wait in the queue until a
retraining has finished. The pool they share with the assets that promote keeps them apart from those.
"""

import dagster as dg
from pydantic import Field

from assets.launchpad_jobs import launchpad_job
from assets.partitions import asset_key
from assets.registry import PROMOTION_POOL, lineage_metadata
from assets.resources import TotoOps
from toto_ops.pipeline.project import Project
from toto_ops.universes import Universe


class Signed(dg.Config):
    """Who changes what serves, and why: both go into the diary of the registry."""

    why: str = Field(min_length=1, description="The reason, for those who ask later.")
    by: str | None = Field(default=None, description="Your name; the id of this run where it is left out.")


class PromoteConfig(Signed):
    """Which version is to serve."""

    version: int | None = Field(default=None, ge=1, description="Version of the serving model; the challenger if left out.")


def promotion_jobs(universe: Universe) -> list[dg.JobDefinition]:
    """The jobs of one universe."""
    name = universe.name
    return [
        launchpad_job(
            f"{name}_promote",
            _promote_op(universe),
            f"Make a version of {name} that passed its gates the champion; refused while promotions are frozen.",
        ),
        launchpad_job(
            f"{name}_rollback",
            _rollback_op(universe),
            f"Withdraw the champion of {name} and serve what it replaced, or the fallback.",
        ),
        launchpad_job(
            f"{name}_freeze",
            _freeze_op(universe),
            f"Let nothing of {name} be promoted, by schedule or by hand, until it is unfrozen; a rollback stays possible.",
        ),
        launchpad_job(f"{name}_unfreeze", _unfreeze_op(universe), f"Allow promotions of {name} again."),
    ]


def _promote_op(universe: Universe) -> dg.OpDefinition:
    @dg.op(name=f"{universe.name}_promote_version", pool=PROMOTION_POOL, out=dg.Out(dg.Nothing))
    def promote(context: dg.OpExecutionContext, config: PromoteConfig, toto: TotoOps) -> None:
        from toto_ops.pipeline.registry_operations import promote_version

        done = promote_version(toto.project(), universe, config.version, by=_who(context, config), why=config.why)
        replaced = f"version {done.replaced}" if done.replaced else "nothing"
        _show(
            context,
            toto.project(),
            universe,
            {"serving": done.champion.label, "outcome": done.outcome, "replaced": replaced, "why": config.why},
        )

    return promote


def _rollback_op(universe: Universe) -> dg.OpDefinition:
    @dg.op(name=f"{universe.name}_roll_back_champion", pool=PROMOTION_POOL, out=dg.Out(dg.Nothing))
    def rollback(context: dg.OpExecutionContext, config: Signed, toto: TotoOps) -> None:
        from toto_ops.pipeline.registry_operations import roll_back

        done = roll_back(toto.project(), universe, by=_who(context, config), why=config.why)
        serving = f"{done.incumbent.label} ({done.incumbent.line})"
        _show(context, toto.project(), universe, {"serving": serving, "withdrawn": done.withdrawn.label, "why": config.why})

    return rollback


def _freeze_op(universe: Universe) -> dg.OpDefinition:
    @dg.op(name=f"{universe.name}_freeze_promotions", pool=PROMOTION_POOL, out=dg.Out(dg.Nothing))
    def freeze(context: dg.OpExecutionContext, config: Signed, toto: TotoOps) -> None:
        from toto_ops.pipeline.registry_operations import freeze_promotions

        entry = freeze_promotions(toto.project(), universe, by=_who(context, config), why=config.why)
        context.add_output_metadata({"promotions": f"frozen {entry.signed}"})

    return freeze


def _unfreeze_op(universe: Universe) -> dg.OpDefinition:
    @dg.op(name=f"{universe.name}_unfreeze_promotions", pool=PROMOTION_POOL, out=dg.Out(dg.Nothing))
    def unfreeze(context: dg.OpExecutionContext, config: Signed, toto: TotoOps) -> None:
        from toto_ops.pipeline.registry_operations import unfreeze_promotions

        entry = unfreeze_promotions(toto.project(), universe, by=_who(context, config), why=config.why)
        context.add_output_metadata({"promotions": f"free again {entry.signed}"})

    return unfreeze


def _who(context: dg.OpExecutionContext, config: Signed) -> str:
    return config.by or f"Dagster run {context.run_id}"


def _show(context: dg.OpExecutionContext, project: Project, universe: Universe, told: dict[str, str]) -> None:
    """Show what serves now on the op and on the asset `champion`, which would else go on showing what served before."""
    from toto_ops.pipeline.lineage import page_of_incumbent

    told_as_text = {name: dg.MetadataValue.text(value) for name, value in told.items()}
    metadata = {**told_as_text, **lineage_metadata(page_of_incumbent(project, universe))}
    context.add_output_metadata(metadata)
    context.log_event(dg.AssetMaterialization(asset_key(universe, "champion"), metadata=metadata))
