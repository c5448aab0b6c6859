"""Three kills, one each in training, in promotion and anywhere; `make crash` does many more, with a champion to lose."""

from pathlib import Path

import pytest

from tests.reliability.crash import CrashPlan, crash
from tests.reliability.planted_home import PlantedHome, Scenario

pytestmark = pytest.mark.subprocess


def test_a_killed_retraining_harms_nothing_and_the_next_one_ends_where_it_would_have(tmp_path: Path) -> None:
    report = crash(PlantedHome.prepare(tmp_path), CrashPlan(kills=3, seed=1, scenarios=(Scenario.FIRST,)), on_trial=print)
    assert [(trial.line, trial.faults) for trial in report.trials if trial.faults] == []
    assert len(report.trials) == 3
