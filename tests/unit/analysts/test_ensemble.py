"""The ensemble's decisions, in closed loop with the account. Shapes, masks, storage and ONNX: `policy_checks`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from tests.unit.analysts.analyst_samples import (
    FALLING,
    QUIET,
    RISING,
    make_panel,
    make_rules,
    make_state,
    make_strategy,
    states,
    swinging_panel,
)
from toto_ops.analysts.ensemble import EnsemblePolicy
from toto_ops.analysts.risk import FALL_BARS, exposure_limit
from toto_ops.features.state import RETURN_LAGS
from toto_ops.simulation.backtest import backtest
from toto_ops.simulation.observation import Action, Decision, Observation, split_state

STRATEGY = make_strategy()
STEP = STRATEGY.decision.entry_step
LONG_ONLY = EnsemblePolicy.of(STRATEGY, make_rules())
SHORTING = EnsemblePolicy.of(STRATEGY, make_rules(may_short=True))


def decide(state: Tensor, policy: EnsemblePolicy = LONG_ONLY) -> Decision:
    market, account = split_state(state.expand(1, 1, -1))
    return policy.act(Observation(market, account, torch.ones(1, 1, dtype=torch.bool)))


def action(state: Tensor, policy: EnsemblePolicy = LONG_ONLY) -> Action:
    return Action(int(decide(state, policy).action))


class TestEntering:
    def test_buys_one_step_into_a_rising_market(self) -> None:
        decision = decide(make_state(RISING))
        assert int(decision.action) == Action.BUY
        assert float(decision.strength) == pytest.approx(STEP)
        assert float(decision.weight) == pytest.approx(STEP * LONG_ONLY.w_max)

    def test_buys_the_next_step_on_top_of_what_it_holds(self) -> None:
        decision = decide(make_state(RISING, position=0.3))
        assert float(decision.strength) == pytest.approx(0.3 + STEP)

    def test_does_not_buy_again_what_it_holds(self) -> None:
        full = float(exposure_limit(make_state(RISING), STRATEGY.risk.exposure))
        assert action(make_state(RISING, position=full)) is Action.HOLD

    def test_waits_for_the_minimum_days_since_the_last_trade(self) -> None:
        patient = EnsemblePolicy.of(make_strategy(decision={"min_days_between_entries": 5.0}), make_rules())
        after_4, after_6 = (make_state(RISING, days_since_trade=math.tanh(days / 30)) for days in (4, 6))
        assert action(after_4, patient) is Action.HOLD
        assert action(after_6, patient) is Action.BUY
        assert action(after_4) is Action.BUY

    def test_sound_news_can_turn_a_hold_into_a_buy(self) -> None:
        mild = QUIET | {f"return_{lag}": 0.0015 for lag in range(1, RETURN_LAGS + 1)} | {"rsi": 0.6}
        assert action(make_state(mild)) is Action.HOLD
        assert action(make_state(mild, news_sentiment=1.0, macro_sentiment=1.0)) is Action.BUY


class TestHoldingAndLeaving:
    def test_holds_through_a_market_that_goes_nowhere(self) -> None:
        assert action(make_state(QUIET)) is Action.HOLD
        assert action(make_state(QUIET, position=0.5)) is Action.HOLD

    def test_sells_to_nothing_in_a_falling_market_even_the_day_after_a_trade(self) -> None:
        decision = decide(make_state(FALLING, position=0.5, days_since_trade=0.01))
        assert int(decision.action) == Action.SELL
        assert float(decision.weight) == 0.0

    def test_says_sell_in_a_falling_market_whether_it_holds_or_not(self) -> None:
        assert action(make_state(FALLING)) is Action.SELL

    def test_cuts_a_position_that_outgrew_the_limit_of_its_regime(self) -> None:
        stressed = RISING | {"regime_normal": 0.0, "regime_high": 1.0}
        eager = EnsemblePolicy.of(make_strategy(decision={"buy_above": 0.1}), make_rules())
        decision = decide(make_state(stressed, position=1.0), eager)
        assert int(decision.action) == Action.BUY
        assert float(decision.strength) == pytest.approx(STRATEGY.risk.exposure.high)

    def test_does_not_cut_where_conviction_merely_wanes(self) -> None:
        waning = QUIET | {"rsi": 0.6, "return_1": 0.01}
        assert action(make_state(waning, position=0.6)) is Action.HOLD


class TestShorting:
    def test_sells_short_by_steps_where_the_universe_may(self) -> None:
        decision = decide(make_state(FALLING), SHORTING)
        assert int(decision.action) == Action.SELL
        assert float(decision.weight) == pytest.approx(-STEP * SHORTING.w_max)

    def test_holds_a_full_short(self) -> None:
        full = float(exposure_limit(make_state(FALLING), STRATEGY.risk.exposure))
        assert action(make_state(FALLING, position=-full), SHORTING) is Action.HOLD

    def test_leaves_the_other_side_without_waiting(self) -> None:
        just_traded = {"days_since_trade": 0.0}
        assert action(make_state(RISING, just_traded, position=-0.5), SHORTING) is Action.BUY
        assert action(make_state(FALLING, just_traded, position=0.5), SHORTING) is Action.SELL


@given(state=states())
@settings(deadline=None, max_examples=50)
def test_every_decision_keeps_its_promises(state: Tensor) -> None:
    decision = decide(state)
    position = float(split_state(state)[1][0])
    strength = float(decision.strength)
    assert 0 <= strength <= 1
    assert float(decision.probabilities.sum()) == pytest.approx(1, abs=1e-5)
    assert int(decision.probabilities.argmax()) == int(decision.action)
    if int(decision.action) == Action.BUY:
        assert abs(strength - position) > STRATEGY.decision.resize_band - 1e-6, "a BUY changes what is held"
        assert strength <= position + STEP + 1e-6


@given(state=states())
@settings(deadline=None, max_examples=50)
def test_masked_symbols_are_held(state: Tensor) -> None:
    market, account = split_state(state.expand(1, 1, -1))
    decision = LONG_ONLY.act(Observation(market, account, torch.zeros(1, 1, dtype=torch.bool)))
    assert bool(decision.hold)
    assert int(decision.action) == Action.HOLD


@pytest.mark.parametrize("seed", range(5))
def test_the_order_in_which_returns_are_added_does_not_matter(seed: int) -> None:
    """Runtimes add up in their own order: ONNX must still decide as torch does, on wild and nearly cancelling returns."""
    generator = torch.Generator().manual_seed(seed)
    market, account = split_state(make_state(QUIET, bollinger_width=0.01).repeat(500, 1, 1))
    gains = 2.0 * torch.randn(500, 1, RETURN_LAGS, generator=generator)
    market[..., :RETURN_LAGS] = gains - gains.mean(dim=-1, keepdim=True)
    # The newest five returns also speak for themselves, to the risk analyst.
    older = FALL_BARS + torch.randperm(RETURN_LAGS - FALL_BARS, generator=generator)
    shuffled = market.clone()
    shuffled[..., FALL_BARS:RETURN_LAGS] = market[..., older]
    mask = torch.ones(500, 1, dtype=torch.bool)
    one, other = LONG_ONLY.act(Observation(market, account, mask)), LONG_ONLY.act(Observation(shuffled, account, mask))
    torch.testing.assert_close(one.probabilities, other.probabilities, rtol=0, atol=1e-5)


def test_it_fits_nothing_to_data() -> None:
    assert not LONG_ONLY.state_dict()


def test_its_architecture_rebuilds_it(tmp_path: Path) -> None:
    twin = EnsemblePolicy(**SHORTING.architecture)
    assert twin.architecture == SHORTING.architecture
    torch.testing.assert_close(decide(make_state(FALLING), twin), decide(make_state(FALLING), SHORTING))


def test_rides_a_rise_and_sits_out_a_fall() -> None:
    rise_then_fall = np.concatenate([np.full((60, 1), 0.005), np.full((60, 1), -0.005)])
    result = backtest(make_panel(rise_then_fall), LONG_ONLY.act, make_rules())
    assert result.exposure[40] > 0.8 * STRATEGY.risk.exposure.normal * LONG_ONLY.w_max
    assert result.exposure[100] == 0.0
    assert result.equity[-1] > result.equity[0]


def test_takes_every_action_in_a_market_that_swings() -> None:
    result = backtest(swinging_panel(), LONG_ONLY.act, make_rules())
    shares = np.bincount(result.actions[result.decided], minlength=3) / result.decided.sum()
    assert (shares > 0.08).all()
