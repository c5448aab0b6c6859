"""The job that asks whether the judge is to be believed: what `toto-ops controls` does, from the launchpad of the UI."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from assets.launchpad_jobs import launchpad_job
from assets.metadata import table
from assets.resources import TotoOps
from toto_ops.configuration import parse_config


class ControlsConfig(dg.Config):
    """The options of `toto-ops controls`."""

    null: int = Field(default=300, description="Markets in which nothing can be known.")
    planted: int = Field(default=20, description="Markets with trends that last.")
    leaked: int = Field(default=1, description="Markets whose next return is published.")
    seed: int = Field(default=0, description="The same seed makes the same markets and the same verdicts.")
    line: str = Field(default="bc", description="Line of models to train.")
    profile: str = Field(default="shipped", description="`shipped`, as configured, or `short`, from one seed.")
    universes: list[str] = Field(default_factory=list, description="Whose rules and gates hold; all with daily bars if empty.")
    workers: int = Field(default=2, description="Processes; results do not depend on it.")


def controls_job() -> dg.JobDefinition:
    """The job `controls`; it judges made markets in namespaces of their own and touches nothing that serves."""
    return launchpad_job(
        "controls", _run_controls, "Run the whole pipeline on markets that must, and that must not, lead to a promotion."
    )


@dg.op(name="run_controls", out=dg.Out(dg.Nothing))
def _run_controls(context: dg.OpExecutionContext, config: ControlsConfig, toto: TotoOps) -> None:
    from toto_ops.evaluation.controls.outcome import ControlOutcome
    from toto_ops.pipeline.controls import ControlsRequest, reports_folder, run_controls

    def told(outcome: ControlOutcome, done: int, total: int) -> None:
        context.log.info(f"{done} of {total}: {outcome.name}, {outcome.made_of}: {outcome.verdict}")

    settings = toto.project().settings
    request = parse_config(config.model_dump(), ControlsRequest, Path("run configuration"))
    summary = run_controls(settings, request, told)
    context.add_output_metadata(
        {
            "demands": table([demand.model_dump() for demand in summary.demands]),
            "gates on null markets": table([tally.model_dump() for tally in summary.null.gates] if summary.null else []),
            "reports": dg.MetadataValue.path(str(reports_folder(settings, summary.namespace))),
        }
    )
    if not summary.met:
        missed = ", ".join(demand.name for demand in summary.demands if not demand.met)
        raise dg.Failure(f"not shown: {missed}", allow_retries=False)
