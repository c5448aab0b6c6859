"""Which stretches of bars are learnt from and scored on, and how they are streamed in an order a seed can repeat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from toto_ops.forecasting.pretraining.series_source import SeriesSource
from toto_ops.forecasting.series import BarSeries, stacked
from toto_ops.learning.splits import Span

BLOCK_BARS = 8_192
"""Bars of one symbol that are read in one go, where a window is not longer."""

HELD_BARS = 131_072
"""Bars of all symbols that are held at once and whose windows are shuffled among each other."""


@dataclass(frozen=True)
class Window:
    """Consecutive bars of a symbol, counted from its first one.

    Attributes
    ----------
    first, stop
        Its bars.
    counted
        Those whose forecasts count, where the outcome is among the bars of the window: others lead in, or are outcomes.
    """

    symbol: str
    first: int
    stop: int
    counted: range


@dataclass(frozen=True)
class WindowShape:
    """How long windows are, in bars.

    Attributes
    ----------
    minimum_bars
        Bars up to and with the first one whose forecast counts.
    counted
        Bars whose forecasts count.
    stride
        Bars between the beginnings of two windows that are learnt from.
    horizon
        Bars the forecasts look ahead.
    """

    minimum_bars: int
    counted: int
    stride: int
    horizon: int

    @property
    def length(self) -> int:
        """Lead-in, bars that count, and what comes of the last of them."""
        return self.minimum_bars - 1 + self.counted + self.horizon


@dataclass(frozen=True)
class Batch:
    """Windows side by side.

    Attributes
    ----------
    x
        `[B, V, T]` float64 as `stacked` makes it.
    counted
        `[B, T]` bool bars whose forecasts count.
    """

    windows: tuple[Window, ...]
    x: Tensor
    counted: Tensor


def overlapping_windows(source: SeriesSource, span: Span, shape: WindowShape) -> tuple[Window, ...]:
    """Windows of equal length that begin `stride` bars apart, wholly within a span; the last one of a symbol ends with it.

    A symbol with fewer bars than one window has a shorter one; with too few for a single forecast it has none.
    """
    found = []
    for symbol in source.symbols:
        rows = source.rows(symbol, span)
        if len(rows) <= shape.minimum_bars:
            continue
        latest = max(rows.start, rows.stop - shape.length)
        firsts = (*range(rows.start, latest, shape.stride), latest)
        stops = (min(first + shape.length, rows.stop) for first in firsts)
        found += [
            Window(symbol, first, stop, range(first + shape.minimum_bars - 1, stop))
            for first, stop in zip(firsts, stops, strict=True)
        ]
    return tuple(found)


def adjoining_windows(source: SeriesSource, span: Span, earliest: datetime, shape: WindowShape) -> tuple[Window, ...]:
    """Windows in which each bar of a span counts once, seen with the past that the last bar of a whole window has.

    They lead in with bars that close after `earliest`, which may be before the span; outcomes end with it.
    """
    found = []
    for symbol in source.symbols:
        rows = source.rows(symbol, span)
        oldest = source.rows(symbol, Span(after=earliest, until=span.until)).start
        for begin in range(max(rows.start, oldest + shape.minimum_bars - 1), rows.stop - 1, shape.counted):
            first = max(oldest, begin - shape.minimum_bars + 1 - shape.counted)
            end = min(begin + shape.counted, rows.stop)
            found.append(Window(symbol, first, min(end + shape.horizon, rows.stop), range(begin, end)))
    return tuple(found)


def batches(source: SeriesSource, windows: Sequence[Window], size: int, order: int | None = None) -> Iterator[Batch]:
    """Windows with their bars, `size` at a time.

    Parameters
    ----------
    order
        Seed of the order they come in; None leaves them in theirs.
    """
    streamed = _streamed(source, _blocks(windows), order)
    while batch := tuple(islice(streamed, size)):
        chosen = tuple(window for window, _ in batch)
        x = stacked([series for _, series in batch])
        bar = torch.arange(x.shape[-1]) + torch.tensor([[window.first] for window in chosen])
        begin, end = torch.tensor([(window.counted.start, window.counted.stop) for window in chosen]).unsqueeze(-1).unbind(dim=1)
        yield Batch(chosen, x, (bar >= begin) & (bar < end))


def _blocks(windows: Sequence[Window]) -> list[list[Window]]:
    """Windows that follow each other, in blocks that are read in one go."""
    blocks: list[list[Window]] = []
    for window in windows:
        block = blocks[-1] if blocks else None
        if block and block[0].symbol == window.symbol and 0 <= window.stop - block[0].first <= BLOCK_BARS:
            block.append(window)
        else:
            blocks.append([window])
    return blocks


def _streamed(source: SeriesSource, blocks: list[list[Window]], order: int | None) -> Iterator[tuple[Window, BarSeries]]:
    """Blocks are read in the drawn order, a few at a time; windows are drawn from those that are held."""
    rng = None if order is None else np.random.default_rng(order)
    waiting = iter(blocks if rng is None else [blocks[place] for place in rng.permutation(len(blocks))])
    while held := list(_taken(waiting)):
        read = [(window, series) for block in held for window, series in _read(source, block)]
        yield from read if rng is None else (read[place] for place in rng.permutation(len(read)))


def _taken(waiting: Iterator[list[Window]]) -> Iterator[list[Window]]:
    """The next blocks, up to `HELD_BARS`."""
    bars = 0
    while bars + BLOCK_BARS <= HELD_BARS and (block := next(waiting, None)):
        bars += max(BLOCK_BARS, block[-1].stop - block[0].first)
        yield block


def _read(source: SeriesSource, block: list[Window]) -> Iterator[tuple[Window, BarSeries]]:
    begin = block[0].first
    series = source.read(block[0].symbol, range(begin, max(window.stop for window in block)))
    for window in block:
        yield window, series.take(slice(window.first - begin, window.stop - begin))
