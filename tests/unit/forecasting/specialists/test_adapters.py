"""Stacked adapters: an untrained specialist is the generic forecaster; each row of a stack is a head of its own."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from toto_ops.forecasting.head import QuantileHead
from toto_ops.forecasting.quantiles import LEVELS
from toto_ops.forecasting.series import CLOSE
from toto_ops.forecasting.specialists.adapters import CloseHead, StackedAdapters

WIDTH, HIDDEN, HORIZON, HORIZONS, RANK = 6, 10, 5, (1, 4), 2


@pytest.fixture
def close() -> CloseHead:
    torch.manual_seed(1)
    head = QuantileHead(WIDTH, HIDDEN, HORIZON)
    torch.nn.init.normal_(head.out.weight)
    return CloseHead(head, HORIZONS)


@pytest.fixture
def states() -> torch.Tensor:
    return torch.randn(3, 7, WIDTH, generator=torch.Generator().manual_seed(2))


def _drawn(close: CloseHead, count: int) -> StackedAdapters:
    adapters = StackedAdapters(close, count, RANK)
    adapters.draw([np.random.default_rng(row) for row in range(count)])
    return adapters


def _trained(close: CloseHead, count: int) -> StackedAdapters:
    adapters = _drawn(close, count)
    torch.manual_seed(3)
    for part in (adapters.up, adapters.out_up):
        torch.nn.init.normal_(part, std=0.3)
    return adapters


def _merged(close: CloseHead, adapters: StackedAdapters, place: int) -> QuantileHead:
    """The head that a specialist amounts to, weight by weight."""
    head = copy.deepcopy(close.head)
    with torch.no_grad():
        head.hidden.weight += (adapters.down[place] @ adapters.up[place]).T
        change = (adapters.out_down[place] @ adapters.out_up[place]).T.reshape(len(HORIZONS), len(LEVELS), HIDDEN)
        rows = head.out.weight.view(-1, HORIZON, len(LEVELS), HIDDEN)[CLOSE]
        rows[[horizon - 1 for horizon in HORIZONS]] += change
    return head


def test_the_generic_quantiles_are_those_of_the_head(close: CloseHead, states: torch.Tensor) -> None:
    whole = close.head(states)[..., CLOSE, [horizon - 1 for horizon in HORIZONS], :]
    torch.testing.assert_close(close.quantiles(states), whole)


def test_an_untrained_specialist_says_what_the_generic_forecaster_does(close: CloseHead, states: torch.Tensor) -> None:
    torch.testing.assert_close(_drawn(close, 3)(close, states), close.quantiles(states))


def test_each_row_is_the_head_with_its_own_change_of_the_weights(close: CloseHead, states: torch.Tensor) -> None:
    adapters = _trained(close, 3)
    alone = [CloseHead(_merged(close, adapters, row), HORIZONS).quantiles(states[row]) for row in range(3)]
    torch.testing.assert_close(adapters(close, states), torch.stack(alone), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(adapters(close, states), close.quantiles(states), atol=0.1)


def test_places_say_which_specialist_each_row_is_for(close: CloseHead, states: torch.Tensor) -> None:
    adapters = _trained(close, 2)
    torch.testing.assert_close(
        adapters(close, states, [1, 0, 1]),
        torch.stack([adapters(close, states[[row, row]])[place, :] for row, place in enumerate((1, 0, 1))]),
    )


def test_quantiles_of_specialists_do_not_cross(close: CloseHead, states: torch.Tensor) -> None:
    assert (_trained(close, 3)(close, 10 * states).diff(dim=-1) >= 0).all()


def test_what_a_specialist_draws_does_not_depend_on_the_others(close: CloseHead) -> None:
    few, many = _drawn(close, 2), _drawn(close, 5)
    assert torch.equal(few.down, many.down[:2])
    assert torch.equal(few.out_down, many.out_down[:2])


def test_a_horizon_beyond_the_head_is_refused(close: CloseHead) -> None:
    with pytest.raises(ValueError, match="within the 5 bars"):
        CloseHead(close.head, (1, 6))
