"""Fit a specialist for every symbol of a universe, and keep those that beat the generic forecaster on validation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from toto_ops.forecasting.config import ForecastingConfig, SpecialistConfig
from toto_ops.forecasting.forecaster import Forecaster
from toto_ops.forecasting.quantiles import quantile_loss
from toto_ops.forecasting.series import BarSeries
from toto_ops.forecasting.spans import ForecastingSpans
from toto_ops.forecasting.specialists.adapters import CloseHead, StackedAdapters
from toto_ops.forecasting.specialists.lessons import Bars, Lesson, lesson_of
from toto_ops.forecasting.specialists.specialists import SpecialistRow, Specialists, SpecialistsManifest
from toto_ops.forecasting.specialists.training import train_specialists
from toto_ops.learning.reproducible import reproducible

TOGETHER = 32
"""Symbols trained as one batch: more are no faster, since what one step touches then leaves the processor's cache."""

NUMBERS = 1 << 26
"""Numbers of states that lessons held at once have at most (a quarter of a gigabyte), unless a single one has more."""


def fit_specialists(
    forecaster: Forecaster, series: Sequence[BarSeries], spans: ForecastingSpans, config: ForecastingConfig, seed: int
) -> Specialists:
    """Fit, judge and choose.

    Bars are fitted on in `spans.fit` and judged on in `spans.validation`, where the outcomes over all horizons are known by
    the end of the span. A symbol without such bars in either is served by the generic forecaster, and its row says why.

    Parameters
    ----------
    series
        Of every symbol from its first bar on; bars after `spans.validation` are not read.
    seed
        The same one gives the same specialists, bit for bit.

    Raises
    ------
    ValueError
        If a symbol is given twice.
    FloatingPointError
        If a training diverges; it names the symbol.
    """
    symbols = [one.symbol for one in series]
    if len(set(symbols)) != len(symbols):
        raise ValueError("a symbol has more than one series")
    close = CloseHead(forecaster.head, config.horizons)
    rows: list[SpecialistRow] = []
    kept: list[dict[str, Tensor]] = []
    with reproducible():
        lessons = (lesson_of(one, forecaster.backbone, spans, config.horizons) for one in series)
        for together in _in_turn(lessons):
            judged, adapters = _fit_together(close, together, config.specialists, seed)
            rows += judged
            kept.append(adapters)
    manifest = SpecialistsManifest(
        universe=forecaster.manifest.universe,
        forecaster_identity=forecaster.identity,
        horizons=config.horizons,
        config=config.specialists,
        seed=seed,
        knows_until=max(spans.knows_until, forecaster.manifest.knows_until),
        possibly_knows_until=forecaster.manifest.possibly_knows_until,
        table=tuple(rows),
    )
    stack = StackedAdapters(close, len(manifest.kept), config.specialists.rank)
    if kept:
        stack.load_state_dict({name: torch.cat([part[name] for part in kept]) for name in stack.state_dict()})
    return Specialists(forecaster, stack.requires_grad_(requires_grad=False), manifest)


def _in_turn(lessons: Iterable[Lesson]) -> Iterator[list[Lesson]]:
    """Lessons in batches that fit into memory."""
    together: list[Lesson] = []
    for lesson in lessons:
        full = len(together) == TOGETHER or sum(held.numbers for held in together) + lesson.numbers > NUMBERS
        if together and full:
            yield together
            together = []
        together.append(lesson)
    if together:
        yield together


def _fit_together(
    close: CloseHead, together: Sequence[Lesson], config: SpecialistConfig, seed: int
) -> tuple[list[SpecialistRow], dict[str, Tensor]]:
    """The rows of some symbols, and the adapters of those that are kept, in the order of their rows."""
    taught = [lesson for lesson in together if len(lesson.fit) and len(lesson.validation)]
    adapters = train_specialists(close, taught, config, seed)
    place = {lesson.symbol: row for row, lesson in enumerate(taught)}
    with torch.no_grad():
        generic = {lesson.symbol: _loss(close.quantiles(lesson.validation.states), lesson.validation) for lesson in together}
        special = {
            lesson.symbol: _loss(adapters(close, lesson.validation.states.unsqueeze(0), [row])[0], lesson.validation)
            for row, lesson in enumerate(taught)
        }
    rows = [_judged(lesson, generic[lesson.symbol], special.get(lesson.symbol), config.margin) for lesson in together]
    kept = [place[row.symbol] for row in rows if row.kept]
    return rows, {name: tensor[kept] for name, tensor in adapters.state_dict().items()}


def _judged(lesson: Lesson, generic: float | None, special: float | None, margin: float) -> SpecialistRow:
    kept, reason = _verdict(lesson, generic, special, margin)
    return SpecialistRow(
        symbol=lesson.symbol,
        fit_bars=len(lesson.fit),
        validation_bars=len(lesson.validation),
        generic_loss=generic,
        specialist_loss=special,
        kept=kept,
        reason=reason,
    )


def _verdict(lesson: Lesson, generic: float | None, special: float | None, margin: float) -> tuple[bool, str]:
    """Whether the specialist is kept, and why."""
    if generic is None or special is None:
        purpose = "fit on" if not len(lesson.fit) else "be judged by"
        return False, f"no bars to {purpose}: none has both a state and an outcome within the span"
    if special < generic * (1.0 - margin):
        return True, "beats the generic forecaster on validation"
    asked = f" by more than {margin:.2%}" if margin else ""
    return False, f"does not beat the generic forecaster on validation{asked}"


def _loss(quantiles: Tensor, bars: Bars) -> float | None:
    if not len(bars):
        return None
    return float(quantile_loss(quantiles, bars.outcomes).double().mean())
