"""A run of the controls: what is judged anew, what is reused, and where it is kept."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from toto_ops.configuration import Settings
from toto_ops.errors import ConfigError
from toto_ops.evaluation.controls.outcome import ControlOutcome
from toto_ops.evaluation.judgement.criteria import DEFLATED_SHARPE
from toto_ops.evaluation.judgement.evidence import Criterion
from toto_ops.pipeline import controls
from toto_ops.pipeline.control_project import ControlTask
from toto_ops.pipeline.controls import ControlsRequest, run_controls
from toto_ops.storage.store import ArtefactStore

REQUEST = ControlsRequest(leaked=1, planted=1, null=3)


def refused(task: ControlTask) -> ControlOutcome:
    gate = Criterion(name=DEFLATED_SHARPE, required=0.95, relation=">=", measured=0.5, verdict="fail")
    return ControlOutcome(
        kind=task.kind,
        number=task.number,
        made_of="nothing",
        universe=task.universe,
        test_bars=200,
        verdict="refused",
        promoted=False,
        sharpe=0.1,
        oracle_sharpe=10.0,
        expected_oracle_sharpe=None,
        criteria=(gate,),
        seconds=1.0,
    )


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the markets that were judged, by a judge that refuses everything at once."""
    names: list[str] = []

    def judge(
        _settings: Settings, _store: ArtefactStore, tasks: Sequence[ControlTask], _workers: int
    ) -> Iterator[ControlOutcome]:
        for task in tasks:
            names.append(task.name)
            yield refused(task)

    monkeypatch.setattr(controls, "_judged", judge)
    return names


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path))


def told(_outcome: ControlOutcome, _done: int, _total: int) -> None:
    pass


def test_markets_judged_before_are_not_judged_again(settings: Settings, judged: list[str]) -> None:
    first = run_controls(settings, REQUEST, told)
    assert judged == ["leaked-000", "planted-000", "null-000", "null-001", "null-002"]
    assert first.null is not None
    assert first.null.promoted.of == 3

    judged.clear()
    assert run_controls(settings, REQUEST, told) == first
    assert judged == []

    more = run_controls(settings, REQUEST.model_copy(update={"null": 5}), told)
    assert judged == ["null-003", "null-004"]
    assert more.null is not None
    assert (more.namespace, more.null.promoted.of) == (first.namespace, 5)


def test_an_interrupted_run_goes_on_where_it_stopped(settings: Settings, judged: list[str]) -> None:
    def interrupt(_outcome: ControlOutcome, done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_controls(settings, REQUEST, interrupt)
    judged.clear()
    run_controls(settings, REQUEST, told)
    assert judged == ["null-000", "null-001", "null-002"]


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"profile": "short"}, {"universes": ("crypto",)}],
    ids=["another seed", "another profile", "another universe"],
)
def test_what_changes_the_results_begins_anew(settings: Settings, judged: list[str], changes: dict[str, object]) -> None:
    first = run_controls(settings, REQUEST, told)
    judged.clear()
    other = run_controls(settings, REQUEST.model_copy(update=changes), told)
    assert other.namespace != first.namespace
    assert len(judged) == 5


def test_the_number_of_workers_changes_nothing(settings: Settings, judged: list[str]) -> None:
    first = run_controls(settings, REQUEST, told)
    assert run_controls(settings, REQUEST.model_copy(update={"workers": 7}), told) == first


def test_universes_take_turns_and_live_is_not_touched(settings: Settings, judged: list[str], tmp_path: Path) -> None:
    universes = []
    run_controls(settings, REQUEST, lambda outcome, _done, _total: universes.append(outcome.universe))
    assert universes == ["stocks", "stocks", "stocks", "crypto", "stocks"]
    assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == {"controls", "locks"}


def test_a_kind_that_is_not_asked_for_makes_no_demand(settings: Settings, judged: list[str]) -> None:
    summary = run_controls(settings, ControlsRequest(leaked=0, planted=0, null=1), told)
    assert (summary.leaked, summary.planted) == (None, None)
    assert [demand.name for demand in summary.demands] == ["nothing is made of nothing"]
    assert summary.met


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"profile": "thorough"}, "no profile 'thorough'"),
        ({"line": "magic"}, "magic"),
        ({"universes": ("moon",)}, "'moon'"),
        ({"leaked": 0, "planted": 0, "null": 0}, "no market was asked for"),
    ],
    ids=["profile", "line", "universe", "markets"],
)
def test_what_cannot_be_run_is_refused(settings: Settings, changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        run_controls(settings, REQUEST.model_copy(update=changes), told)
