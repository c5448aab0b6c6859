"""The quantile head: what it says untrained, that its quantiles never cross, and that it can learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from toto_ops.forecasting.head import QuantileHead
from toto_ops.forecasting.quantiles import LEVELS, MEDIAN, NORMAL_QUANTILES, quantile_loss
from toto_ops.forecasting.series import VARIATES


def made(seed: int = 0) -> QuantileHead:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return QuantileHead(width=6, hidden=8, horizon=4)


def states(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, 6, generator=torch.Generator().manual_seed(seed))


def test_untrained_it_says_what_a_random_walk_would() -> None:
    quantiles = made()(states(2, 5))
    assert quantiles.shape == (2, 5, len(VARIATES), 4, len(LEVELS))
    torch.testing.assert_close(quantiles, torch.tensor(NORMAL_QUANTILES).expand_as(quantiles), rtol=1e-5, atol=1e-6)


@given(outputs=st.lists(st.floats(-30, 30, width=32), min_size=len(LEVELS), max_size=len(LEVELS)))
def test_quantiles_are_a_median_and_steps_away_from_it(outputs: list[float]) -> None:
    one = torch.tensor(outputs, dtype=torch.float64)
    found = made().quantiles(one.repeat(len(VARIATES) * 4))[0, 0].numpy()
    steps = np.logaddexp(0.0, outputs)
    expected = [outputs[MEDIAN]] * len(LEVELS)
    for place in range(len(LEVELS)):
        expected[place] += steps[MEDIAN + 1 : place + 1].sum() - steps[place:MEDIAN].sum()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert (np.diff(found) >= 0).all()


def test_each_variate_and_horizon_has_quantiles_of_its_own() -> None:
    head = made()
    torch.nn.init.normal_(head.out.weight, generator=torch.Generator().manual_seed(2))
    quantiles = head(states(1))[0]
    assert len(torch.unique(quantiles)) == quantiles.numel()
    assert (quantiles.diff(dim=-1) >= 0).all()


def test_it_is_its_two_parts_after_each_other() -> None:
    head = made()
    torch.nn.init.normal_(head.out.weight, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(head.quantiles(head.out(head.features(states(3)))), head(states(3)))
    assert head.features(states(3)).shape == (3, 8)


def test_a_state_that_is_not_known_has_no_forecast() -> None:
    asked = states(1, 3)
    asked[0, 1] = torch.nan
    quantiles = made()(asked)
    assert torch.isnan(quantiles[0, 1]).all()
    assert torch.isfinite(quantiles[0, [0, 2]]).all()


@pytest.mark.parametrize("shift", [-2.0, 1.5])
def test_trained_by_the_quantile_loss_it_finds_the_quantiles_of_what_comes(shift: float) -> None:
    head, generator = made(), torch.Generator().manual_seed(3)
    steps = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(150):
        asked = torch.randn(64, 6, generator=generator)
        outcome = shift + 0.5 * torch.randn(64, len(VARIATES), 4, generator=generator)
        steps.zero_grad()
        quantile_loss(head(asked), outcome).mean().backward()
        steps.step()
    expected = shift + 0.5 * torch.tensor(NORMAL_QUANTILES)
    found = head(torch.randn(500, 6, generator=generator)).detach().mean(dim=(0, 1, 2))
    torch.testing.assert_close(found, expected, rtol=0, atol=0.12)
