"""`knows_until` refuses what it must, at every place where bars meet something that may know them.

The trainers, the judge, the comparison with a champion, the backtest command and the promotion are asked here, each at the
moment that decides: the last bar that is known is refused, the first that is not is allowed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.unit.no_look_ahead.contestants import teacher, train, training_inputs
from tests.unit.no_look_ahead.markets import real_market
from tests.unit.registry.registry_samples import evidence, manifest
from toto_ops.errors import LookAheadError, PromotionError
from toto_ops.evaluation.judgement.candidates import Candidate, refuse_look_ahead
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.pipeline.backtest_request import BacktestRequest
from toto_ops.pipeline.backtest_span import permitted_span
from toto_ops.registry.belonging import require_about
from toto_ops.training.line import Line, TrainingInputs
from toto_ops.training.lines import LINES

MOMENT = timedelta(microseconds=1)


@pytest.fixture(scope="module")
def panel() -> Panel:
    return real_market().panel


@pytest.fixture(scope="module")
def inputs(panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> TrainingInputs:
    return training_inputs(panel, tmp_path_factory.mktemp("inputs"))


def close(panel: Panel, row: int) -> datetime:
    return to_aware(panel.close_time[[row]])[0]


def knowing(moment: datetime | None) -> Candidate:
    policy = teacher()
    about = manifest("tried", kind=policy.kind, architecture=policy.architecture, knows_until=moment)
    return Candidate(policy, about)


# -- trainers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_every_trainer_refuses_test_bars(line: Line, panel: Panel, inputs: TrainingInputs, tmp_path: Path) -> None:
    first_test_bar = panel.between(inputs.splits.test.after, None).close_time[0]
    with_one_too_many = panel.between(None, to_aware(np.array([first_test_bar]))[0])
    with pytest.raises(LookAheadError, match="the test span begins after"):
        train(line, replace(inputs, panel=with_one_too_many), tmp_path)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_a_policy_knows_what_chose_it_and_what_it_learnt_from(line: Line, inputs: TrainingInputs, tmp_path: Path) -> None:
    until = inputs.splits.validation.until
    assert train(line, inputs, tmp_path / "alone").manifest.knows_until == until
    parents = replace(inputs, parents_know_until=until + timedelta(days=9))
    assert train(line, parents, tmp_path / "with parents").manifest.knows_until == until + timedelta(days=9)


# -- the judge -----------------------------------------------------------------------------------------------------


def test_the_judge_refuses_the_first_bar_that_is_known_and_allows_the_first_that_is_not(panel: Panel) -> None:
    test = panel.take(np.arange(panel.rows) >= 300)
    first = close(test, 0)
    refuse_look_ahead(test, [knowing(None), knowing(first - MOMENT)])
    with pytest.raises(LookAheadError, match="bc knows bars up to"):
        refuse_look_ahead(test, [knowing(None), knowing(first)])


def test_a_champion_is_compared_only_on_bars_that_chose_neither(panel: Panel) -> None:
    champion = knowing(close(panel, 100))
    assert champion.unseen_after == close(panel, 100)
    assert replace(champion, selected_until=close(panel, 200)).unseen_after == close(panel, 200)
    assert replace(champion, selected_until=close(panel, 50)).unseen_after == close(panel, 100)
    assert knowing(None).unseen_after is None


# -- the backtest command ------------------------------------------------------------------------------------------


def asked(panel: Panel, knows_until: datetime | None, start: datetime) -> None:
    request = BacktestRequest(universe="crypto", start_date=start.date())
    permitted_span(request, [("the model", knows_until)], panel.close_time)


def test_the_backtest_command_refuses_a_start_at_what_is_known_and_names_the_earliest(panel: Panel) -> None:
    known = close(panel, 200)
    asked(panel, known, known)
    asked(panel, None, close(panel, 0))
    with pytest.raises(LookAheadError, match=rf"the model knows bars up to .*start on {known:%Y-%m-%d} at the earliest"):
        asked(panel, known, known - timedelta(days=1))


def test_the_backtest_command_refuses_a_model_that_knows_everything(panel: Panel) -> None:
    with pytest.raises(LookAheadError, match="every bar is known"):
        asked(panel, close(panel, -1), close(panel, 200))


# -- promotion -----------------------------------------------------------------------------------------------------


def test_promotion_refuses_evidence_from_bars_that_made_the_model() -> None:
    # By the rule of the judge: up to the very close of the first bar, and no further.
    first_close = evidence(manifest("tried"), "r").first_close
    assert first_close is not None
    edge = manifest("tried", knows_until=first_close - MOMENT)
    require_about(evidence(edge, "r"), edge, "r")
    knowing_more = manifest("tried", knows_until=first_close)
    with pytest.raises(PromotionError, match="judged on bars that made it"):
        require_about(evidence(knowing_more, "r"), knowing_more, "r")
