"""What a policy is told of its portfolio."""

from __future__ import annotations

import math

import pytest
import torch

from tests.unit.simulation.market_paths import make_rules
from toto_ops.features.state import ACCOUNT_FEATURES
from toto_ops.simulation.account import account_features
from toto_ops.simulation.portfolio import PortfolioState, initial_state

RULES = make_rules(w_max=0.25)
HALF_A_DAY = torch.tensor([0.5], dtype=torch.float64)


def account(state: PortfolioState) -> dict[str, list[float]]:
    features = account_features(state, RULES, HALF_A_DAY)[0]
    return {name: features[:, i].tolist() for i, name in enumerate(ACCOUNT_FEATURES)}


def holding(units: list[float], cash: float, days: float = 0.0) -> PortfolioState:
    """One account with positions marked at 10."""
    state = initial_state(1, len(units))
    money = torch.tensor([units], dtype=torch.float64)
    return state._replace(
        units=money,
        cash=torch.tensor([cash], dtype=torch.float64),
        mark=torch.full_like(money, 10.0),
        days_since_trade=torch.full_like(money, days),
    )


def test_a_new_account_is_flat_all_cash_and_has_never_traded() -> None:
    assert account(initial_state(1, 2)) == {
        "position": [0.0, 0.0],
        "leverage": [0.0, 0.0],
        "cash": [1.0, 1.0],
        "days_since_trade": [1.0, 1.0],
    }


def test_position_is_the_weight_over_w_max() -> None:
    assert account(holding([0.01, -0.02], cash=1.1))["position"] == pytest.approx([0.4, -0.8])


def test_a_position_that_drifted_beyond_w_max_is_clipped() -> None:
    assert account(holding([0.06], cash=0.4))["position"] == [1.0]


def test_leverage_is_gross_exposure_and_cash_may_be_borrowed() -> None:
    features = account(holding([0.1, -0.05], cash=0.5))
    assert features["leverage"] == pytest.approx([1.5, 1.5])
    assert account(holding([0.15], cash=-0.5))["cash"] == pytest.approx([-0.5])


def test_days_since_trade_counts_up_to_the_decision() -> None:
    assert account(holding([0.01], cash=0.9, days=14.5))["days_since_trade"] == pytest.approx([math.tanh(15 / 30)])


def test_an_account_without_equity_still_has_finite_features() -> None:
    assert torch.isfinite(account_features(holding([0.1], cash=-1.5), RULES, HALF_A_DAY)).all()
