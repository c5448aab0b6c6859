"""Promotion and rollback: the only code that changes what serves.

`champion` serves; `previous` is what it replaced. The alias `champion` is moved last, and what was noted before it is
undone if that fails: the incumbent is then as it was. MLflow has no compare-and-set on aliases, so one lock per
universe makes both operations serial.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from toto_ops.errors import PromotionError, PromotionRefusedError
from toto_ops.evaluation.evidence import EVIDENCE_FILE, Evidence, read_evidence
from toto_ops.policies.contract import PolicyManifest
from toto_ops.registry.belonging import require_about
from toto_ops.registry.events import RegistryEvent, events, record_event
from toto_ops.registry.models import ONNX_FILE, ModelRegistry
from toto_ops.registry.onnx_export import open_session, random_observation, run_session
from toto_ops.registry.versions import (
    CHAMPION,
    FALLBACK,
    PREVIOUS,
    PROMOTED_AT_TAG,
    REPLACED_TAG,
    ROLLED_BACK_AT_TAG,
    RegisteredVersion,
)


@dataclass(frozen=True)
class Promotion:
    """What a promotion did.

    Attributes
    ----------
    outcome
        `unchanged` where the version was the champion already.
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


def promote(registry: ModelRegistry, universe: str, version: int) -> Promotion:
    """Make a judged version of the universe's serving model its champion.

    The evidence attached to the version is read again here, whatever was decided elsewhere: it must be the document
    that was registered, be about this policy, and say that the gates were passed. The model must load and answer.

    Raises
    ------
    PromotionRefusedError
        If the version failed its gates, was withdrawn, or was judged against something else than what serves now.
    PromotionError
        If the evidence is not its own, or the model does not answer. In every case the champion is as it was.
    StorageError
        If the version does not exist or its files are not those registered.
    """
    name = registry.serving_name(universe)
    with registry.tracking.lock(f"promotion-{universe}"):
        candidate = registry.version(name, version)
        current = registry.aliases(name).get(CHAMPION)
        if current == version:
            return Promotion("unchanged", candidate, candidate.replaced)
        champion = registry.version(name, current) if current is not None else None
        _require_fit_to_serve(registry, candidate, champion)
        moment = datetime.now(UTC)
        event = RegistryEvent(
            number=len(events(registry, universe)) + 1,
            universe=universe,
            at=moment,
            kind="promotion",
            version=version,
            instead_of=current,
            by="unknown",
            why="not recorded",
            outcome="done",
        )
        with ExitStack() as undo:
            _tag(registry, undo, candidate, {PROMOTED_AT_TAG: moment.isoformat(), REPLACED_TAG: str(current or "")})
            _note(registry, undo, event)
            _point(registry, undo, name, PREVIOUS, current)
            registry.tracking.client.set_registered_model_alias(name, CHAMPION, str(version))
            undo.pop_all()
        return Promotion("promoted", registry.version(name, version), current)


def rollback(registry: ModelRegistry, universe: str) -> Rollback:
    """Withdraw the champion and put back what it replaced; the fallback where it replaced none.

    A second rollback goes one further back: it never returns to a version that was withdrawn.

    Raises
    ------
    PromotionError
        If there is no champion, or nothing that could serve instead of it.
    StorageError
        If the files of the version to put back are not those registered. The champion is as it was.
    """
    name = registry.serving_name(universe)
    with registry.tracking.lock(f"promotion-{universe}"):
        aliases = registry.aliases(name)
        if CHAMPION not in aliases:
            raise PromotionError("there is no champion to roll back", where=name, remedy="see `toto-ops registry list`")
        withdrawn = registry.version(name, aliases[CHAMPION])
        successor = aliases.get(PREVIOUS, aliases.get(FALLBACK))
        if successor is None:
            raise PromotionError(
                f"{withdrawn.label} replaced nothing and there is no fallback: nothing could serve instead",
                where=name,
                remedy="run `toto-ops retrain`, which registers the fallback, then roll back again",
            )
        incumbent = registry.version(name, successor)
        _require_answers(registry.files(incumbent), incumbent)
        moment = datetime.now(UTC)
        event = RegistryEvent(
            number=len(events(registry, universe)) + 1,
            universe=universe,
            at=moment,
            kind="rollback",
            version=successor,
            instead_of=withdrawn.version,
            by="unknown",
            why="not recorded",
            outcome="done",
        )
        with ExitStack() as undo:
            _tag(registry, undo, withdrawn, {ROLLED_BACK_AT_TAG: moment.isoformat()})
            _note(registry, undo, event)
            _point(registry, undo, name, PREVIOUS, incumbent.replaced if PREVIOUS in aliases else None)
            if PREVIOUS in aliases:
                registry.tracking.client.set_registered_model_alias(name, CHAMPION, str(successor))
            else:
                registry.tracking.client.delete_registered_model_alias(name, CHAMPION)
            undo.pop_all()
        return Rollback(registry.version(name, withdrawn.version), registry.version(name, successor))


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
            "was registered without evidence", where=version.label, remedy="evaluate it and register it with its evidence"
        )
    return read_evidence(registry.files(version))


def _require_fit_to_serve(registry: ModelRegistry, candidate: RegisteredVersion, champion: RegisteredVersion | None) -> None:
    _require_not_withdrawn(registry, candidate)
    evidence = evidence_of(registry, candidate)
    folder = registry.files(candidate)
    manifest = PolicyManifest.model_validate_json((folder / "policy.json").read_text())
    require_about(evidence, manifest, candidate.retrain_id)
    if not evidence.passed:
        failed = "; ".join(f"{row.name} {row.measured} (required {row.relation} {row.required})" for row in evidence.failures)
        raise PromotionRefusedError(
            f"did not pass its gates: {failed}", where=candidate.label, remedy="see its evaluation report"
        )
    _require_judged_since(registry, evidence, candidate, champion)
    _require_answers(folder, candidate)


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
    registry: ModelRegistry, evidence: Evidence, candidate: RegisteredVersion, champion: RegisteredVersion | None
) -> None:
    """Succession must have been judged against what serves now, not against what served once."""
    diary = events(registry, candidate.universe)
    if diary and diary[-1].at > candidate.created_at:
        raise PromotionRefusedError(
            f"was judged before version {diary[-1].version} was {diary[-1].kind} on {diary[-1].at:%Y-%m-%d %H:%M} UTC",
            where=candidate.label,
            remedy="retrain, so that it is compared with what serves now",
        )
    if champion is not None and evidence.comparison is None and champion.inputs_hash != candidate.inputs_hash:
        raise PromotionRefusedError(
            f"was not compared with the champion, {champion.label}",
            where=candidate.label,
            remedy="evaluate it against the champion",
        )


def _require_answers(folder: Path, version: RegisteredVersion) -> None:
    """Load the model as serving does, and ask it once."""
    import numpy as np

    observation = random_observation(accounts=1, symbols=2, seed=0)
    market, account, mask = (tensor.numpy() for tensor in observation)
    answer = run_session(open_session(folder / ONNX_FILE), market, account, mask)
    if not all(np.isfinite(part).all() for part in (answer.weight, answer.strength, answer.probabilities)):
        raise PromotionError("does not give finite answers", where=version.label, remedy="retrain")


def _tag(registry: ModelRegistry, undo: ExitStack, version: RegisteredVersion, tags: Mapping[str, str]) -> None:
    client, place = registry.tracking.client, (version.name, str(version.version))
    before = client.get_model_version(*place).tags
    for tag, value in tags.items():
        client.set_model_version_tag(*place, tag, value)
        if tag in before:
            undo.callback(client.set_model_version_tag, *place, tag, before[tag])
        else:
            undo.callback(client.delete_model_version_tag, *place, tag)


def _note(registry: ModelRegistry, undo: ExitStack, event: RegistryEvent) -> None:
    tag = record_event(registry, event)
    undo.callback(registry.tracking.client.delete_registered_model_tag, registry.serving_name(event.universe), tag)


def _point(registry: ModelRegistry, undo: ExitStack, name: str, alias: str, version: int | None) -> None:
    before = registry.aliases(name).get(alias)
    _set_alias(registry, name, alias, version)
    undo.callback(_set_alias, registry, name, alias, before)


def _set_alias(registry: ModelRegistry, name: str, alias: str, version: int | None) -> None:
    client = registry.tracking.client
    if version is not None:
        client.set_registered_model_alias(name, alias, str(version))
    elif alias in registry.aliases(name):
        client.delete_registered_model_alias(name, alias)
