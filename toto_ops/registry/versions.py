"""What the registry knows of one model version, as a typed value, and the tags it is stored in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from toto_ops.errors import StorageError
from toto_ops.registry.tracking import INPUTS_HASH_TAG, LINE_TAG, RETRAIN_ID_TAG

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHALLENGER = "challenger"
CHAMPION = "champion"
PREVIOUS = "previous"
FALLBACK = "fallback"

Gates = Literal["passed", "failed", "quarantined", "not judged"]
"""`quarantined`: too good to be true, whatever the single gates said."""

UNIVERSE_TAG = "toto.universe"
DATA_HASH_TAG = "toto.data_hash"
CODE_VERSION_TAG = "toto.code_version"
KNOWS_UNTIL_TAG = "toto.knows_until"
EVIDENCE_HASH_TAG = "toto.evidence_hash"
GATES_TAG = "toto.gates"
FILES_TAG = "toto.files"
PARITY_TAG = "toto.onnx_max_abs_difference"
PROMOTED_AT_TAG = "toto.promoted_at"
REPLACED_TAG = "toto.replaced"
ROLLED_BACK_AT_TAG = "toto.rolled_back_at"

NOT_JUDGED_HASH = "none"
"""Evidence hash of a version that has no evidence: the fallback, which needs none to serve."""


def serving_version(aliases: Mapping[str, int]) -> int | None:
    """Number of the version that serves, by the aliases of its model: the champion, else the fallback."""
    return aliases.get(CHAMPION, aliases.get(FALLBACK))


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a registered model.

    Attributes
    ----------
    name, version
        As MLflow has them.
    line
        Line of models; `fallback` for the analysts' ensemble.
    aliases
        Which of `challenger`, `champion`, `previous`, `fallback` point here.
    evidence_hash
        Identity of the evidence attached; `none` without any.
    files
        SHA-256 of every file the version consists of, by name.
    source
        Where the files are.
    replaced
        Version of the champion this one replaced when it was promoted; None if there was none.
    provenance
        Every other tag: git revision, Dagster run.
    """

    name: str
    version: int
    universe: str
    line: str
    aliases: tuple[str, ...]
    retrain_id: str
    inputs_hash: str
    data_hash: str
    code_version: str
    knows_until: datetime | None
    gates: Gates
    evidence_hash: str
    files: Mapping[str, str]
    source: str
    run_id: str | None
    created_at: datetime
    promoted_at: datetime | None
    replaced: int | None
    rolled_back_at: datetime | None
    provenance: Mapping[str, str]

    @property
    def label(self) -> str:
        """How people refer to it."""
        return f"{self.name} version {self.version}"

    @classmethod
    def read(cls, stored: ModelVersion, aliases: Iterable[str]) -> RegisteredVersion:
        """Read an MLflow version that this project registered.

        Raises
        ------
        StorageError
            If a tag it was registered with is missing or was changed into something else.
        """
        try:
            return cls._of_tags(stored, aliases, dict(stored.tags))
        except (KeyError, ValueError) as error:
            raise StorageError(
                f"lacks a tag it was registered with, or has one that cannot be read ({error})",
                where=f"{stored.name} version {stored.version}",
                remedy="restore the tag in MLflow from a backup of its database, or delete this version there",
            ) from error

    @classmethod
    def _of_tags(cls, stored: ModelVersion, aliases: Iterable[str], tags: dict[str, str]) -> RegisteredVersion:
        gates: Any = tags[GATES_TAG]
        return cls(
            name=str(stored.name),
            version=int(stored.version),
            universe=tags[UNIVERSE_TAG],
            line=tags[LINE_TAG],
            aliases=tuple(sorted(aliases)),
            retrain_id=tags[RETRAIN_ID_TAG],
            inputs_hash=tags[INPUTS_HASH_TAG],
            data_hash=tags[DATA_HASH_TAG],
            code_version=tags[CODE_VERSION_TAG],
            knows_until=_moment(tags.get(KNOWS_UNTIL_TAG)),
            gates=gates,
            evidence_hash=tags[EVIDENCE_HASH_TAG],
            files=json.loads(tags[FILES_TAG]),
            source=str(stored.source),
            run_id=stored.run_id or None,
            created_at=datetime.fromtimestamp(stored.creation_timestamp / 1000, tz=UTC),
            promoted_at=_moment(tags.get(PROMOTED_AT_TAG)),
            replaced=int(tags[REPLACED_TAG]) if tags.get(REPLACED_TAG) else None,
            rolled_back_at=_moment(tags.get(ROLLED_BACK_AT_TAG)),
            provenance={name: value for name, value in tags.items() if name not in _KNOWN_TAGS},
        )


_KNOWN_TAGS = frozenset(
    {
        UNIVERSE_TAG,
        LINE_TAG,
        RETRAIN_ID_TAG,
        INPUTS_HASH_TAG,
        DATA_HASH_TAG,
        CODE_VERSION_TAG,
        KNOWS_UNTIL_TAG,
        GATES_TAG,
        EVIDENCE_HASH_TAG,
        FILES_TAG,
        PROMOTED_AT_TAG,
        REPLACED_TAG,
        ROLLED_BACK_AT_TAG,
    }
)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
