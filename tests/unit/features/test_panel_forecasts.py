"""Attaching forecasts to a panel: they stand where the bar does, and a bar without one is decided on by nobody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.serving.market_samples import panel as sample
from toto_ops.errors import InsufficientDataError
from toto_ops.features.moments import to_aware
from toto_ops.features.panel import Panel
from toto_ops.features.panel_builder import load_panel, save_panel
from toto_ops.features.panel_columns import panel_of_symbols
from toto_ops.features.panel_forecasts import panel_with_forecasts

NAMES = ("forecast_1_q50", "forecast_1_up")
PLAIN = sample()
"""Three symbols over ten bars, the last of which ended after seven."""


def told(width: int) -> NDArray[np.float32]:
    """A number of its own for every row, symbol and column."""
    return 1 + np.arange(PLAIN.mask.size * width, dtype=np.float32).reshape(*PLAIN.mask.shape, width)


def attached(forecast: NDArray[np.float32] | None = None, embedding: NDArray[np.float32] | None = None) -> Panel:
    return panel_with_forecasts(
        PLAIN, NAMES, told(2) if forecast is None else forecast, told(4) if embedding is None else embedding
    )


def test_every_bar_has_its_own_and_what_is_masked_has_none() -> None:
    panel = attached()
    np.testing.assert_array_equal(panel.mask, PLAIN.mask)
    assert panel.forecast_names == NAMES
    for values, given in ((panel.forecast, told(2)), (panel.embedding, told(4))):
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values[PLAIN.mask], given[PLAIN.mask])
        assert not values[~PLAIN.mask].any()


@pytest.mark.parametrize("unknown", ["forecast", "embedding"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bar_of_which_a_part_is_unknown_is_masked(unknown: str, value: float) -> None:
    forecast, embedding = told(2), told(4)
    {"forecast": forecast, "embedding": embedding}[unknown][3, 1, 1] = value
    panel = attached(forecast, embedding)
    expected = PLAIN.mask.copy()
    expected[3, 1] = False
    np.testing.assert_array_equal(panel.mask, expected)
    assert PLAIN.features[3, 1].any()
    assert not panel.features[3, 1].any()
    assert not panel.forecast[3, 1].any()
    assert not panel.embedding[3, 1].any()
    assert np.isnan(panel.close[3, 1])
    assert panel.tradable[3, 1], "orders still fill at its open"
    np.testing.assert_array_equal(panel.features[expected], PLAIN.features[expected])


def test_what_stands_where_the_panel_is_masked_is_not_looked_at() -> None:
    forecast = told(2)
    forecast[~PLAIN.mask] = np.nan
    np.testing.assert_array_equal(attached(forecast).mask, PLAIN.mask)


def test_a_market_of_which_nothing_is_known_is_refused() -> None:
    with pytest.raises(InsufficientDataError, match="no bar of any symbol has a forecast and an embedding"):
        attached(embedding=np.full_like(told(4), np.nan))


def test_those_of_other_rows_symbols_or_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"forecast must be \(10, 3, 2\), got \(10, 3, 3\)"):
        attached(forecast=told(3))
    with pytest.raises(ValueError, match=r"embedding must be \(10, 3, 4\), got \(9, 3, 4\)"):
        attached(embedding=told(4)[1:])


def test_spans_and_columns_carry_them() -> None:
    panel = attached()
    later = panel.between(to_aware(panel.close_time[4:5])[0], None)
    np.testing.assert_array_equal(later.forecast, panel.forecast[5:])
    np.testing.assert_array_equal(later.embedding, panel.embedding[5:])
    some = panel_of_symbols(panel, ("AAA", "CCC"))
    np.testing.assert_array_equal(some.forecast, panel.forecast[:, [0, 2]])
    np.testing.assert_array_equal(some.embedding, panel.embedding[:, [0, 2]])
    assert some.forecast_names == NAMES


def test_a_panel_without_them_has_none_of_either_in_any_span() -> None:
    for panel in (PLAIN, PLAIN.between(None, to_aware(PLAIN.close_time[4:5])[0]), panel_of_symbols(PLAIN, ("BBB",))):
        assert panel.forecast.shape == panel.embedding.shape == (*panel.mask.shape, 0)
        assert panel.forecast_names == ()


def test_a_stored_panel_holds_none(tmp_path: Path) -> None:
    save_panel(attached(), tmp_path)
    stored = load_panel(tmp_path)
    assert stored.forecast.shape == stored.embedding.shape == (*PLAIN.mask.shape, 0)
    np.testing.assert_array_equal(stored.features, PLAIN.features)
