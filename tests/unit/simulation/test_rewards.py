"""Each term of the reward against its definition, its slopes against finite differences, and terms together as a sum."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from toto_ops.simulation.rewards import (
    RewardConfig,
    RewardMemory,
    StepFacts,
    concentration,
    differential_sharpe,
    diversification,
    drawdown,
    fresh_memory,
    reward,
)

TERMS = ("log_return", "differential_sharpe", "drawdown", "turnover", "concentration", "diversification")


class Trades(NamedTuple):
    turnover: Tensor
    weights: Tensor


def only(term: str, weight: float = 1.0) -> RewardConfig:
    return RewardConfig(**{"log_return": 0.0, term: weight})


def facts(accounts: int = 4, assets: int = 3, seed: int = 0) -> StepFacts:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return StepFacts(
        log_return=0.02 * normal(accounts),
        worth=normal(accounts).exp(),
        traded=Trades(normal(accounts).abs(), 0.3 * normal(accounts, assets)),
        recent_returns=0.02 * normal(accounts, assets, 20),
    )


def memory(seed: int = 1) -> RewardMemory:
    generator = torch.Generator().manual_seed(seed)
    mean = 0.001 * torch.randn(4, generator=generator, dtype=torch.float64)
    return RewardMemory(mean, mean.square() + 0.0004, 1.0 + torch.rand(4, generator=generator, dtype=torch.float64))


class TestDifferentialSharpe:
    @given(seed=st.integers(0, 1000))
    def test_is_the_slope_of_the_moving_sharpe_ratio_in_its_adaptation(self, seed: int) -> None:
        """The definition: the first-order term of the ratio `A / sqrt(B - A^2)` expanded in the adaptation rate."""
        step, known = facts(seed=seed), memory(seed)
        returns = step.log_return.exp() - 1.0

        def sharpe(adaptation: float) -> Tensor:
            mean = known.mean + adaptation * (returns - known.mean)
            second = known.second + adaptation * (returns.square() - known.second)
            return mean / (second - mean.square()).sqrt()

        slope = (sharpe(1e-6) - sharpe(-1e-6)) / 2e-6
        ratio, _ = differential_sharpe(RewardConfig(), known, step)
        torch.testing.assert_close(ratio, slope, rtol=1e-5, atol=1e-7)

    def test_moments_move_by_the_adaptation(self) -> None:
        step, known = facts(), memory()
        _, moved = differential_sharpe(RewardConfig(sharpe_adaptation=0.25), known, step)
        returns = step.log_return.exp() - 1.0
        torch.testing.assert_close(moved.mean, 0.75 * known.mean + 0.25 * returns)
        torch.testing.assert_close(moved.second, 0.75 * known.second + 0.25 * returns.square())

    def test_is_0_at_the_first_step_and_bounded_where_nothing_moved_before(self) -> None:
        still = fresh_memory(torch.ones(1, dtype=torch.float64))
        tiny, large = (facts(1)._replace(log_return=torch.tensor([move], dtype=torch.float64)) for move in (1e-9, 0.05))
        first, known = differential_sharpe(RewardConfig(), still, tiny)
        assert first.item() == 0.0
        second, _ = differential_sharpe(RewardConfig(), known, large)
        assert abs(second.item()) < 1.0


class TestDrawdown:
    def test_is_the_loss_from_the_highest_close_of_the_episode(self) -> None:
        known, path = fresh_memory(torch.ones(1, dtype=torch.float64)), []
        for worth in (1.2, 0.9, 1.0, 1.5, 0.75):
            loss, known = drawdown(known, facts(1)._replace(worth=torch.tensor([worth], dtype=torch.float64)))
            path.append(loss.item())
        assert path == pytest.approx([0.0, 0.25, 1 / 6, 0.0, 0.5])


class TestConcentration:
    @pytest.mark.parametrize(
        ("weights", "index"),
        [([0.0, 0.0], 0.0), ([1.0, 0.0], 1.0), ([0.5, 0.5], 0.5), ([0.5, -0.5], 0.5), ([0.25, 0.25], 0.125)],
        ids=["flat", "all-in-one", "two-halves", "long-and-short", "half-in-cash"],
    )
    def test_herfindahl_index_of_fractions_of_equity(self, weights: list[float], index: float) -> None:
        assert concentration(torch.tensor([weights])).item() == pytest.approx(index)


class TestDiversification:
    def test_one_symbol_diversifies_nothing(self) -> None:
        step = facts(assets=1)
        torch.testing.assert_close(diversification(step.traded.weights, step.recent_returns), torch.zeros(4, dtype=torch.float64))

    def test_two_equal_uncorrelated_symbols_take_away_what_the_square_root_of_two_leaves(self) -> None:
        first = torch.tensor([0.01, -0.01] * 10, dtype=torch.float64)
        second = torch.tensor([0.01, 0.01, -0.01, -0.01] * 5, dtype=torch.float64)
        window = torch.stack((first, second)).unsqueeze(0)
        weights = torch.full((1, 2), 0.5, dtype=torch.float64)
        assert diversification(weights, window).item() == pytest.approx(1.0 - 1.0 / math.sqrt(2.0))

    def test_a_perfect_hedge_takes_everything_away(self) -> None:
        window = facts(accounts=1, assets=1).recent_returns.expand(1, 2, 20)
        assert diversification(torch.tensor([[0.5, -0.5]], dtype=torch.float64), window).item() == pytest.approx(1.0)

    @given(seed=st.integers(0, 1000))
    def test_agrees_with_the_covariance_matrix(self, seed: int) -> None:
        step = facts(accounts=3, assets=4, seed=seed)
        for account in range(3):
            weight, window = step.traded.weights[account], step.recent_returns[account]
            covariance = torch.cov(window, correction=0)
            ratio = (weight.abs() @ covariance.diagonal().sqrt()) / (weight @ covariance @ weight).sqrt()
            found = diversification(step.traded.weights, step.recent_returns)[account]
            assert found.item() == pytest.approx(1.0 - 1.0 / ratio.item())

    def test_a_flat_account_gets_nothing_and_takes_no_slope_from_it(self) -> None:
        weights = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
        bonus = diversification(weights, facts(1).recent_returns)
        bonus.backward()
        assert bonus.item() == 0.0
        assert weights.grad is not None
        assert (weights.grad == 0).all()


class TestTogether:
    def test_terms_add_up_by_their_weights(self) -> None:
        weights = {term: 0.1 * (number + 1) for number, term in enumerate(TERMS)}
        total, _ = reward(RewardConfig(**weights), memory(), facts())
        parts = [weights[term] * reward(only(term), memory(), facts())[0] for term in TERMS]
        torch.testing.assert_close(total, torch.stack(parts).sum(0))

    def test_penalties_take_away_and_bonuses_add(self) -> None:
        signs = {term: reward(only(term), memory(), facts())[0] for term in TERMS}
        assert all((signs[term] <= 0).all() and (signs[term] < 0).any() for term in ("drawdown", "turnover", "concentration"))
        assert (signs["diversification"] > 0).any()
        torch.testing.assert_close(signs["log_return"], facts().log_return)

    @pytest.mark.parametrize("term", TERMS)
    def test_slopes_agree_with_finite_differences(self, term: str) -> None:
        step, config = facts(), only(term)

        def of(log_return: Tensor, worth: Tensor, turnover: Tensor, weights: Tensor) -> Tensor:
            return reward(config, memory(), StepFacts(log_return, worth, Trades(turnover, weights), step.recent_returns))[0]

        inputs = tuple(tensor.clone().requires_grad_() for tensor in (*step[:2], *step.traded))
        assert torch.autograd.gradcheck(of, inputs, eps=1e-7, atol=1e-5)
        slopes = torch.autograd.grad(of(*inputs).sum(), inputs, allow_unused=True)
        assert any(slope is not None and slope.abs().max() > 0 for slope in slopes)

    def test_accounts_are_rewarded_apart(self) -> None:
        config = RewardConfig(**dict.fromkeys(TERMS, 1.0))
        together, _ = reward(config, memory(), facts())
        for account in range(4):
            one = slice(account, account + 1)
            mine = RewardMemory(*(tensor[one] for tensor in memory()))
            step = facts()
            trades = Trades(step.traded.turnover[one], step.traded.weights[one])
            alone, _ = reward(config, mine, StepFacts(step.log_return[one], step.worth[one], trades, step.recent_returns[one]))
            torch.testing.assert_close(alone, together[one])

    @pytest.mark.parametrize("change", [{"drawdown": -1.0}, {"sharpe": 1.0}, {"sharpe_adaptation": 1.0}], ids=str)
    def test_a_configuration_that_makes_no_sense_is_refused(self, change: dict[str, float]) -> None:
        with pytest.raises(ValidationError):
            RewardConfig(**change)
