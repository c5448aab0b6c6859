"""What old runs of the controls left goes as a whole, and a run in progress stays."""

import os
from pathlib import Path

import pytest

from toto_ops.configuration import Settings
from toto_ops.pipeline.controls import CONTROLS, OUTCOMES, in_progress_alone
from toto_ops.pipeline.controls_retention import old_controls, remove_controls

NOW = 1_000_000_000.0
OLD = NOW - 1000.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path))


def run_of(settings: Settings, name: str, touched: float) -> Path:
    """A run with the outcome of one market, its report, and a market that a kill left half done."""
    folder = Path(settings.home) / name
    for file in (f"{CONTROLS}/{OUTCOMES}/null-0.json", "reports/null-0/report.txt", "work/1/home/live/.staging/x"):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text("{}")
        os.utime(folder / file, (touched, touched))
    return folder


def test_what_is_old_goes_as_a_whole_and_nothing_else_does(settings: Settings) -> None:
    old, recent = run_of(settings, "controls-aa", OLD), run_of(settings, "controls-bb", NOW + 1)
    live = run_of(settings, "live", OLD)
    (found,) = old_controls(settings, NOW)
    assert (found.kind, found.path, found.size, found.touched) == ("controls", old, 6, OLD)
    assert remove_controls(settings, found, NOW)
    assert not old.exists()
    assert recent.exists()
    assert live.exists()
    assert old_controls(settings, NOW) == ()


def test_a_run_that_was_gone_on_with_since_the_plan_stays(settings: Settings) -> None:
    folder = run_of(settings, "controls-aa", OLD)
    (found,) = old_controls(settings, NOW)
    os.utime(folder / CONTROLS / OUTCOMES / "null-0.json", (NOW + 1, NOW + 1))
    assert not remove_controls(settings, found, NOW)
    assert folder.exists()


def test_a_run_in_progress_stays_however_long_a_market_takes(settings: Settings) -> None:
    folder = run_of(settings, "controls-aa", OLD)
    (found,) = old_controls(settings, NOW)
    with in_progress_alone(settings, "controls-aa"):
        assert not remove_controls(settings, found, NOW)
    assert folder.exists()
    assert remove_controls(settings, found, NOW)
