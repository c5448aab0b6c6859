"""Whether evidence is about the policy it is attached to: a verdict must never be lent to another model."""

from __future__ import annotations

from toto_ops.errors import PromotionError
from toto_ops.evaluation.evidence import Evidence
from toto_ops.policies.contract import PolicyManifest


def require_about(evidence: Evidence, manifest: PolicyManifest, retrain_id: str) -> None:
    """Insist that the evidence was found on this very policy, in this retraining, on the bars it was trained with.

    Raises
    ------
    PromotionError
        Naming everything that differs.
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
