"""Is there anything to retrain? A pure comparison of what the last retraining used with what the next one would."""

from __future__ import annotations

from dataclasses import dataclass

from toto_ops.configuration import VersionedModel


class Fingerprint(VersionedModel):
    """Everything that determines what a retraining makes, except the moment it is made at."""

    sources: dict[str, str]
    """Symbol to hash of what its source holds."""
    config_hash: str
    code_versions: dict[str, str]
    """Step to declared version."""


@dataclass(frozen=True)
class Verdict:
    """Whether to retrain, and why, in words for a log, a skip reason or a terminal."""

    stale: bool
    reason: str


def compare(previous: Fingerprint | None, current: Fingerprint) -> Verdict:
    """Compare the fingerprint of the last successful retraining with the present one."""
    if previous is None:
        return Verdict(stale=True, reason="never retrained")
    changes = [
        _changed_symbols("new symbols", current.sources.keys() - previous.sources.keys()),
        _changed_symbols("symbols gone", previous.sources.keys() - current.sources.keys()),
        _changed_symbols(
            "new bars or rewritten history",
            {symbol for symbol, content in current.sources.items() if previous.sources.get(symbol, content) != content},
        ),
        "configuration changed" if current.config_hash != previous.config_hash else "",
        _changed_symbols(
            "code changed",
            {step for step, version in current.code_versions.items() if previous.code_versions.get(step) != version},
        ),
    ]
    reasons = [change for change in changes if change]
    if not reasons:
        return Verdict(stale=False, reason="nothing changed since the last retraining: same bars, configuration and code")
    return Verdict(stale=True, reason="; ".join(reasons))


def _changed_symbols(what: str, names: set[str]) -> str:
    return f"{what}: {', '.join(sorted(names))}" if names else ""
