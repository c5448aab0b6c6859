"""Thousands of accounts on one panel: each fares as it would alone, and sees nothing it cannot know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.simulation.market_paths import MarketPath, act_from_table, make_panel, make_rules, random_path, random_rules
from toto_ops.errors import InsufficientDataError
from toto_ops.features.panel import Panel
from toto_ops.features.state import RETURN_LAGS
from toto_ops.simulation.backtest import backtest
from toto_ops.simulation.episodes import Episodes
from toto_ops.simulation.market_tensors import MarketTensors
from toto_ops.simulation.observation import Observation
from toto_ops.simulation.rewards import RewardConfig, diversification
from toto_ops.simulation.rules import TradingRules
from toto_ops.simulation.simulator import LEAST_WORTH, MarketSimulator, Transition

FRICTION = make_rules(cost_rate=0.0015, margin_rate=0.0675, gross_leverage=2.0, symbol_cap=0.9)


def steady_panel(rows: int = 60, assets: int = 2, seed: int = 0) -> Panel:
    """A market without gaps, each feature stamped with its row."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (rows, assets)), axis=0))
    panel = make_panel(close * np.exp(rng.normal(0, 0.01, (rows, assets))), close)
    panel.features[:] = np.arange(rows)[:, None, None]
    return panel


def simulator(panel: Panel, rules: TradingRules = FRICTION, accounts: int = 1, **changes: object) -> MarketSimulator:
    dtype = changes.pop("dtype", torch.float64)
    return MarketSimulator(MarketTensors.of(panel, dtype), rules, accounts, **changes)  # type: ignore[arg-type]


def weights_for(simulator_: MarketSimulator, step: int) -> Tensor:
    """Weights that depend on the row an account stands at and on nothing else."""
    rows = simulator_.accounts.row.unsqueeze(-1)
    return 0.5 * torch.sin(rows + torch.arange(simulator_.market.assets) + 1.0).double()


def assert_same(first: Tensor, second: Tensor) -> None:
    """To the bit, NaN for NaN."""
    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)


def decided(observation: Observation) -> tuple[Tensor, Tensor]:
    decision = act_from_table(observation)
    return decision.weight.nan_to_num(), decision.hold


class TestFaresAsTheBacktestSays:
    @settings(max_examples=40)
    @given(seed=st.integers(0, 2**32 - 1), rules=random_rules)
    def test_equity_fees_and_weights_agree_to_the_bit(self, seed: int, rules: TradingRules) -> None:
        path = random_path(seed)
        expected = backtest(path.panel, act_from_table, rules)
        market = simulator(path.panel, rules)
        observation = market.reset()
        for row in range(1, path.panel.rows - 1):
            observation, moved = market.step(*decided(observation))
            assert moved.result.equity_before.item() == expected.equity[row]
            assert moved.result.fees.item() == expected.fees[row]
            assert moved.result.weights[0].tolist() == expected.weights[row].tolist()
            np.testing.assert_array_equal(observation.account[0].numpy(), expected.account[row])

    def test_accounts_at_rows_of_their_own_fare_as_each_would_alone(self) -> None:
        path = random_path(11, rows=60)
        rows = torch.tensor([0, 3, 9, 20, 20])
        together = simulator(path.panel, accounts=5, episodes=Episodes(30), reward=RewardConfig(differential_sharpe=1.0))
        singles = [simulator(path.panel, episodes=Episodes(30), reward=RewardConfig(differential_sharpe=1.0)) for _ in rows]
        seen = together.reset(rows)
        for account, single in enumerate(singles):
            single.reset(rows[account : account + 1])
        for _ in range(30):
            alone = [single.step(*decided(single.observe())) for single in singles]
            seen, moved = together.step(*decided(seen))
            for name in ("reward", "log_return", "terminated", "truncated"):
                assert getattr(moved, name).tolist() == [getattr(transition, name).item() for _, transition in alone], name
            for name, tensor in seen.tensors().items():
                assert_same(tensor, torch.cat([observed.tensors()[name] for observed, _ in alone]))

    def test_stacked_rules_are_separate_simulations(self) -> None:
        rules = [make_rules(cost_rate=cost, symbol_cap=0.9, decision_lag=lag) for cost, lag in ((0.0, 1), (0.01, 1), (0.0, 3))]
        panel = random_path(5).panel
        together = simulator(panel, TradingRules.stacked(rules), accounts=3)
        singles = [simulator(panel, one) for one in rules]
        for step in range(30):
            moved = together.advance(weights_for(together, step))
            for account, single in enumerate(singles):
                alone = single.advance(weights_for(single, step))
                assert moved.reward[account].item() == pytest.approx(alone.reward.item(), abs=1e-12)

    def test_without_gaps_orders_take_a_shorter_way_to_the_same_fills(self) -> None:
        panel = steady_panel()
        quick, thorough = simulator(panel), simulator(panel)
        thorough.market = replace(thorough.market, gapless=False)
        thorough._immediate = False
        for step in range(40):
            first, second = quick.advance(weights_for(quick, step)), thorough.advance(weights_for(thorough, step))
            assert torch.equal(first.result.weights, second.result.weights)
            assert torch.equal(first.reward, second.reward)


class TestRewards:
    def test_log_returns_add_up_to_the_growth_of_equity(self) -> None:
        market = simulator(steady_panel(), accounts=3, initial_capital=500.0)
        market.reset()
        total = sum(market.advance(weights_for(market, step)).log_return for step in range(59))
        torch.testing.assert_close(total, (market.accounts.worth / 500.0).log())

    def test_what_happens_between_two_closes_is_the_reward_of_the_step_between_them(self) -> None:
        opens, closes = np.array([[10.0], [10.0], [20.0]]), np.array([[10.0], [12.0], [30.0]])
        market = simulator(make_panel(opens, closes), make_rules())
        market.reset()
        all_in = torch.ones(1, 1, dtype=torch.float64)
        assert market.advance(all_in).reward.item() == pytest.approx(np.log(1.2)), "bought at the open of 10, closed at 12"
        assert market.advance(all_in).reward.item() == pytest.approx(np.log(2.5)), "the gap to 20 and the rise to 30"

    def test_a_ruined_account_terminates_with_a_finite_reward(self) -> None:
        prices = np.array([[10.0], [10.0], [0.1], [0.1]])
        market = simulator(make_panel(prices, prices), make_rules(gross_leverage=2.0, bankruptcy_floor=0.05))
        market.reset()
        twice = torch.full((1, 1), 2.0, dtype=torch.float64)
        assert not market.advance(twice).terminated
        ruin = market.advance(twice)
        assert ruin.terminated
        assert ruin.reward.item() == pytest.approx(np.log(LEAST_WORTH))

    def test_diversification_is_of_the_weights_held_and_the_returns_up_to_the_close_of_their_bar(self) -> None:
        rng = np.random.default_rng(5)
        panel = steady_panel(assets=3)
        panel.features[:] = 0.02 * rng.standard_normal(panel.features.shape)
        market = simulator(panel, reward=RewardConfig(log_return=0.0, diversification=1.0))
        market.reset()
        transition = market.advance(torch.tensor([[0.2, 0.1, 0.3]], dtype=torch.float64))
        row = int(market.accounts.row)
        window = torch.from_numpy(panel.features[row : row + 1, :, :RETURN_LAGS]).double()
        torch.testing.assert_close(transition.reward, diversification(transition.result.weights, window))

    def test_rewards_are_differentiable_through_several_steps(self) -> None:
        panel = steady_panel(assets=3)
        config = RewardConfig(differential_sharpe=0.1, drawdown=0.1, turnover=0.1, concentration=0.1, diversification=0.1)

        def total(weights: Tensor) -> Tensor:
            market = simulator(panel, reward=config)
            market.reset()
            return torch.stack([market.advance(weight).reward for weight in weights]).sum()

        weights = torch.tensor([[[0.3, 0.2, 0.1]], [[0.1, 0.4, 0.2]], [[0.2, 0.2, 0.3]]], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(total, weights, eps=1e-6, atol=1e-6)

    def test_detached_accounts_pass_no_gradient_on(self) -> None:
        market = simulator(steady_panel())
        market.reset()
        first = torch.full((1, 2), 0.3, dtype=torch.float64, requires_grad=True)
        market.advance(first)
        market.detach()
        assert not market.advance(torch.full((1, 2), 0.2, dtype=torch.float64)).reward.requires_grad


class TestEpisodes:
    def test_the_whole_span_is_from_the_first_close_to_the_last(self) -> None:
        market = simulator(steady_panel(rows=10), accounts=2)
        market.reset()
        flags = [market.advance(weights_for(market, step)).truncated.tolist() for step in range(9)]
        assert flags == [[False, False]] * 8 + [[True, True]]
        assert market.accounts.row.tolist() == [9, 9]

    def test_random_starts_reach_every_row_that_leaves_room(self) -> None:
        market = simulator(steady_panel(rows=12), accounts=2000, episodes=Episodes(8))
        market.reset()
        assert set(market.accounts.row.tolist()) == {0, 1, 2, 3}

    def test_a_finished_account_begins_anew_and_the_others_go_on(self) -> None:
        market = simulator(steady_panel(), accounts=3, episodes=Episodes(5), reward=RewardConfig(drawdown=1.0))
        market.reset(torch.tensor([0, 10, 20]))
        for step in range(4):
            market.advance(weights_for(market, step))
        before = market.accounts
        market.restart(torch.tensor([False, True, False]))
        after = market.accounts
        assert after.end[1] - after.row[1] == 5
        assert after.portfolio.cash[1] == after.worth[1] == after.memory.peak[1] == 1.0
        assert (after.portfolio.units[1] == 0).all()
        others = torch.tensor([0, 2])
        for old, new in zip(
            (before.row, before.worth, *before.portfolio), (after.row, after.worth, *after.portfolio), strict=True
        ):
            assert torch.equal(old[others], new[others])

    def test_what_is_seen_after_a_restart_is_the_new_beginning(self) -> None:
        market = simulator(steady_panel(), accounts=4, episodes=Episodes(3))
        market.reset()
        for step in range(7):
            observation, moved = market.step_and_restart(weights_for(market, step))
            assert torch.equal(observation.market[:, 0, 0], market.accounts.row.float())
            assert (observation.account[moved.finished, :, 0] == 0).all()
        assert moved.finished.tolist() == [False] * 4

    def test_a_restart_of_nobody_changes_nothing(self) -> None:
        market = simulator(steady_panel(), accounts=2)
        before = market.accounts
        market.restart(torch.zeros(2, dtype=torch.bool))
        assert market.accounts is before

    def test_the_same_seed_gives_the_same_run_to_the_bit(self) -> None:
        def run(seed: int) -> list[Transition]:
            market = simulator(steady_panel(), accounts=50, episodes=Episodes(7), dtype=torch.float32, seed=seed)
            return [market.step_and_restart(weights_for(market, step))[1] for step in range(30)]

        first, again, other = run(1), run(1), run(2)
        assert all(torch.equal(one.reward, two.reward) for one, two in zip(first, again, strict=True))
        assert not all(torch.equal(one.reward, two.reward) for one, two in zip(first, other, strict=True))

    def test_a_panel_shorter_than_an_episode_is_refused(self) -> None:
        with pytest.raises(InsufficientDataError, match="10 bars are too few for an episode of 10 steps"):
            simulator(steady_panel(rows=10), episodes=Episodes(10))

    def test_an_episode_must_begin_where_it_can_end(self) -> None:
        market = simulator(steady_panel(rows=10), accounts=1, episodes=Episodes(5))
        with pytest.raises(ValueError, match="leave the panel of 10 rows"):
            market.reset(torch.tensor([5]))

    def test_going_on_at_the_end_of_the_panel_is_an_error(self) -> None:
        market = simulator(steady_panel(rows=3))
        market.reset()
        for step in range(2):
            market.advance(weights_for(market, step))
        with pytest.raises(ValueError, match="restart it before the next step"):
            market.advance(torch.zeros(1, 2, dtype=torch.float64))


class TestNothingFromTheFuture:
    def test_each_observation_is_stamped_with_the_row_it_is_taken_at(self) -> None:
        market = simulator(steady_panel(), accounts=5, episodes=Episodes(20))
        observation = market.reset()
        for step in range(60):
            assert torch.equal(observation.market[:, 0, 7], market.accounts.row.float())
            observation, _ = market.step_and_restart(weights_for(market, step))

    @pytest.mark.parametrize("row", [5, 25])
    def test_bars_after_a_row_change_nothing_up_to_it(self, row: int) -> None:
        panel, later = random_path(8).panel, np.arange(40)[:, None] > row
        changed = replace(
            panel,
            open=np.where(later & panel.mask, panel.open * 3.0, panel.open),
            close=np.where(later & panel.mask, panel.close / 3.0, panel.close),
            features=np.where(later[..., None], np.float32(9.0), panel.features),
        )
        known, again = simulator(panel), simulator(changed)
        for step in range(row):
            (first, one), (second, two) = (market.step(weights_for(market, step)) for market in (known, again))
            for seen, seen_again in zip(first.tensors().values(), second.tensors().values(), strict=True):
                assert_same(seen, seen_again)
            assert torch.equal(one.reward, two.reward)
        assert not torch.equal(known.advance(weights_for(known, row)).reward, again.advance(weights_for(again, row)).reward)

    def test_a_symbol_without_a_bar_cannot_be_decided_on(self) -> None:
        prices = np.array([[10.0], [np.nan], [10.0], [20.0]])
        market = simulator(MarketPath.of(make_panel(prices, prices), np.zeros((4, 1))).panel, make_rules())
        market.reset()
        nothing, all_in = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
        market.advance(nothing)
        assert not market.observe().mask.any()
        market.advance(all_in)
        assert market.accounts.portfolio.units.item() == 0.0
