"""Promotion and rollback: the only code that changes what serves.

`champion` serves; `previous` is what it replaced. Each attempt is noted in the diary before anything moves, and the
alias `champion` is moved last: `toto_ops.registry.attempts` says what holds when either is interrupted. MLflow has no
compare-and-set on aliases, so one lock per universe lets one change happen at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toto_ops.errors import PromotionError, PromotionRefusedError
from toto_ops.evaluation.judgement.evidence import EVIDENCE_FILE, Evidence, read_evidence
from toto_ops.evaluation.reports.figures import measured_in_brief, required
from toto_ops.learning.onnx_files import open_session
from toto_ops.policies.contract import read_manifest
from toto_ops.registry.attempts import Intent, attempted, changes_in_turn, require_registered, require_signed
from toto_ops.registry.belonging import require_about
from toto_ops.registry.events import RegistryEvent, last_change
from toto_ops.registry.freeze import require_not_frozen
from toto_ops.registry.models import ONNX_FILE, ModelRegistry
from toto_ops.registry.onnx_export import ask_session, random_observation_for
from toto_ops.registry.versions import CHAMPION, FALLBACK, PREVIOUS, RegisteredVersion


@dataclass(frozen=True)
class Promotion:
    """What a promotion did.

    Attributes
    ----------
    outcome
        `unchanged` where it was the champion already, or had passed once more with the champion's very policy.
    champion
        What serves now.
    replaced
        The champion before, now `previous`; None for the first champion.
    """

    outcome: Literal["promoted", "unchanged"]
    champion: RegisteredVersion
    replaced: int | None


@dataclass(frozen=True)
class Rollback:
    """What a rollback did.

    Attributes
    ----------
    withdrawn
        The version that no longer serves.
    incumbent
        What serves now: the champion before, or the fallback where there was none.
    """

    withdrawn: RegisteredVersion
    incumbent: RegisteredVersion


def promote(registry: ModelRegistry, universe: str, version: int, *, by: str, why: str) -> Promotion:
    """Make a judged version of the universe's serving model its champion.

    The evidence attached to the version is read again here, whatever was decided elsewhere: it must be the document
    that was registered, be about this policy, and say that the gates were passed. The model must load and answer.
    Asking for what serves already is no attempt and leaves no entry in the diary. A version that did not pass is refused
    for its own verdict, though its policy may serve as another one.

    Parameters
    ----------
    by, why
        Who asks for it, and the reason; both go into the diary, whatever becomes of the attempt.

    Raises
    ------
    PromotionRefusedError
        If promotions are frozen, or the version failed its gates, was withdrawn, or was judged against something else
        than what serves now.
    PromotionError
        If the evidence is not its own, the model does not answer, or the registry failed. In every case the champion
        is as it was.
    StorageError
        If the version does not exist or its files are not those registered.
    BusyError
        If another change is under way.
    """
    name = registry.serving_name(universe)
    require_signed(by, why, name)
    with changes_in_turn(registry, universe):
        candidate = registry.version(name, version)
        current = registry.aliases(name).get(CHAMPION)
        champion = registry.version(name, current) if current is not None else None
        if champion is not None and _serves_already(candidate, champion):
            return Promotion("unchanged", champion, champion.replaced)
        with attempted(registry, universe, Intent("promotion", version, current, by, why)) as attempt:
            require_not_frozen(attempt.diary)
            _require_fit_to_serve(registry, attempt.diary, candidate, champion)
            attempt.move_champion(version)
        return Promotion("promoted", registry.version(name, version), current)


def rollback(registry: ModelRegistry, universe: str, *, by: str, why: str) -> Rollback:
    """Withdraw the champion and put back what it replaced; the fallback where it replaced none.

    A second rollback goes one further back: it never returns to a version that was withdrawn. A freeze does not stop it.

    Parameters
    ----------
    by, why
        Who asks for it, and the reason; both go into the diary, whatever becomes of the attempt.

    Raises
    ------
    PromotionRefusedError
        If there is no champion, or nothing that could serve instead of it.
    PromotionError
        If what should serve instead does not answer, or the registry failed.
    StorageError
        If the files of the version to put back are not those registered. In every case the champion is as it was.
    BusyError
        If another change is under way.
    """
    name = registry.serving_name(universe)
    require_signed(by, why, name)
    with changes_in_turn(registry, universe):
        aliases = require_registered(registry, universe)
        champion, successor = aliases.get(CHAMPION), aliases.get(PREVIOUS, aliases.get(FALLBACK))
        with attempted(registry, universe, Intent("rollback", successor, champion, by, why)) as attempt:
            withdrawn, incumbent = _succession(registry, name, champion, successor)
            _require_answers(registry.files(incumbent), incumbent)
            attempt.move_champion(successor if PREVIOUS in aliases else None)
        return Rollback(registry.version(name, withdrawn.version), registry.version(name, incumbent.version))


def evidence_of(registry: ModelRegistry, version: RegisteredVersion) -> Evidence:
    """The evidence attached to a version.

    Raises
    ------
    PromotionError
        If it was registered without any.
    StorageError
        If the document is not the one registered, or cannot be read.
    """
    if EVIDENCE_FILE not in version.files:
        raise PromotionError(
            "was registered without evidence",
            where=version.label,
            remedy="choose a version that was judged; the fallback is not, and serves where there is no champion",
        )
    return read_evidence(registry.files(version))


def _succession(
    registry: ModelRegistry, name: str, champion: int | None, successor: int | None
) -> tuple[RegisteredVersion, RegisteredVersion]:
    """The version to withdraw and the one to serve instead."""
    if champion is None:
        raise PromotionRefusedError("there is no champion to roll back", where=name, remedy="see `toto-ops registry list`")
    withdrawn = registry.version(name, champion)
    if successor is None:
        raise PromotionRefusedError(
            f"{withdrawn.label} replaced nothing and there is no fallback: nothing could serve instead",
            where=name,
            remedy="run `toto-ops retrain`, which registers the fallback, then roll back again",
        )
    return withdrawn, registry.version(name, successor)


def _serves_already(candidate: RegisteredVersion, champion: RegisteredVersion) -> bool:
    # The same policy passed once more: replacing it by itself would leave nothing to roll back to.
    same_policy_passed = candidate.inputs_hash == champion.inputs_hash and candidate.gates == "passed"
    return candidate.version == champion.version or same_policy_passed


def _require_fit_to_serve(
    registry: ModelRegistry, diary: Sequence[RegistryEvent], candidate: RegisteredVersion, champion: RegisteredVersion | None
) -> None:
    evidence = evidence_of(registry, candidate)
    folder = registry.files(candidate)
    manifest = read_manifest(folder)
    require_about(evidence, manifest, candidate.retrain_id)
    if not evidence.passed:
        raise _not_passed(evidence, candidate)
    _require_not_withdrawn(registry, candidate)
    _require_judged_since(diary, evidence, candidate, champion)
    _require_answers(folder, candidate)


def _not_passed(evidence: Evidence, candidate: RegisteredVersion) -> PromotionRefusedError:
    failed = "; ".join(f"{row.name} {measured_in_brief(row)} (required {required(row)})" for row in evidence.failures)
    if evidence.verdict == "quarantined":
        return PromotionRefusedError(
            f"is quarantined, since its result is too good to be true: {failed}",
            where=candidate.label,
            remedy="look for leakage of the future into its features, labels or bars; no gate can be waived for it",
        )
    return PromotionRefusedError(f"did not pass its gates: {failed}", where=candidate.label, remedy="see its evaluation report")


def _require_not_withdrawn(registry: ModelRegistry, candidate: RegisteredVersion) -> None:
    """A policy that was withdrawn stays so under whatever version new evidence registers it as."""
    for version in registry.versions(candidate.name):
        if version.rolled_back_at is not None and version.inputs_hash == candidate.inputs_hash:
            same = "" if version.version == candidate.version else f" as version {version.version}"
            raise PromotionRefusedError(
                f"was rolled back on {version.rolled_back_at:%Y-%m-%d %H:%M} UTC{same}",
                where=candidate.label,
                remedy="retrain on newer bars or another configuration; a model that was withdrawn does not come back by itself",
            )


def _require_judged_since(
    diary: Sequence[RegistryEvent], evidence: Evidence, candidate: RegisteredVersion, champion: RegisteredVersion | None
) -> None:
    """Succession must have been judged against what serves now, not against what served once."""
    change = last_change(diary)
    if change is not None and change.at > candidate.created_at:
        raise PromotionRefusedError(
            f"was judged before version {change.version} came to serve by {change.kind} on {change.at:%Y-%m-%d %H:%M} UTC",
            where=candidate.label,
            remedy="retrain, so that it is compared with what serves now",
        )
    if champion is not None and evidence.comparison is None:
        raise PromotionRefusedError(
            f"was not compared with the champion, {champion.label}",
            where=candidate.label,
            remedy="evaluate it against the champion",
        )
    compared = evidence.comparison.inputs_hash if evidence.comparison else None
    if champion is not None and compared not in (None, champion.inputs_hash):
        raise PromotionRefusedError(
            f"was compared with another champion than {champion.label}, which serves now",
            where=candidate.label,
            remedy="retrain, so that it is compared with what serves now",
        )


def _require_answers(folder: Path, version: RegisteredVersion) -> None:
    """Load the model as serving does, and ask it once."""
    import numpy as np

    session = open_session(folder / ONNX_FILE)
    answer = ask_session(session, random_observation_for(session, accounts=1, symbols=2, seed=0))
    if not all(np.isfinite(part).all() for part in (answer.weight, answer.strength, answer.probabilities)):
        raise PromotionError("does not give finite answers", where=version.label, remedy="retrain")
