"""Looks at test bars count in every universe that holds some of the same bars, and in no other."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from toto_ops.configuration import Settings
from toto_ops.learning.splits import Span
from toto_ops.pipeline.looks import looks_at, sharing_bars
from toto_ops.pipeline.project import Project
from toto_ops.training.ledger import Opening, TrialLedger

START = datetime(2024, 1, 1, tzinfo=UTC)


def days(first: int, last: int) -> Span:
    return Span(after=START + timedelta(days=first), until=START + timedelta(days=last))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The bundled universes, `multi` combining `stocks` and `crypto`, each looked at once."""
    project = Project(Settings(home=str(tmp_path)))
    for name, span in (("stocks", days(0, 10)), ("crypto", days(5, 15)), ("multi", days(0, 10))):
        look = Opening(universe=name, line="bc", policy="p", span=span, opened_by=f"{name} retraining", opened_at=START)
        TrialLedger(project.store, name).open_test(look)
    return project


@pytest.mark.parametrize(
    ("name", "shared"),
    [("multi", ("crypto", "multi", "stocks")), ("stocks", ("multi", "stocks")), ("crypto", ("crypto", "multi"))],
    ids=["combined", "one part", "the other part"],
)
def test_a_combined_universe_shares_its_bars_with_its_parts_and_they_with_it_alone(
    project: Project, name: str, shared: tuple[str, ...]
) -> None:
    universe = project.universe(name)
    assert sharing_bars(project, universe) == shared
    assert {look.universe for look in looks_at(project, universe, days(6, 8))} == set(shared)


def test_looks_at_other_bars_are_not_counted(project: Project) -> None:
    assert [look.universe for look in looks_at(project, project.universe("multi"), days(11, 12))] == ["crypto"]


def test_looks_in_another_namespace_are_not_counted(project: Project) -> None:
    replay = Project(project.settings, "replay")
    assert looks_at(replay, replay.universe("multi"), days(0, 20)) == ()


def test_a_universe_that_is_in_no_file_shares_with_nobody_but_itself(project: Project) -> None:
    made_up = project.universe("stocks").model_copy(update={"name": "made_up"})
    assert sharing_bars(project, made_up) == ("made_up",)
