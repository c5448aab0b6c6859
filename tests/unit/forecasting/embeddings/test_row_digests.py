"""Whatever a row is made from changes its digest, and that of no other row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.forecasting.embeddings.embedding_samples import COINS, bars_of_coins, panel_of_bars, series_of_bars
from toto_ops.features.panel import Panel
from toto_ops.features.state import REGIME_FEATURES
from toto_ops.forecasting.embeddings.placing import placed
from toto_ops.forecasting.embeddings.row_digests import beginning_digest, row_digests
from toto_ops.forecasting.series import BarSeries

BARS = bars_of_coins(130)
PANEL, SERIES = panel_of_bars(BARS), series_of_bars(BARS)
DIGESTS = row_digests(PANEL, placed(PANEL, SERIES))

rows, columns = st.integers(0, PANEL.rows - 1), st.integers(0, len(COINS) - 1)


def changed(panel: Panel = PANEL, series: Sequence[BarSeries] = SERIES) -> list[int]:
    """Rows whose digest is another one now."""
    return np.flatnonzero(row_digests(panel, placed(panel, series)) != DIGESTS).tolist()


@settings(max_examples=30)
@given(rows, columns, st.integers(0, 2))
def test_a_bar_is_part_of_its_row(row: int, column: int, variate: int) -> None:
    one = SERIES[column]
    values = one.values.copy()
    bar = int(np.flatnonzero(placed(PANEL, SERIES)[column].rows == row)[0])
    values[bar, variate] = np.nextafter(values[bar, variate], np.inf)
    other = [*SERIES[:column], BarSeries(one.symbol, one.close_time, values), *SERIES[column + 1 :]]
    assert changed(series=other) == [row]


@settings(max_examples=30)
@given(rows, columns, st.integers(0, len(PANEL.context_names) - 1))
def test_so_are_context_regime_and_mask(row: int, column: int, name: int) -> None:
    context, features, mask = PANEL.context.copy(), PANEL.features.copy(), PANEL.mask.copy()
    context[row, column, name] += 0.5
    features[row, column, PANEL.feature_names.index(REGIME_FEATURES[name % 3])] += 1.0
    mask[row, column] = ~mask[row, column]
    for panel in (replace(PANEL, context=context), replace(PANEL, features=features), replace(PANEL, mask=mask)):
        assert changed(panel) == [row]


def test_so_is_its_close() -> None:
    close_time = PANEL.close_time.copy()
    close_time[5] -= np.timedelta64(1, "us")
    # The bars of that row close after it now, so they are in none.
    assert 5 in changed(replace(PANEL, close_time=close_time))
    assert len(changed(replace(PANEL, close_time=close_time))) == 1


def test_features_no_embedding_is_made_from_change_nothing() -> None:
    features = PANEL.features.copy()
    features[3, 0, PANEL.feature_names.index("rsi")] += 1.0
    assert changed(replace(PANEL, features=features)) == []


def test_a_longer_panel_begins_as_the_shorter_one() -> None:
    shorter = PANEL.take(np.arange(PANEL.rows) < PANEL.rows - 3)
    assert np.array_equal(row_digests(shorter, placed(shorter, SERIES)), DIGESTS[:-3])
    assert beginning_digest(shorter, placed(shorter, SERIES)) == beginning_digest(PANEL, placed(PANEL, SERIES))


def test_rows_are_the_same_however_many_are_packed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toto_ops.forecasting.embeddings.row_digests.ROWS_AT_ONCE", 7)
    assert changed() == []
