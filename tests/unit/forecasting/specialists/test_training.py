"""Training: the batch of all specialists is as if each were trained alone, step by step."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from tests.unit.forecasting.specialists.specialist_samples import CONFIG, SPANS, forecaster_of, trending, wandering
from toto_ops.forecasting.head import QuantileHead
from toto_ops.forecasting.quantiles import quantile_loss
from toto_ops.forecasting.series import CLOSE, BarSeries
from toto_ops.forecasting.specialists.adapters import CloseHead, StackedAdapters
from toto_ops.forecasting.specialists.lessons import Bars, Lesson, lesson_of
from toto_ops.forecasting.specialists.training import symbol_generator, train_specialists

FORECASTER = forecaster_of()
CLOSE_HEAD = CloseHead(FORECASTER.head, CONFIG.horizons)
SPECIALISTS = CONFIG.specialists
SERIES = (trending("A", seed=1), trending("B", 120, seed=2, drift=-0.03), wandering("C", seed=3))


def lesson(series: BarSeries) -> Lesson:
    return lesson_of(series, FORECASTER.backbone, SPANS, CONFIG.horizons)


LESSONS = [lesson(series) for series in SERIES]


def trained(*lessons: Lesson, seed: int = 0) -> StackedAdapters:
    return train_specialists(CLOSE_HEAD, lessons, SPECIALISTS, seed)


def trained_alone(one: Lesson, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """The reference: one head, whose weights are added to by products of matrices of this symbol's own.

    Nothing of it is stacked: the whole head answers, and all but the close over the horizons is thrown away.
    """
    head = copy.deepcopy(FORECASTER.head).requires_grad_(requires_grad=False)
    generator = symbol_generator(one.symbol, seed)
    width, hidden = head.hidden.in_features, head.hidden.out_features
    down, out_down = (
        torch.from_numpy(generator.standard_normal((size, SPECIALISTS.rank), dtype=np.float32) / np.float32(math.sqrt(size)))
        for size in (width, hidden)
    )
    up, out_up = torch.zeros(SPECIALISTS.rank, hidden), torch.zeros(SPECIALISTS.rank, len(CONFIG.horizons) * 9)
    adapter = tuple(part.requires_grad_() for part in (down, up, out_down, out_up))
    optimizer = torch.optim.AdamW(adapter, weight_decay=SPECIALISTS.weight_decay)
    draws = torch.from_numpy(generator.integers(len(one.fit), size=(SPECIALISTS.steps, SPECIALISTS.batch)))
    for step in range(SPECIALISTS.steps):
        optimizer.param_groups[0]["lr"] = SPECIALISTS.learning_rate * (1 + math.cos(math.pi * step / SPECIALISTS.steps)) / 2
        quantiles = _adapted(head, adapter, one.fit.states[draws[step]])
        optimizer.zero_grad()
        quantile_loss(quantiles, one.fit.outcomes[draws[step]]).mean().backward()
        optimizer.step()
    return adapter


def _adapted(head: QuantileHead, adapter: tuple[torch.Tensor, ...], states: torch.Tensor) -> torch.Tensor:
    down, up, out_down, out_up = adapter
    normed = head.norm(states)
    hidden = torch.nn.functional.gelu(head.hidden(normed) + normed @ down @ up)
    outputs = head.out(hidden).reshape(len(states), -1, head.horizon, 9)
    change = (hidden @ out_down @ out_up).reshape(len(states), len(CONFIG.horizons), 9)
    columns = [horizon - 1 for horizon in CONFIG.horizons]
    of_close = outputs[:, CLOSE].index_add(1, torch.tensor(columns), change)
    outputs = torch.cat((outputs[:, :CLOSE], of_close.unsqueeze(1), outputs[:, CLOSE + 1 :]), dim=1)
    return head.quantiles(outputs.flatten(1))[:, CLOSE, columns]


def test_the_batch_agrees_with_a_loop_over_the_symbols() -> None:
    together = trained(*LESSONS)
    for row, one in enumerate(LESSONS):
        for batched, alone in zip(together.parameters(), trained_alone(one), strict=True):
            torch.testing.assert_close(batched[row], alone, rtol=1e-3, atol=1e-4)


def test_specialists_do_not_influence_one_another() -> None:
    scrambled = Bars(LESSONS[0].fit.states.flip(0), 10 * LESSONS[0].fit.outcomes)
    before, later = trained(*LESSONS), trained(Lesson("A", scrambled, LESSONS[0].validation), *LESSONS[1:])
    for one, other in zip(before.parameters(), later.parameters(), strict=True):
        assert torch.equal(one[1:], other[1:])
        assert not torch.allclose(one[0], other[0], atol=0.01)


def test_who_else_is_trained_and_in_which_order_makes_no_difference() -> None:
    whole, few = trained(*LESSONS), trained(LESSONS[2], LESSONS[0])
    for one, other in zip(whole.parameters(), few.parameters(), strict=True):
        torch.testing.assert_close(other, one[[2, 0]], rtol=1e-3, atol=1e-4)


def test_the_same_seed_gives_the_same_weights_bit_for_bit_and_another_others() -> None:
    first, again, other = trained(*LESSONS), trained(*LESSONS), trained(*LESSONS, seed=1)
    assert all(torch.equal(one, two) for one, two in zip(first.parameters(), again.parameters(), strict=True))
    assert not any(torch.equal(one, two) for one, two in zip(first.parameters(), other.parameters(), strict=True))


def test_the_generic_forecaster_is_left_as_it_was() -> None:
    before = copy.deepcopy(FORECASTER.head.state_dict())
    trained(*LESSONS)
    assert all(torch.equal(tensor, before[name]) for name, tensor in FORECASTER.head.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in FORECASTER.head.parameters())


def test_a_specialist_learns_what_its_symbol_does() -> None:
    """A rise and a fall of three standard deviations a bar are told apart by specialists of one and the same forecaster."""
    medians = trained(*LESSONS)(CLOSE_HEAD, torch.stack([one.validation.states[:1] for one in LESSONS[::2]]), [0, 2])[..., 4]
    assert medians[0, 0, 0] > 0.5 > abs(medians[1, 0, 0])


def test_nobody_to_teach_gives_an_empty_stack() -> None:
    assert len(trained()) == 0


def test_a_training_that_diverges_names_the_symbol() -> None:
    far = SPECIALISTS.model_copy(update={"learning_rate": 1e37})
    with pytest.raises(FloatingPointError, match="specialist of A diverged"):
        train_specialists(CLOSE_HEAD, LESSONS, far, 0)
