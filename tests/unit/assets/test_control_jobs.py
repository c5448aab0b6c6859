"""The job `controls`: its options reach the library, and a demand that is not met fails the run."""

from pathlib import Path

import dagster as dg
import pytest

from assets.control_jobs import controls_job
from assets.resources import TotoOps
from toto_ops.configuration import Settings
from toto_ops.errors import ConfigError
from toto_ops.evaluation.controls.outcome import ControlsSummary, Demand
from toto_ops.pipeline import controls
from toto_ops.pipeline.controls import ControlsRequest, OnOutcome


def summary(*, met: bool) -> ControlsSummary:
    return ControlsSummary(
        namespace="controls-0",
        seed=3,
        line="bc",
        profile="short",
        universes=("crypto",),
        bars={},
        code="c",
        configuration="c",
        seconds_per_market=1.0,
        leaked=None,
        planted=None,
        null=None,
        demands=(Demand(name="nothing is made of nothing", required="0", measured="1", met=met),),
    )


@pytest.mark.parametrize("met", [True, False])
def test_the_run_succeeds_where_every_demand_is_met(met: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ControlsRequest] = []

    def run(_settings: Settings, request: ControlsRequest, _on_outcome: OnOutcome) -> ControlsSummary:
        asked.append(request)
        return summary(met=met)

    monkeypatch.setattr(controls, "run_controls", run)
    options = {"null": 20, "planted": 2, "leaked": 0, "seed": 3, "profile": "short", "universes": ["crypto"], "workers": 1}
    result = controls_job().execute_in_process(
        {"ops": {"controls": {"config": options}}}, resources={"toto": TotoOps(home=str(tmp_path))}, raise_on_error=False
    )
    assert asked == [ControlsRequest(leaked=0, planted=2, null=20, seed=3, profile="short", universes=("crypto",), workers=1)]
    assert result.success is met
    (shown,) = [event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_OUTPUT] or [None]
    assert (shown is not None) is met


@pytest.mark.parametrize(
    ("options", "says"),
    [({"null": -1}, "`null`: Input should be greater than or equal to 0"), ({"workers": 0}, "`workers`")],
    ids=["fewer than no markets", "nobody to judge them"],
)
def test_a_mistake_in_the_launchpad_is_one_clear_message(options: dict[str, int], says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says) as told:
        controls_job().execute_in_process(
            {"ops": {"controls": {"config": options}}}, resources={"toto": TotoOps(home=str(tmp_path))}
        )
    assert told.value.where == "run configuration"
