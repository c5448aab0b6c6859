"""Enough of the symbols must take part; those that are new and cannot be used yet hold nobody up."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from toto_ops.configuration import Settings
from toto_ops.errors import InsufficientDataError
from toto_ops.market.snapshot import SnapshotEntry, record_entry
from toto_ops.pipeline.market_steps import Coverage, Members, coverage_of, require_coverage
from toto_ops.pipeline.project import Project
from toto_ops.storage.retraining import Retraining
from toto_ops.storage.store import ArtefactKey

WHY = ("prices are negative",)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(Settings(home=str(tmp_path), env="local"))


def retraining(project: Project, members: str, healthy: str, bad: str = "") -> Retraining:
    """One that found the symbols of `healthy` usable and those of `bad` not; every letter is a symbol."""
    run = project.retraining(project.universe("crypto"), f"{members}-{healthy}-{bad}")
    run.resolve_as_of(datetime(2021, 7, 7, tzinfo=UTC))
    run.store.create_model(f"{run.folder}/members.json", Members(symbols=tuple(members)))
    for symbol in healthy:
        record_entry(run, SnapshotEntry(symbol=symbol, status="included", bars="b", inputs_hash="i"))
    for symbol in bad:
        record_entry(run, SnapshotEntry(symbol=symbol, status="quarantined", reasons=WHY))
    return run


def had(project: Project, *symbols: str) -> None:
    """Leave behind the pointers of a retraining that succeeded with `symbols`."""
    for key in (ArtefactKey("crypto", "panel"), *(ArtefactKey("crypto", "bars", symbol) for symbol in symbols)):
        ref = project.store.put(key, "inputs", lambda folder, key=key: (folder / "content").write_text(str(key)))
        project.store.set_latest(ref)


def coverage(project: Project, run: Retraining) -> Coverage:
    return coverage_of(project, run, project.universe("crypto"))


def test_a_symbol_that_is_quarantined_counts_against_the_share(project: Project) -> None:
    had(project, "A", "B", "C", "D")
    found = coverage(project, retraining(project, "ABCD", "AB", "CD"))
    assert (found.share, found.sufficient) == (0.5, False)
    assert "C is quarantined: prices are negative" in found.summary


def test_before_the_first_retraining_every_symbol_counts(project: Project) -> None:
    assert coverage(project, retraining(project, "ABCD", "AB", "CD")).share == 0.5


def test_new_symbols_that_cannot_be_used_yet_do_not_stop_the_others(project: Project) -> None:
    had(project, "A", "B")
    found = coverage(project, retraining(project, "ABCDEF", "AB", "CDEF"))
    assert (found.share, found.sufficient) == (1.0, True)
    assert "F is new, not counted, and waits: prices are negative" in found.summary


def test_a_symbol_that_appears_after_the_launch_does_not_stop_the_others(project: Project) -> None:
    had(project, "A", "B")
    found = coverage(project, retraining(project, "ABC", "AB"))
    assert (found.share, found.sufficient) == (1.0, True)
    assert "C appeared after this run was launched" in found.summary


def test_a_universe_of_nothing_but_such_symbols_is_not_covered(project: Project) -> None:
    had(project, "A", "B")
    found = coverage(project, retraining(project, "CD", "", "CD"))
    assert (found.share, found.sufficient) == (0.0, False)


def test_a_run_that_left_symbols_out_is_no_retraining(project: Project) -> None:
    had(project, "A", "B", "C")
    run = retraining(project, "ABC", "AB")
    assert "this run left out C" in coverage(project, run).summary
    with pytest.raises(InsufficientDataError, match="left out C"):
        require_coverage(project, run, project.universe("crypto"))
