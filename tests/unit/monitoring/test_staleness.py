"""Staleness: nothing changed means no run; anything that would change a result says what it was."""

import pytest

from toto_ops.monitoring.staleness import Fingerprint, compare

BEFORE = Fingerprint(sources={"A": "1", "B": "2"}, config_hash="c", code_versions={"features": "1"})


def test_the_first_retraining_is_always_due() -> None:
    verdict = compare(None, BEFORE)
    assert verdict.stale
    assert verdict.reason == "never retrained"


def test_nothing_changed_is_not_stale() -> None:
    assert not compare(BEFORE, BEFORE).stale


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sources": {"A": "1", "B": "3"}}, "new bars or rewritten history: B"),
        ({"sources": {"A": "1", "B": "2", "C": "3"}}, "new symbols: C"),
        ({"sources": {"A": "1"}}, "symbols gone: B"),
        ({"config_hash": "d"}, "configuration changed"),
        ({"code_versions": {"features": "2"}}, "code changed: features"),
        ({"code_versions": {"features": "1", "bc_policy": "1"}}, "code changed: bc_policy"),
    ],
)
def test_any_change_makes_it_stale_and_is_named(change: dict[str, object], says: str) -> None:
    verdict = compare(BEFORE, BEFORE.model_copy(update=change))
    assert verdict.stale
    assert verdict.reason == says
