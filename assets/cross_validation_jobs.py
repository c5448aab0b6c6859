"""A job per universe that cross-validates a line, from the launchpad of the UI: what `toto-ops cross-validate` does."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from assets.launchpad_jobs import launchpad_job
from assets.metadata import table
from assets.resources import TotoOps
from toto_ops.universes import Universe


class CrossValidateConfig(dg.Config):
    """The options of `toto-ops cross-validate`."""

    line: str = Field(default="bc", description="Line of models.")
    scheme: str = Field(default="walk-forward", description="walk-forward or combinatorial.")
    folds: int | None = Field(default=None, description="Blocks to cut; 5 by default; for combinatorial 6, at most 14.")


def cross_validation_job(universe: Universe) -> dg.JobDefinition:
    """The job `<universe>_cross_validate`, in one process; it changes nothing but the ledger, which counts its trainings."""
    return launchpad_job(
        f"{universe.name}_cross_validate",
        _cross_validate_op(universe),
        f"Train a line of {universe.name} once per fold and test it on the bars kept from it, never on test bars.",
    )


def _cross_validate_op(universe: Universe) -> dg.OpDefinition:
    @dg.op(name=f"{universe.name}_cross_validate_line", out=dg.Out(dg.Nothing))
    def cross_validate(context: dg.OpExecutionContext, config: CrossValidateConfig, toto: TotoOps) -> None:
        from toto_ops.evaluation.reports.cross_validation_tables import block_rows, distribution, path_rows
        from toto_ops.pipeline.cross_validation import cross_validate as run
        from toto_ops.pipeline.cross_validation import scheme_of

        scheme = scheme_of(config.scheme, config.folds, Path("run configuration"))
        done = run(toto.project(), universe, config.line, scheme, context.log.info)
        context.add_output_metadata(
            {
                "document": dg.MetadataValue.path(str(done.folder)),
                "paths": table(path_rows(done.document)),
                "blocks": table(block_rows(done.document)),
                "distribution": distribution(done.document),
                "caveats": "\n".join(done.document.caveats) or "none",
            }
        )

    return cross_validate
