"""Group `evaluation`: the one judgement, its report, and the gates as an asset check."""

from collections.abc import Iterator

import dagster as dg

from assets.metadata import picture, table
from assets.partitions import asset_key
from assets.resources import TotoOps
from toto_ops.evaluation.statistics.significance import Significance
from toto_ops.training.lines import LINES
from toto_ops.universes import Universe

GROUP = "evaluation"


def evaluation_assets(universe: Universe) -> list[dg.AssetsDefinition]:
    """The evaluation report of one universe."""
    key = asset_key(universe, "evaluation_report")

    @dg.asset(
        key=key,
        deps=[
            asset_key(universe, "panel"),
            asset_key(universe, "forecast_evaluation"),
            *(asset_key(universe, f"{line.name}_policy") for line in LINES),
        ],
        group_name=GROUP,
        kinds={"torch", "html"},
        owners=["team:toto-ops"],
        description="The challenger, chosen on validation, judged on the test span beside the fallback and the benchmarks.",
        check_specs=[
            dg.AssetCheckSpec("gates", asset=key, description="Every gate a challenger must pass before it may be promoted")
        ],
    )
    def evaluation_report(context: dg.AssetExecutionContext, toto: TotoOps) -> Iterator[dg.MaterializeResult[None]]:
        from toto_ops.evaluation.reports.judgement_page import performance_markdown
        from toto_ops.evaluation.reports.statements import verdict_statement
        from toto_ops.pipeline.evaluation_steps import evaluate
        from toto_ops.pipeline.outcome import CriterionOutcome

        judged = evaluate(toto.project(), toto.retraining(context, universe), universe)
        evidence = judged.evidence
        gates = table([CriterionOutcome.of(gate).model_dump() for gate in evidence.criteria])
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                "namespace": toto.namespace,
                "verdict": evidence.verdict,
                "challenger": evidence.line,
                "report": dg.MetadataValue.path(str(judged.report)),
                "text_report": dg.MetadataValue.path(str(judged.text_report)),
                "gates": gates,
                "contestants": dg.MetadataValue.md(performance_markdown(evidence)),
                "minimum_detectable_sharpe": evidence.minimum_detectable_sharpe,
                **_luck(evidence.significance),
                "openings_of_this_test_span": evidence.openings,
                "trials_in_the_ledger": evidence.trials,
                "reused": judged.reused,
                **{title: picture(png, title) for title, png in judged.plots.items()},
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name="gates",
                    passed=evidence.passed,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=verdict_statement(evidence),
                    metadata={"verdict": evidence.verdict, "gates": gates},
                )
            ],
        )

    return [evaluation_report]


def _luck(significance: Significance | None) -> dict[str, dg.MetadataValue]:
    if significance is None:
        return {}
    return {
        "deflated_sharpe": dg.FloatMetadataValue(significance.deflated_sharpe),
        "effective_trials": dg.IntMetadataValue(significance.effective_trials),
    }
