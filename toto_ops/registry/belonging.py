"""Whether evidence is about the policy it is attached to: a verdict must never be lent to another model."""

from __future__ import annotations

from toto_ops.errors import PromotionError
from toto_ops.evaluation.evidence import Evidence
from toto_ops.policies.contract import PolicyManifest


def require_about(evidence: Evidence, manifest: PolicyManifest, retrain_id: str) -> None:
    """Insist that the evidence was found on this very policy, in this retraining, of its own data and on bars it did not know.

    Raises
    ------
    PromotionError
        Naming everything that differs, or what the policy knows and where the evidence begins.
    """
    pairs = {
        "universe": (evidence.universe, manifest.universe),
        "line": (evidence.line, manifest.line),
        "inputs_hash": (evidence.inputs_hash, manifest.inputs_hash),
        "data_hash": (evidence.data_hash, manifest.data_hash),
        "retrain_id": (evidence.retrain_id, retrain_id),
        "knows_until": (evidence.knows_until, manifest.knows_until),
    }
    differences = [
        f"{name} is {said} in the evidence and {is_} in the model" for name, (said, is_) in pairs.items() if said != is_
    ]
    if differences:
        raise PromotionError(
            f"the evidence is about another model: {'; '.join(differences)}",
            where=f"{manifest.universe} {manifest.line}",
            remedy="evaluate this model and register it with its own evidence",
        )
    begins = max(evidence.splits.test.after, evidence.challenger.curve.open_time[0])
    if manifest.knows_until is not None and manifest.knows_until > begins:
        raise PromotionError(
            f"knows bars up to {manifest.knows_until:%Y-%m-%d %H:%M}, and its evidence begins at {begins:%Y-%m-%d %H:%M}: "
            "it was judged on bars that made it",
            where=f"{manifest.universe} {manifest.line}",
            remedy="judge it on later bars and register it with that evidence",
        )
