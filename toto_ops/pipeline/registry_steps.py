"""Register the challenger and the fallback, promote what passed, and settle the retraining."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from toto_ops.configuration import VersionedModel
from toto_ops.errors import PromotionError, PromotionRefusedError
from toto_ops.evaluation.reports.figures import measured_in_brief, required
from toto_ops.pipeline.evaluation_steps import evidence_of, fallback_candidate
from toto_ops.pipeline.feature_steps import health_of, panel_of
from toto_ops.pipeline.lineage import publish_lineage
from toto_ops.pipeline.market_steps import snapshot_of
from toto_ops.pipeline.outcome import CriterionOutcome, RetrainingOutcome, SymbolOutcome, TrainedOutcome, write_outcome
from toto_ops.pipeline.project import Project
from toto_ops.pipeline.provenance import provenance
from toto_ops.pipeline.retraining_decision import remember, require_newest
from toto_ops.pipeline.spans import splits_of
from toto_ops.pipeline.stored_policies import read_policy
from toto_ops.registry.history import incumbent
from toto_ops.storage.refusals import PLACES, named_refusals
from toto_ops.storage.retraining import Retraining
from toto_ops.training.lines import LINES
from toto_ops.universes import Universe

if TYPE_CHECKING:
    from toto_ops.evaluation.judgement.evidence import Evidence
    from toto_ops.features.panel import Panel
    from toto_ops.policies.contract import Policy
    from toto_ops.registry.versions import RegisteredVersion
    from toto_ops.simulation.observation import Observation
    from toto_ops.simulation.rules import TradingRules

CHALLENGER_DOCUMENT = "challenger.json"

PARITY_ROWS = 64
"""Rows of real market features the ONNX model is compared with torch on, spread over the panel."""


class OfferedChallenger(VersionedModel):
    """Which registered version is the challenger of a retraining."""

    name: str
    version: int


@dataclass(frozen=True)
class Registered:
    """The two versions every retraining leaves in the registry."""

    challenger: RegisteredVersion
    fallback: RegisteredVersion


@dataclass(frozen=True)
class Decision:
    """Whether a retraining changed what serves, and why or why not in words."""

    words: str
    promoted: bool = False


@named_refusals(PLACES)
def register_challenger(project: Project, retraining: Retraining, universe: Universe) -> Registered:
    """Register the judged challenger with its evidence, and the fallback; what serves does not change.

    Raises
    ------
    PromotionError
        If an ONNX model does not decide as its policy does, or a later retraining was settled already.
    """
    from toto_ops.pipeline.observed_market import panel_shown_to
    from toto_ops.registry.models import Submission
    from toto_ops.simulation.rules import TradingRules

    require_newest(project, retraining, universe)
    evidence, report = evidence_of(retraining)
    panel, _ = panel_of(retraining)
    policy, manifest = read_policy(retraining.store.local_folder(retraining.ref(f"{evidence.line}_policy")))
    rules = TradingRules.of(universe, panel.parts)
    shown = panel_shown_to([(policy, manifest)], panel, retraining)
    tags = {**provenance(retraining), "toto.report": report.as_uri()}
    challenger = project.registry.offer_challenger(
        Submission(policy, manifest, evidence.retrain_id, _real_observations(shown, rules, policy), evidence, tags)
    )
    ensemble = fallback_candidate(project, retraining, universe, panel, splits_of(project, retraining, universe))
    fallback = project.registry.register_fallback(
        Submission(
            ensemble.policy,
            ensemble.manifest,
            retraining.retrain_id,
            _real_observations(panel, rules, ensemble.policy),
            None,
            provenance(retraining),
        )
    )
    offered = OfferedChallenger(name=challenger.name, version=challenger.version)
    retraining.store.write_model(retraining.document(CHALLENGER_DOCUMENT), offered)
    return Registered(challenger, fallback)


@named_refusals(PLACES)
def settle_champion(project: Project, retraining: Retraining, universe: Universe, *, reason: str) -> RetrainingOutcome:
    """Promote the challenger if its evidence says so, and close the retraining.

    A refused challenger is a success of the system: the incumbent stays and the reasons are written down. Only now do
    the `latest` pointers move and is the retraining remembered as done.

    Parameters
    ----------
    reason
        Why this retraining was launched; it goes into the diary with a promotion.
    """
    from toto_ops.registry.attempts import settle_interrupted

    require_newest(project, retraining, universe)
    evidence, _ = evidence_of(retraining)
    offered = retraining.store.read_model(retraining.document(CHALLENGER_DOCUMENT), OfferedChallenger)
    if offered is None:
        raise PromotionError(
            "no challenger was registered", where=universe.name, remedy="materialise `challenger` in the same run first"
        )
    settle_interrupted(project.registry, universe.name)
    decision = _decided(project, retraining, universe, offered.version, reason) if evidence.passed else _refusal(evidence)
    outcome = _outcome(project, retraining, universe, evidence, decision)
    for ref in retraining.refs():
        retraining.store.set_latest(ref)
    write_outcome(retraining, outcome)
    # Before the retraining counts as done: whoever is killed in between is done again, and what serves gets its page.
    publish_lineage(project, universe)
    remember(project, retraining, universe, outcome.completed_at)
    return outcome


def _decided(project: Project, retraining: Retraining, universe: Universe, version: int, reason: str) -> Decision:
    """Promote a version that passed its gates, or leave that to a person where the universe says so."""
    from toto_ops.registry.promotion import promote

    if universe.promotion == "manual":
        return _left_to_a_person(project, universe, version)
    by = f"retraining {retraining.retrain_id}"
    try:
        promotion = promote(
            project.registry, universe.name, version, by=by, why=f"passed every gate; retrained because: {reason}"
        )
    except PromotionRefusedError as refusal:  # a verdict like any other: the retraining itself has succeeded
        return Decision(f"the challenger passed its gates but {refusal.problem}; {refusal.remedy}")
    passed = f"version {promotion.champion.version} passed every gate"
    if promotion.outcome == "unchanged" and not _promoted_by(project, universe, version, by):
        return Decision(f"{passed} and serves already")
    words = f"{passed}, replacing version {promotion.replaced}" if promotion.replaced else passed
    return Decision(words, promoted=True)


def _left_to_a_person(project: Project, universe: Universe, version: int) -> Decision:
    serving = incumbent(project.registry, universe.name)
    if serving is not None and serving.version == version:
        return Decision(f"version {version} passed every gate and serves already")
    command = f"toto-ops registry promote {universe.name} --version {version} --why …"
    return Decision(f"version {version} passed every gate and waits for approval: {command}")


def _promoted_by(project: Project, universe: Universe, version: int, by: str) -> bool:
    """Whether this retraining promoted it already, and was interrupted before it could say so."""
    from toto_ops.registry.events import events, last_change

    change = last_change(events(project.registry, universe.name))
    return change is not None and (change.kind, change.version, change.by) == ("promotion", version, by)


def _refusal(evidence: Evidence) -> Decision:
    failed = "; ".join(f"{row.name} is {measured_in_brief(row)}, required {required(row)}" for row in evidence.failures)
    if evidence.verdict == "quarantined":
        return Decision(f"the challenger is quarantined, too good to be true: look for leakage of the future ({failed})")
    return Decision(f"the challenger did not pass: {failed}")


def _outcome(
    project: Project, retraining: Retraining, universe: Universe, evidence: Evidence, decision: Decision
) -> RetrainingOutcome:
    store = retraining.store
    serving = incumbent(project.registry, universe.name)
    _, report = evidence_of(retraining)
    return RetrainingOutcome(
        universe=universe.name,
        retrain_id=retraining.retrain_id,
        as_of=retraining.as_of,
        completed_at=datetime.now(UTC),
        symbols=_symbols(project, retraining, universe),
        trained=_trained(retraining),
        challenger=f"{evidence.line} (seed chosen on validation)",
        criteria=tuple(CriterionOutcome.of(row) for row in evidence.criteria),
        verdict=evidence.verdict,
        promoted=decision.promoted,
        decision=decision.words,
        incumbent=f"{serving.model} version {serving.version} ({serving.line})" if serving else "nothing",
        report=str(report),
        data_docs=str(store.local_folder(retraining.ref("data_docs")) / "index.html"),
    )


def _symbols(project: Project, retraining: Retraining, universe: Universe) -> tuple[SymbolOutcome, ...]:
    return tuple(
        SymbolOutcome(
            symbol=entry.symbol,
            status=entry.status,
            bars=entry.rows,
            last_close=f"{entry.last_close:%Y-%m-%d}" if entry.last_close else "-",
            data_health=round(health_of(retraining, entry.symbol), 3) if entry.status == "included" else None,
            remarks=entry.reasons or entry.warnings,
        )
        for entry in snapshot_of(project, retraining, universe).entries
    )


def _trained(retraining: Retraining) -> tuple[TrainedOutcome, ...]:
    rows = []
    for line in LINES:
        _, manifest = read_policy(retraining.store.local_folder(retraining.ref(f"{line.name}_policy")))
        rows.append(
            TrainedOutcome(
                line=line.name,
                seed=manifest.seed,
                validation_accuracy=manifest.metrics.get("validation_accuracy"),
                train_accuracy=manifest.metrics.get("train_accuracy"),
                knows_until=f"{manifest.knows_until:%Y-%m-%d}" if manifest.knows_until else "-",
            )
        )
    return tuple(rows)


def _real_observations(panel: Panel, rules: TradingRules, policy: Policy) -> tuple[Observation, ...]:
    """What a policy sees of rows spread over the panel, in the fields it takes; its accounts are drawn at random."""
    import numpy as np
    import torch

    from toto_ops.registry.onnx_export import random_observation
    from toto_ops.simulation.market_tensors import MarketTensors
    from toto_ops.simulation.observation_schema import OF_THE_ACCOUNT
    from toto_ops.simulation.observe import observe
    from toto_ops.simulation.portfolio import initial_state

    rows = torch.from_numpy(np.unique(np.linspace(0, panel.rows - 1, PARITY_ROWS).astype(np.int64)))
    accounts, symbols = len(rows), len(panel.symbols)
    flat = initial_state(accounts, symbols, dtype=torch.float32)
    seen = observe(MarketTensors.of(panel, torch.float32), rows, flat, rules, policy.inputs)
    drawn = random_observation(accounts=accounts, symbols=symbols, seed=0, fields=policy.inputs).tensors()
    return (seen._replace(**{name: drawn[name] for name in OF_THE_ACCOUNT if name in drawn}),)
