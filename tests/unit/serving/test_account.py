"""What a question says about the asking account becomes the four features the model was trained on."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.unit.serving.market_samples import universe
from toto_ops.features.state import ACCOUNT_FEATURES
from toto_ops.serving.account import FLAT, AccountQuery
from toto_ops.simulation.account import account_features
from toto_ops.simulation.portfolio import initial_state
from toto_ops.simulation.rules import TradingRules


def test_features_come_in_the_order_of_the_state():
    assert ACCOUNT_FEATURES == ("position", "leverage", "cash", "days_since_trade")
    features = AccountQuery(position=-0.5, leverage=0.8, cash=1.1, days_since_trade=30).features(1, 3, 0.2)
    assert features.shape == (1, 3, 4)
    np.testing.assert_allclose(features[0, 1], [-0.5, 0.8, 1.1, math.tanh(1)], rtol=1e-6)


def test_other_symbols_are_not_held_but_share_the_account():
    features = AccountQuery(position=1.0, days_since_trade=3).features(0, 2, 0.2)
    np.testing.assert_allclose(features[0, 1], [0.0, 0.2, 0.8, 1.0], rtol=1e-6)


def test_a_flat_question_is_what_a_new_account_looks_like_in_training():
    rules = TradingRules.of(universe())
    trained_on = account_features(initial_state(1, 3), rules, torch.zeros(1, dtype=torch.float64))
    np.testing.assert_array_equal(FLAT.features(0, 3, rules.w_max), trained_on.numpy())


@given(position=st.floats(-1, 1), w_max=st.floats(0.01, 2))
@settings(deadline=None, max_examples=30)
def test_what_is_not_said_follows_from_the_position(position, w_max):
    features = AccountQuery(position=position).features(0, 1, w_max)[0, 0]
    np.testing.assert_allclose(features[1], abs(position * w_max), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(features[2], 1 - position * w_max, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"position": 1.5},
        {"position": math.nan},
        {"leverage": -1},
        {"leverage": math.inf},
        {"cash": math.nan},
        {"cash": -math.inf},
        {"days_since_trade": -1},
        {"positon": 0.1},
    ],
)
def test_an_impossible_account_is_refused(wrong):
    with pytest.raises(ValidationError):
        AccountQuery(**wrong)
