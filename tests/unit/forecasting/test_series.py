"""Bars as series: what is taken from them, what is refused, and where series of other lengths end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.forecasting.series_samples import ended_after, wandering_bars
from toto_ops.errors import BarDataError
from toto_ops.forecasting.series import CLOSE, VARIATES, BarSeries, lengths_of, newest, series_of, stacked
from toto_ops.market.schema import BAR_SCHEMA

START = datetime(2024, 1, 1, tzinfo=UTC)


def bars_with(**columns: list[float]) -> pl.DataFrame:
    """Five bars of a price of 100 that ranges by a tenth, with some columns as given."""
    plain = {"open": [100.0] * 5, "high": [105.0] * 5, "low": [95.0] * 5, "close": [100.0] * 5, "volume": [10.0] * 5}
    opens = [START + timedelta(days=day) for day in range(5)]
    times = {"open_time": opens, "close_time": [moment + timedelta(days=1) for moment in opens]}
    return pl.DataFrame(times | plain | columns, schema=BAR_SCHEMA)


def test_takes_logarithms_of_close_range_and_volume() -> None:
    series = series_of("AAA", bars_with(close=[100.0, 101.0, 99.0, 98.0, 104.0], volume=[0.0, 1.0, 2.0, 3.0, 4.0]))
    assert series.symbol == "AAA"
    assert len(series) == 5
    np.testing.assert_allclose(series.values[:, CLOSE], np.log([100.0, 101.0, 99.0, 98.0, 104.0]))
    np.testing.assert_allclose(series.values[:, VARIATES.index("range")], np.log(105.0 / 95.0))
    np.testing.assert_allclose(series.values[:, VARIATES.index("volume")], np.log([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert series.close_time.dtype == np.dtype("datetime64[us]")
    assert series.close_time[0] == np.datetime64("2024-01-02T00:00")


@pytest.mark.parametrize(
    "broken", [{"close": 0.0}, {"close": -1.0}, {"low": 0.0}, {"high": float("nan")}, {"volume": -2.0}, {"volume": float("inf")}]
)
def test_refuses_what_has_no_logarithm_and_names_the_bar(broken: dict[str, float]) -> None:
    (name, value), *_ = broken.items()
    column = bars_with()[name].to_list()
    column[3] = value
    with pytest.raises(BarDataError, match=rf"AAA: bar that closed 2024-01-05.*{name} {value}.*Remedy: mend or remove this bar"):
        series_of("AAA", bars_with(**{name: column}))


def test_a_missing_value_is_refused() -> None:
    missing = bars_with().with_columns(pl.when(pl.int_range(5) != 2).then("close").alias("close"))
    with pytest.raises(BarDataError, match="2024-01-04"):
        series_of("AAA", missing)


def test_until_a_moment_means_closed_by_then() -> None:
    series = series_of("AAA", bars_with())
    assert len(series.until(START + timedelta(days=2))) == 2
    assert len(series.until(START + timedelta(days=2, seconds=-1))) == 1
    assert len(series.until(START)) == 0
    assert series.take(slice(1, 3)).close_time.tolist() == series.close_time[1:3].tolist()


def test_values_of_another_shape_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="AAA: 2 bars have values of shape"):
        BarSeries("AAA", np.zeros(2, "datetime64[us]"), np.zeros((3, 3)))


def test_series_are_stacked_from_their_beginnings() -> None:
    long, short = series_of("AAA", bars_with()), series_of("BBB", bars_with()).take(slice(0, 2))
    x = stacked([long, short])
    assert x.shape == (2, len(VARIATES), 5)
    assert x.dtype == torch.float64
    np.testing.assert_array_equal(x[0].numpy(), long.values.T)
    np.testing.assert_array_equal(x[1, :, :2].numpy(), short.values.T)
    assert torch.isnan(x[1, :, 2:]).all()
    assert lengths_of(x).tolist() == [5, 2]


def test_nothing_stacked_is_no_series_of_no_bars() -> None:
    assert stacked([]).shape == (0, len(VARIATES), 0)
    assert lengths_of(stacked([])).tolist() == []
    nothing = series_of("AAA", bars_with()).take(slice(0, 0))
    assert lengths_of(stacked([nothing, nothing])).tolist() == [0, 0]
    assert newest(stacked([nothing]), 3).shape == (1, len(VARIATES), 0)


@given(ends=st.lists(st.integers(0, 9), min_size=1, max_size=4))
def test_a_length_is_where_a_series_ends(ends: list[int]) -> None:
    x = ended_after(wandering_bars(9, series=len(ends)), *ends)
    assert lengths_of(x).tolist() == ends


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("variate", range(len(VARIATES)))
def test_a_hole_in_any_variate_is_refused_and_named(variate: int, value: float) -> None:
    x = ended_after(wandering_bars(9, series=3), 9, 6, 9)
    x[1, variate, 4] = value
    with pytest.raises(BarDataError, match="value 4 of series 1 is not a finite number"):
        lengths_of(x)


def test_a_bar_that_is_wholly_missing_within_a_series_is_refused() -> None:
    x = wandering_bars(9)
    x[0, :, 3] = torch.nan
    with pytest.raises(BarDataError, match="value 3 of series 0"):
        lengths_of(x)


@given(ends=st.lists(st.integers(0, 9), min_size=1, max_size=4), bars=st.integers(0, 12))
def test_the_newest_bars_are_the_tail_of_each(ends: list[int], bars: int) -> None:
    x = wandering_bars(9, series=len(ends))
    found = newest(ended_after(x, *ends), bars)
    assert found.shape == (len(ends), len(VARIATES), min(bars, 9))
    for row, end in enumerate(ends):
        tail = x[row, :, max(0, end - min(bars, 9)) : end]
        assert torch.equal(found[row, :, : tail.shape[-1]], tail)
        assert torch.isnan(found[row, :, tail.shape[-1] :]).all()
