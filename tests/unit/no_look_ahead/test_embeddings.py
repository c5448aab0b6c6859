"""Embeddings and forecasts of a bar depend on that bar and those before it, whatever the future holds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from tests.unit.forecasting.embeddings.embedding_samples import untrained_model
from tests.unit.no_look_ahead.markets import MARKETS, REWRITES, Market, without_the_future
from toto_ops.features.moments import to_aware
from toto_ops.forecasting.embeddings.embedding_model import EmbeddingModel
from toto_ops.forecasting.embeddings.placing import placed
from toto_ops.forecasting.embeddings.table import EmbeddingTable
from toto_ops.forecasting.series import BarSeries, series_of


@cache
def market_of(name: str) -> Market:
    return MARKETS[name]()


@cache
def model_of(market: str, backbone: str) -> EmbeddingModel:
    return untrained_model(market_of(market).panel, backbone)


def series_in(market: Market) -> list[BarSeries]:
    return [series_of(str(symbol), bars) for table in market.bars.values() for (symbol,), bars in table.group_by("symbol")]


def embedded(model: EmbeddingModel, market: Market, series: Sequence[BarSeries]) -> EmbeddingTable:
    return model.rows(market.panel, placed(market.panel, series), slice(0, market.panel.rows))


@cache
def whole(market: str, backbone: str) -> EmbeddingTable:
    return embedded(model_of(market, backbone), market_of(market), series_in(market_of(market)))


def assert_same_past(one: EmbeddingTable, other: EmbeddingTable, cut: np.datetime64) -> None:
    past = [table.take(slice(0, int(np.searchsorted(table.close_time, cut, side="right")))) for table in (one, other)]
    np.testing.assert_array_equal(past[0].close_time, past[1].close_time)
    assert past[0].known.any()
    np.testing.assert_array_equal(past[0].known, past[1].known)
    np.testing.assert_allclose(past[0].embedding, past[1].embedding, atol=1e-4)
    np.testing.assert_allclose(past[0].forecast, past[1].forecast, atol=1e-4)


@pytest.mark.parametrize("rewrite", REWRITES)
@pytest.mark.parametrize("backbone", ["market", "statistical"])
@pytest.mark.parametrize("market", MARKETS)
def test_no_future_changes_the_embeddings_and_forecasts_of_the_past(market: str, backbone: str, rewrite: str) -> None:
    for cut in market_of(market).cuts():
        other = REWRITES[rewrite](market_of(market), cut)
        assert_same_past(whole(market, backbone), embedded(model_of(market, backbone), other, series_in(other)), cut)


@pytest.mark.parametrize("backbone", ["market", "statistical"])
def test_bars_after_the_panel_are_not_looked_at(backbone: str) -> None:
    """Series that go on after the panel, as they do when an old panel is embedded again."""
    market = market_of("real")
    cut = market.cuts()[0]
    past = without_the_future(market, cut)
    assert_same_past(
        embedded(model_of("real", backbone), past, series_in(past)),
        embedded(model_of("real", backbone), past, series_in(market)),
        cut,
    )


@pytest.mark.parametrize("backbone", ["market", "statistical"])
def test_a_change_now_changes_the_embedding_now(backbone: str) -> None:
    """The tests above can fail: what is known at a close does reach its embedding and its forecast."""
    market = market_of("real")
    series = series_in(market)
    values = series[0].values.copy()
    values[-1, 0] += 0.05
    series[0] = BarSeries(series[0].symbol, series[0].close_time, values)
    before, after = whole("real", backbone), embedded(model_of("real", backbone), market, series)
    column = market.panel.symbols.index(series[0].symbol)
    for one, other in ((before.embedding, after.embedding), (before.forecast, after.forecast)):
        assert np.abs(one[-1, column] - other[-1, column]).max() > 1e-3
    assert to_aware(before.close_time[-1:]) == to_aware(series[0].close_time[-1:])
