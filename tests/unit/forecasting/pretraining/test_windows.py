"""Windows: which bars they hold, that they come in a repeatable order, and that no more is read than they need."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.forecasting.pretraining.bar_sources import DAY, START, bars_of, in_memory, in_parquet, span
from toto_ops.errors import BarDataError, StorageError
from toto_ops.forecasting.pretraining import windows as windows_module
from toto_ops.forecasting.pretraining.series_source import ParquetSeries, SeriesInMemory, SeriesSource
from toto_ops.forecasting.pretraining.windows import (
    Batch,
    Window,
    WindowShape,
    adjoining_windows,
    batches,
    overlapping_windows,
)
from toto_ops.forecasting.series import BarSeries, series_of
from toto_ops.market.schema import MOMENT

SHAPE = WindowShape(minimum_bars=10, counted=20, stride=8, horizon=3)


class Watched:
    """A source that remembers how many bars were asked for at once."""

    def __init__(self, source: SeriesSource) -> None:
        self._source = source
        self.symbols = source.symbols
        self.rows = source.rows
        self.asked: list[int] = []

    def read(self, symbol: str, rows: range) -> BarSeries:
        self.asked.append(len(rows))
        return self._source.read(symbol, rows)


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        a.windows == b.windows and torch.equal(a.x.nan_to_num(), b.x.nan_to_num()) and torch.equal(a.counted, b.counted)
        for a, b in zip(one, other, strict=True)
    )


def test_overlapping_windows_begin_a_stride_apart_and_end_with_the_span() -> None:
    source = in_memory({"A": bars_of(200)})
    found = overlapping_windows(source, span(20, 99), SHAPE)
    assert [window.first for window in found] == [20, 28, 36, 44, 52, 60, 68]
    assert {window.stop - window.first for window in found} == {SHAPE.length} == {32}
    assert found[-1].stop == 100
    assert all(window.counted == range(window.first + 9, window.stop) for window in found)


def test_a_symbol_shorter_than_a_window_has_a_shorter_one_and_with_too_few_bars_none() -> None:
    source = in_memory({"SHORT": bars_of(SHAPE.minimum_bars + 1), "SHORTER": bars_of(SHAPE.minimum_bars)})
    assert overlapping_windows(source, span(0, 99), SHAPE) == (Window("SHORT", 0, 11, range(9, 11)),)
    assert adjoining_windows(source, span(0, 99), START, SHAPE) == (Window("SHORT", 0, 11, range(9, 11)),)


@settings(max_examples=40)
@given(first=st.integers(0, 60), last=st.integers(61, 119), earliest=st.integers(0, 60))
def test_adjoining_windows_count_each_bar_of_a_span_once_and_look_no_further_than_it(
    first: int, last: int, earliest: int
) -> None:
    source = in_memory({"A": bars_of(120)})
    found = adjoining_windows(source, span(first, last), START + earliest * DAY, SHAPE)
    counted = Counter(bar for window in found for bar in window.counted)
    begin = max(first, earliest + SHAPE.minimum_bars - 1)
    # The last bar has no outcome within the span; it comes along where its window holds it.
    assert set(counted.values()) <= {1}
    assert set(range(begin, last)) <= counted.keys() <= set(range(begin, last + 1))
    assert all(earliest <= window.first and window.stop <= last + 1 for window in found)
    assert all(window.stop - window.counted.stop == min(SHAPE.horizon, last + 1 - window.counted.stop) for window in found)


@settings(max_examples=25)
@given(lengths=st.lists(st.integers(5, 130), min_size=1, max_size=4), seed=st.integers(0, 3), size=st.integers(1, 5))
def test_parquet_streams_the_same_batches_as_memory(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], seed: int, size: int
) -> None:
    tables = {f"S{number}": bars_of(length, number) for number, length in enumerate(lengths)}
    sources = in_memory(tables), in_parquet(tables, tmp_path_factory.mktemp("bars"))
    wanted = span(3, 110)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(windows_module, "BLOCK_BARS", 64)
        patched.setattr(windows_module, "HELD_BARS", 192)
        for order in (None, seed):
            memory, parquet = (
                list(batches(source, overlapping_windows(source, wanted, SHAPE), size, order)) for source in sources
            )
            assert same(memory, parquet)


def test_every_window_comes_once_in_an_order_that_depends_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_module, "BLOCK_BARS", 64)
    monkeypatch.setattr(windows_module, "HELD_BARS", 192)
    source = in_memory({"A": bars_of(300), "B": bars_of(200, 1)})
    found = overlapping_windows(source, span(0, 299), SHAPE)
    first, again, other = (list(batches(source, found, 4, order)) for order in (7, 7, 8))
    assert same(first, again)
    assert not same(first, other)
    for drawn in (first, other):
        assert sorted((window.symbol, window.first) for batch in drawn for window in batch.windows) == sorted(
            (window.symbol, window.first) for window in found
        )
        assert {len(batch.windows) for batch in drawn[:-1]} == {4}


def test_a_batch_holds_the_bars_of_its_windows_and_nan_after_shorter_ones() -> None:
    tables = {"A": bars_of(40), "B": bars_of(15, 1)}
    source = in_memory(tables)
    (batch,) = batches(source, overlapping_windows(source, span(0, 31), SHAPE), 8)
    assert [window.symbol for window in batch.windows] == ["A", "B"]
    assert batch.x.shape == (2, 3, 32)
    for row, (symbol, bars) in enumerate(tables.items()):
        values = torch.from_numpy(series_of(symbol, bars).values[:32].T)
        torch.testing.assert_close(batch.x[row, :, : values.shape[1]], values, rtol=0, atol=0)
    assert batch.x[1, :, 15:].isnan().all()
    assert batch.counted[0].nonzero().squeeze().tolist() == list(range(9, 32))
    assert batch.counted[1].nonzero().squeeze().tolist() == list(range(9, 15))


@pytest.mark.parametrize("order", [None, 0])
def test_only_so_many_bars_are_held_at_once(monkeypatch: pytest.MonkeyPatch, order: int | None) -> None:
    monkeypatch.setattr(windows_module, "BLOCK_BARS", 64)
    monkeypatch.setattr(windows_module, "HELD_BARS", 192)
    source = Watched(in_memory({f"S{number}": bars_of(200, number) for number in range(4)}))
    stream = batches(source, overlapping_windows(source, span(0, 199), SHAPE), 1, order)
    next(stream)
    assert max(source.asked) <= 64
    assert sum(source.asked) <= 192
    assert sum(1 for _ in stream) > 40
    assert max(source.asked) <= 64


STREAM = """
import re, sys
from datetime import UTC, datetime
from pathlib import Path
from toto_ops.forecasting.pretraining.series_source import ParquetSeries
from toto_ops.forecasting.pretraining.windows import WindowShape, batches, overlapping_windows
from toto_ops.learning.splits import Span

def stream(path):
    source = ParquetSeries({"A": Path(path)})
    span = Span(after=datetime(2000, 1, 1, tzinfo=UTC), until=datetime(2100, 1, 1, tzinfo=UTC))
    windows = overlapping_windows(source, span, WindowShape(minimum_bars=48, counted=1024, stride=2048, horizon=20))
    for batch in batches(source, windows, 16, order=0):
        pass
    # Not getrusage: its peak is that of the parent where that was larger.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

before = stream(sys.argv[1])
print(stream(sys.argv[2]) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from Linux's /proc")
def test_streaming_two_million_bars_takes_no_more_memory_than_streaming_a_tenth_of_them(tmp_path: Path) -> None:
    """All of them would be 112 MB, and the columns that are read 80 MB."""
    minutes = pl.int_range(2_000_000) * pl.duration(minutes=1)
    many = pl.concat([bars_of(1000)] * 2000).with_columns(close_time=pl.lit(START).cast(MOMENT) + minutes)
    for name, table in (("some", many.head(200_000)), ("all", many)):
        table.write_parquet(tmp_path / name, compression="uncompressed", row_group_size=20_000)
    done = subprocess.run(
        [sys.executable, "-c", STREAM, str(tmp_path / "some"), str(tmp_path / "all")], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 30


def test_rows_of_a_span_are_those_that_close_in_it(tmp_path: Path) -> None:
    tables = {"B": bars_of(50), "A": bars_of(20, 1)}
    for source in (in_memory(tables), in_parquet(tables, tmp_path)):
        assert source.symbols == ("A", "B")
        assert source.rows("B", span(10, 30)) == range(10, 31)
        assert source.rows("A", span(10, 30)) == range(10, 20)
        assert source.rows("A", span(30, 40)) == range(20, 20)


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"not bars")
    source = ParquetSeries({"BAD": tmp_path / "bad.parquet", "GONE": tmp_path / "gone.parquet"})
    for symbol in source.symbols:
        with pytest.raises(StorageError, match=rf"{symbol.lower()}\.parquet: bars of {symbol} cannot be read"):
            source.rows(symbol, span(0, 9))
        with pytest.raises(StorageError, match=f"bars of {symbol} cannot be read"):
            source.read(symbol, range(5))


def test_a_bar_without_a_price_is_named(tmp_path: Path) -> None:
    broken = bars_of(50).with_columns(close=pl.when(pl.int_range(pl.len()) == 30).then(None).otherwise("close"))
    source = in_parquet({"A": broken}, tmp_path)
    assert len(source.read("A", range(30))) == 30
    with pytest.raises(BarDataError, match="2020-02-01"):
        source.read("A", range(20, 40))


def test_two_series_of_one_symbol_are_refused() -> None:
    series = series_of("A", bars_of(5))
    with pytest.raises(ValueError, match="more than one"):
        SeriesInMemory([series, series])
