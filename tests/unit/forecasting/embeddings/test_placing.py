"""Bars find the row of a panel in which they close."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.forecasting.embeddings.embedding_samples import bars_of_coins, panel_of_bars, series_of_bars
from tests.unit.no_look_ahead.markets import two_markets
from toto_ops.errors import InsufficientDataError
from toto_ops.features.moments import to_aware
from toto_ops.forecasting.embeddings.placing import panel_rows, placed
from toto_ops.forecasting.series import series_of


def test_the_close_of_every_bar_is_the_one_the_panel_has_in_its_row() -> None:
    market = two_markets()
    panel = market.panel
    series = [series_of(str(name), table) for bars in market.bars.values() for (name,), table in bars.group_by("symbol")]
    for column, one in enumerate(placed(panel, series)):
        inside = one.rows >= 0
        decided = panel.mask[one.rows[inside], column]
        assert decided.sum() == panel.mask[:, column].sum() > 0
        closes = np.log(panel.close[one.rows[inside], column])[decided]
        assert np.exp(one.series.values[inside, 0][decided]) == pytest.approx(np.exp(closes))


def test_bars_before_the_panel_have_no_row_and_those_after_it_are_left_out() -> None:
    bars = bars_of_coins(150)
    panel = panel_of_bars(bars)
    end = panel.close_time[-5]
    cut = panel.between(None, to_aware(panel.close_time[[-5]])[0])
    for one in placed(cut, series_of_bars(bars)):
        assert one.series.close_time[-1] == end
        assert (one.rows[one.series.close_time < panel.close_time[0]] == -1).all()
        assert one.rows[-1] == cut.rows - 1


def test_a_bar_in_a_row_the_panel_leaves_out_is_not_put_into_another() -> None:
    panel = panel_of_bars(bars_of_coins(150))
    holed = panel.take(np.arange(panel.rows) != 7)
    rows = panel_rows(holed, panel.close_time)
    assert rows[7] == -1
    assert rows[[6, 8]].tolist() == [6, 7]


def test_a_symbol_without_bars_is_named() -> None:
    bars = bars_of_coins(150)
    with pytest.raises(InsufficientDataError, match="no bars of XRPUSD"):
        placed(panel_of_bars(bars), series_of_bars(bars)[:2])
