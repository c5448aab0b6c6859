"""Whether evidence is about the policy it is attached to: a verdict must never be lent to another model.

The judge looks at bars and refuses whoever knows one of them; this looks at documents, years later and wherever they come
from, and asks the same question by the same rule: nobody may know the close of the first bar.
"""

from __future__ import annotations

from datetime import datetime

from toto_ops.errors import PromotionError, PromotionRefusedError
from toto_ops.evaluation.judgement.evidence import Evidence
from toto_ops.policies.contract import PolicyManifest


def require_about(evidence: Evidence, manifest: PolicyManifest, retrain_id: str) -> None:
    """Insist that the evidence was found on this very policy, in this retraining, of its own data and on bars it did not know.

    Raises
    ------
    PromotionRefusedError
        If a judge of an earlier release found it, who asked less.
    PromotionError
        Naming everything that differs, or what the policy knows and where the evidence begins.
    """
    place = f"{manifest.universe} {manifest.line}"
    first_close = _first_close(evidence, place)
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
            where=place,
            remedy="evaluate this model and register it with its own evidence",
        )
    if manifest.knows(first_close):
        raise PromotionError(
            f"knows bars up to {manifest.knows_until:%Y-%m-%d %H:%M}, and its evidence begins with the bar that closes "
            f"{first_close:%Y-%m-%d %H:%M}: it was judged on bars that made it",
            where=place,
            remedy="judge it on later bars and register it with that evidence",
        )


def _first_close(evidence: Evidence, place: str) -> datetime:
    """Close of the first bar judged on, of evidence that answers everything that is asked today."""
    if not evidence.complete or evidence.first_close is None:
        raise PromotionRefusedError(
            "was judged by an earlier release, which asked less: it raised no alarm at what is too good to be true, did not "
            "weigh what may be luck, or does not say which bar it begins with",
            where=place,
            remedy=f"run `toto-ops retrain {evidence.universe}`, and promote the version that it registers",
        )
    return evidence.first_close
