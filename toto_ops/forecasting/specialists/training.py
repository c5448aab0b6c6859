"""Training of the specialists of many symbols as one batch: the generic forecaster is frozen, each adapter learns alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from toto_ops.forecasting.config import SpecialistConfig
from toto_ops.forecasting.quantiles import quantile_loss
from toto_ops.forecasting.specialists.adapters import CloseHead, StackedAdapters
from toto_ops.forecasting.specialists.lessons import Lesson
from toto_ops.learning.schedules import half_cosine


def train_specialists(close: CloseHead, lessons: Sequence[Lesson], config: SpecialistConfig, seed: int) -> StackedAdapters:
    """Specialists of `lessons`, in that order, each as if it were trained alone.

    The loss is the sum of the specialists' own, AdamW treats every weight by itself, and the bars of each step, drawn with
    replacement, are drawn by symbol: a specialist is a function of its own bars, its symbol and the seed.

    Parameters
    ----------
    lessons
        Each with at least one bar to fit on.

    Raises
    ------
    FloatingPointError
        If a specialist's loss stops being a finite number; it names the symbol.
    """
    frozen = close.frozen()
    generators = [symbol_generator(lesson.symbol, seed) for lesson in lessons]
    adapters = StackedAdapters(frozen, len(lessons), config.rank)
    adapters.draw(generators)
    if not lessons:
        return adapters
    states = torch.cat([lesson.fit.states for lesson in lessons])
    outcomes = torch.cat([lesson.fit.outcomes for lesson in lessons])
    optimizer = torch.optim.AdamW(adapters.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    for step, drawn in enumerate(_draws(lessons, generators, config)):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * half_cosine(step, config.steps)
        losses = quantile_loss(adapters(frozen, _rows(states, drawn)), _rows(outcomes, drawn)).mean(dim=(1, 2, 3))
        optimizer.zero_grad()
        losses.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    _check_finite(adapters, lessons)
    return adapters


def symbol_generator(symbol: str, seed: int) -> np.random.Generator:
    """What a specialist draws from: first its projections, then the bars of its steps."""
    name = int.from_bytes(hashlib.sha256(symbol.encode()).digest()[:8], "little")
    return np.random.default_rng([seed, name])


def _draws(lessons: Sequence[Lesson], generators: Sequence[np.random.Generator], config: SpecialistConfig) -> Tensor:
    """`[steps, S, batch]` int64: places of the bars of each step among those of all lessons, one after the other."""
    first, drawn = 0, []
    for lesson, generator in zip(lessons, generators, strict=True):
        drawn.append(first + generator.integers(len(lesson.fit), size=(config.steps, config.batch)))
        first += len(lesson.fit)
    return torch.from_numpy(np.stack(drawn, axis=1))


def _rows(of: Tensor, drawn: Tensor) -> Tensor:
    # Indexing with `drawn` itself says the same and takes five times as long.
    return of.index_select(0, drawn.flatten()).reshape(*drawn.shape, -1)


def _check_finite(adapters: StackedAdapters, lessons: Sequence[Lesson]) -> None:
    for row, lesson in enumerate(lessons):
        if not all(bool(parameter[row].isfinite().all()) for parameter in adapters.parameters()):
            raise FloatingPointError(f"the specialist of {lesson.symbol} diverged: lower specialists.learning_rate")
