"""The incumbent answers for the newest bar, says until when that holds, and refuses what it must not answer."""

from datetime import timedelta

import numpy as np
import pytest
import torch

from tests.unit.registry.registry_samples import START, W_MAX, LinearPolicy, manifest
from tests.unit.serving.market_samples import BARS, LAST_CLOSE, panel, snapshot, universe
from toto_ops.errors import BarDataError, StaleBarsError, SymbolNameError
from toto_ops.features.state import MARKET_FEATURES
from toto_ops.learning.onnx_files import open_session
from toto_ops.registry.onnx_export import export_onnx
from toto_ops.registry.versions import RegisteredVersion
from toto_ops.serving.account import AccountQuery
from toto_ops.serving.market_view import MarketView
from toto_ops.serving.predict import Predictor
from toto_ops.serving.servable import serving_moment
from toto_ops.serving.session import ServingSession
from toto_ops.simulation.observation import Action, Observation
from toto_ops.universes import SampleSource


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    about = manifest("serve")
    path = export_onnx(LinearPolicy(1), about, tmp_path_factory.mktemp("serving") / "model.onnx")
    version = RegisteredVersion(
        name="toto-serve",
        version=4,
        universe="serve",
        line="bc",
        aliases=("champion",),
        retrain_id="retrain-1",
        inputs_hash=about.inputs_hash,
        data_hash=about.data_hash,
        code_version="1",
        knows_until=about.knows_until,
        gates="passed",
        evidence_hash="e",
        files={},
        source="",
        run_id=None,
        created_at=START,
        promoted_at=START,
        replaced=None,
        rolled_back_at=None,
        provenance={},
    )
    return ServingSession(version, about, is_fallback=False, runtime=open_session(path))


@pytest.fixture(scope="module")
def predictor(session):
    return Predictor(universe(), MarketView(snapshot(), panel()), session)


def expected_decision(row, symbol, account=(0.0, 0.0, 1.0, 1.0)):
    """What the policy itself decides in torch for one symbol of one row of the sample panel."""
    market = panel().features[row, panel().symbols.index(symbol)]
    observation = Observation(
        torch.from_numpy(market).reshape(1, 1, -1), torch.tensor(account).reshape(1, 1, -1), torch.ones(1, 1, dtype=torch.bool)
    )
    return LinearPolicy(1).act(observation)


@pytest.mark.parametrize("symbol", ["AAA", "BBB"])
def test_the_answer_is_the_policys_own_decision_on_the_newest_bar(predictor, symbol):
    answer = predictor.predict(symbol, LAST_CLOSE)
    expected = expected_decision(BARS - 1, symbol)
    assert answer.action == Action(int(expected.action)).name
    assert answer.strength == pytest.approx(float(expected.strength), abs=1e-6)
    chances = answer.probabilities
    assert [chances.hold, chances.buy, chances.sell] == pytest.approx(expected.probabilities.flatten().tolist(), abs=1e-6)


def test_the_target_weight_is_signed_strength_times_w_max_and_absent_for_hold(predictor):
    weights = {}
    for day in range(1, BARS + 1):
        for symbol in ("AAA", "BBB"):
            answer = predictor.predict(symbol, START + timedelta(days=day))
            sign = {"BUY": 1, "SELL": -1, "HOLD": None}[answer.action]
            expected = None if sign is None else pytest.approx(sign * answer.strength * W_MAX, rel=1e-5)
            assert answer.target_weight == expected
            weights[answer.action] = answer.target_weight
    assert set(weights) == {"BUY", "SELL", "HOLD"}, "the sample must exercise all three actions"


def test_it_says_who_answers_and_until_when(predictor):
    answer = predictor.predict("aaa", LAST_CLOSE + timedelta(hours=5))
    assert (answer.symbol, answer.model, answer.version, answer.line, answer.is_fallback) == ("AAA", "toto-serve", 4, "bc", False)
    assert answer.bar_close == LAST_CLOSE
    assert answer.valid_until == LAST_CLOSE + timedelta(days=1)
    assert not answer.expired
    assert answer.warnings == ("volume is odd",)
    assert answer.data_health == pytest.approx(float(panel().features[-1, 0, MARKET_FEATURES.index("data_health")]))


def test_a_question_about_the_past_sees_only_bars_that_had_closed(predictor):
    moment = START + timedelta(days=5, hours=1)
    answer = predictor.predict("AAA", moment)
    assert answer.bar_close == START + timedelta(days=5)
    assert answer.probabilities.buy == pytest.approx(float(expected_decision(4, "AAA").probabilities[0, 0, Action.BUY]), abs=1e-6)


def test_later_bars_do_not_change_an_answer_about_the_past(session):
    altered = panel()
    altered.features[6:] = 9.0
    moment = START + timedelta(days=6)
    before = Predictor(universe(), MarketView(snapshot(), panel()), session).predict("AAA", moment)
    assert Predictor(universe(), MarketView(snapshot(), altered), session).predict("AAA", moment) == before


def test_what_the_account_holds_is_heard(predictor):
    held = predictor.predict("AAA", LAST_CLOSE, AccountQuery(position=1.0, days_since_trade=2))
    expected = expected_decision(BARS - 1, "AAA", (1.0, W_MAX, 1 - W_MAX, float(np.tanh(2 / 30))))
    assert held.strength == pytest.approx(float(expected.strength), abs=1e-6)
    assert held.strength != pytest.approx(predictor.predict("AAA", LAST_CLOSE).strength, abs=1e-4)


def test_an_answer_whose_time_is_over_says_so(predictor):
    answer = predictor.predict("AAA", LAST_CLOSE + timedelta(days=1, hours=1))
    assert answer.expired
    assert "a newer bar has closed on 2024-01-12 00:00 UTC and is missing" in answer.warnings


def test_bars_that_are_too_old_are_refused(predictor):
    predictor.predict("AAA", LAST_CLOSE + timedelta(days=2))
    with pytest.raises(StaleBarsError, match=r"AAA: its newest bar closed on 2024-01-11 00:00 UTC, 2\.1 days before"):
        predictor.predict("AAA", LAST_CLOSE + timedelta(days=2, hours=2))


@pytest.mark.parametrize(
    ("symbol", "error", "message"),
    [
        ("CCC", StaleBarsError, "its feed ended on 2024-01-08"),
        ("DDD", BarDataError, "quarantined: 3 bars have negative prices"),
        ("NEW", SymbolNameError, "was not known to toto-serve version 4"),
        ("ZZZ", SymbolNameError, "ZZZ is not in the universe.*AAA, BBB"),
        ("../x", SymbolNameError, "is not a symbol"),
    ],
)
def test_what_must_not_be_answered_is_refused_with_the_reason(predictor, symbol, error, message):
    with pytest.raises(error, match=message):
        predictor.predict(symbol, LAST_CLOSE)


def test_before_the_first_bar_there_is_no_answer(predictor):
    with pytest.raises(BarDataError, match="no usable bar had closed"):
        predictor.predict("AAA", START)


def test_the_fallback_says_that_it_answers(session):
    fallback = ServingSession(session.version, session.manifest, is_fallback=True, runtime=session.runtime)
    answer = Predictor(universe(), MarketView(snapshot(), panel()), fallback).predict("AAA", LAST_CLOSE)
    assert answer.is_fallback
    assert "no champion: the fallback answers" in answer.warnings


def test_a_bundled_sample_stands_at_its_own_end_and_a_feed_at_the_present():
    assert serving_moment(universe(source=SampleSource(folder="daily_crypto")), snapshot()) == LAST_CLOSE
    assert serving_moment(universe(), snapshot()) > LAST_CLOSE + timedelta(days=300)


def test_an_answer_survives_json(predictor):
    answer = predictor.predict("AAA", LAST_CLOSE)
    assert type(answer).model_validate_json(answer.model_dump_json()) == answer
