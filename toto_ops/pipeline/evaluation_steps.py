"""Choose the challenger on validation, open the test span once for it, write evidence and report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from toto_ops.evaluation.judgement.evidence import Evidence, read_evidence, write_evidence
from toto_ops.evaluation.reports.judgement_page import REPORT_FILE
from toto_ops.market.calendars import periods_per_year
from toto_ops.pipeline.feature_steps import panel_of
from toto_ops.pipeline.forecast_evaluation_steps import evaluate_forecasts_on, forecast_evaluations_of, forecasts_hash
from toto_ops.pipeline.forecasting_steps import FORECASTER
from toto_ops.pipeline.looks import looks_at
from toto_ops.pipeline.market_steps import snapshot_of
from toto_ops.pipeline.observed_market import panel_shown_to
from toto_ops.pipeline.offline_steps import money_settings
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.spans import splits_of
from toto_ops.pipeline.stored_policies import read_policy
from toto_ops.pipeline.versions import DECISIONS_VERSION, EVALUATION_VERSION
from toto_ops.storage.hashing import value_hash
from toto_ops.storage.retraining import Retraining
from toto_ops.training.lines import LINES
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.evaluation.forecasts.documents import ForecastEvaluation
    from toto_ops.evaluation.judgement.candidates import Candidate
    from toto_ops.features.panel import Panel
    from toto_ops.learning.splits import Splits
    from toto_ops.policies.contract import PolicyManifest
    from toto_ops.training.ledger import TrialLedger

FALLBACK_LINE = "fallback"


@dataclass(frozen=True)
class Judged:
    """The judgement of one retraining."""

    evidence: Evidence
    report: Path
    text_report: Path
    plots: dict[str, bytes]
    """PNG by title."""
    reused: bool


@dataclass(frozen=True)
class Bars:
    """What is judged on."""

    panel: Panel
    splits: Splits


@dataclass(frozen=True)
class Contestants:
    """Who stands in one judgement."""

    challenger: Candidate
    ineligible: tuple[Candidate, ...]
    champion: Candidate | None


def evaluate(project: Project, retraining: Retraining, universe: Universe) -> Judged:
    """Judge this retraining's candidates, or reuse the judgement of the very same policies on the very same bars.

    The opening of the test span is written to the ledger before the span is looked at.
    """
    from toto_ops.evaluation.judgement.candidates import choose_challenger
    from toto_ops.evaluation.reports.judgement_page import plot_evidence, write_report
    from toto_ops.evaluation.reports.judgement_text import TEXT_REPORT_FILE, write_text_report

    panel, panel_ref = panel_of(retraining)
    candidates = tuple(_candidate(retraining, line.name) for line in LINES)
    splits = splits_of(project, retraining, universe)
    panel = panel_shown_to([(one.policy, one.manifest) for one in candidates], panel, retraining)
    challenger = choose_challenger(candidates, panel, universe, splits)
    champion = champion_candidate(project, universe, challenger)
    inputs = value_hash(
        {
            "data": snapshot_of(project, retraining, universe).data_hash,
            "panel": panel_ref.content_hash,
            "candidates": [candidate.manifest.inputs_hash for candidate in candidates],
            "champion": champion.manifest.inputs_hash if champion else None,
            "strategy": project.strategy,
            "gates": project.gates(universe),
            "splits": splits,
            "money": money_settings(universe),
            "universe": [periods_per_year(universe), universe.adjustment],
            "forecasts": forecasts_hash(project, retraining, universe) if retraining.has(FORECASTER) else None,
            "version": EVALUATION_VERSION,
        }
    )

    def write(folder: Path) -> None:
        others = tuple(candidate for candidate in candidates if candidate is not challenger)
        contestants = Contestants(challenger, others, champion)
        evidence = _judge(project, retraining, universe, Bars(panel, splits), contestants)
        # After the judgement, which has written down that the test span is opened.
        evidence = evidence.model_copy(update={"forecasts": _forecasts(project, retraining, universe, splits)})
        write_evidence(evidence, folder)
        write_report(evidence, folder)
        write_text_report(evidence, folder)

    ref, reused = retraining.store.get_or_make(retraining.key("evaluation_report"), inputs, write)
    retraining.record(ref)
    folder = retraining.store.local_folder(ref)
    evidence = read_evidence(folder)
    return Judged(evidence, folder / REPORT_FILE, folder / TEXT_REPORT_FILE, plot_evidence(evidence), reused)


def _forecasts(project: Project, retraining: Retraining, universe: Universe, splits: Splits) -> tuple[ForecastEvaluation, ...]:
    """How good the forecasts were before the test span and on it; none where the retraining made no forecaster."""
    if not retraining.has(FORECASTER):
        return ()
    policies, validation = forecast_evaluations_of(retraining)
    test = evaluate_forecasts_on(project, retraining, universe, "test", splits.test)
    # Symbol by symbol only where policies are chosen and judged: evidence goes along with every registered version.
    return policies.pooled_only(), validation, test


def evidence_of(retraining: Retraining) -> tuple[Evidence, Path]:
    """The evidence this retraining rests on, and its report."""
    folder = retraining.store.local_folder(retraining.ref("evaluation_report"))
    return read_evidence(folder), folder / REPORT_FILE


def fallback_candidate(project: Project, retraining: Retraining, universe: Universe, panel: Panel, splits: Splits) -> Candidate:
    """The analysts' ensemble as a policy. It knows what those knew who chose its numbers, and its manifest says so."""
    from toto_ops.analysts.ensemble import EnsemblePolicy
    from toto_ops.evaluation.judgement.candidates import Candidate
    from toto_ops.policies.contract import PolicyManifest
    from toto_ops.simulation.rules import TradingRules

    policy = EnsemblePolicy.of(project.strategy, TradingRules.of(universe)).eval()
    knows_until = max(splits.train.until, project.strategy.chosen_until)
    manifest = PolicyManifest(
        kind=EnsemblePolicy.kind,
        line=FALLBACK_LINE,
        universe=universe.name,
        symbols=panel.symbols,
        architecture=policy.architecture,
        config=project.strategy.model_dump(mode="json"),
        inputs_hash=value_hash(
            {
                "strategy": project.strategy,
                "money": money_settings(universe),
                "knows_until": knows_until.isoformat(),
                "version": DECISIONS_VERSION,
            }
        ),
        data_hash=snapshot_of(project, retraining, universe).data_hash,
        code_version=DECISIONS_VERSION,
        knows_until=knows_until,
    )
    return Candidate(policy, manifest)


def champion_candidate(project: Project, universe: Universe, challenger: Candidate) -> Candidate | None:
    """The present champion as a contestant; None before the first, and where it is the challenger itself."""
    from toto_ops.evaluation.judgement.candidates import Candidate
    from toto_ops.registry.promotion import evidence_of as registered_evidence
    from toto_ops.registry.versions import CHAMPION
    from toto_ops.training.lines import line

    registry = project.registry
    name = registry.serving_name(universe.name)
    number = registry.aliases(name).get(CHAMPION)
    if number is None:
        return None
    version = registry.version(name, number)
    if version.inputs_hash == challenger.manifest.inputs_hash:
        return None
    policy, manifest = read_policy(registry.files(version))
    selected_until = registered_evidence(registry, version).splits.test.until
    return Candidate(policy, manifest, line(manifest.line).accuracy, selected_until)


def _candidate(retraining: Retraining, line_name: str) -> Candidate:
    from toto_ops.evaluation.judgement.candidates import Candidate
    from toto_ops.training.lines import line

    policy, manifest = read_policy(retraining.store.local_folder(retraining.ref(f"{line_name}_policy")))
    return Candidate(policy, manifest, line(line_name).accuracy)


def _judge(project: Project, retraining: Retraining, universe: Universe, bars: Bars, contestants: Contestants) -> Evidence:
    from toto_ops.evaluation.judgement.judge import Circumstances, judge
    from toto_ops.training.ledger import TrialLedger

    panel, splits = bars.panel, bars.splits
    ledger = TrialLedger(retraining.store, universe.name)
    _log_opening(ledger, retraining, contestants.challenger.manifest, splits)
    circumstances = Circumstances(
        retrain_id=retraining.retrain_id,
        as_of=retraining.as_of,
        data_hash=snapshot_of(project, retraining, universe).data_hash,
        openings=len(looks_at(project, universe, splits.test)),
        trials=tuple(ledger.trials()),
    )
    return judge(
        panel,
        universe,
        splits,
        project.gates(universe),
        circumstances,
        challenger=contestants.challenger,
        fallback=fallback_candidate(project, retraining, universe, panel, splits),
        champion=contestants.champion,
        ineligible=contestants.ineligible,
    )


def _log_opening(ledger: TrialLedger, retraining: Retraining, manifest: PolicyManifest, splits: Splits) -> None:
    from toto_ops.training.ledger import Opening

    ledger.open_test(
        Opening(
            universe=manifest.universe,
            line=manifest.line,
            policy=manifest.inputs_hash,
            span=splits.test,
            opened_by=retraining.retrain_id,
            opened_at=datetime.now(UTC),
        )
    )
