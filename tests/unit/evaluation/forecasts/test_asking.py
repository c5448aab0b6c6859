from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.evaluation.forecasts.forecast_samples import CONTESTANTS
from tests.unit.forecasting.series_samples import wandering_bars
from toto_ops.errors import InsufficientDataError
from toto_ops.evaluation.forecasts import asking
from toto_ops.evaluation.forecasts.asking import span_forecasts
from toto_ops.evaluation.forecasts.evaluation import evaluate_forecasts
from toto_ops.evaluation.forecasts.fans import forecast_fans
from toto_ops.evaluation.forecasts.span_forecasts import realised_returns, seasonal_scale
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig
from toto_ops.forecasting.backbones.statistical import StatisticalBackbone
from toto_ops.forecasting.baselines import baseline_quantiles
from toto_ops.forecasting.config import ForecastingConfig, StatisticalConfig
from toto_ops.forecasting.forecaster import Forecaster, ForecasterManifest, Network
from toto_ops.forecasting.head import QuantileHead
from toto_ops.forecasting.quantiles import MEDIAN
from toto_ops.forecasting.scaling import CausalScale
from toto_ops.forecasting.series import CLOSE, BarSeries, stacked
from toto_ops.learning.splits import Span

START = datetime(2020, 1, 1, tzinfo=UTC)
CONFIG = ForecastingConfig(horizons=(1, 3), horizon=4, statistical=StatisticalConfig(season=5, span=10, look_back=33))


def day(number: int) -> datetime:
    return START + timedelta(days=number)


FIT = Span(after=day(0), until=day(100))
SPAN = Span(after=day(160), until=day(200))


def bars_of(symbol: str, bars: int, seed: int = 0) -> BarSeries:
    close_time = np.datetime64("2020-01-01", "us") + np.arange(1, bars + 1) * np.timedelta64(1, "D")
    return BarSeries(symbol, close_time, wandering_bars(bars, seed=seed, series=1)[0].numpy().T)


@pytest.fixture(scope="module")
def forecaster() -> Forecaster:
    """The backbone without weights under a head that says something of its own in every state."""
    torch.manual_seed(0)
    backbone = StatisticalBackbone(CONFIG.statistical)
    head = QuantileHead(backbone.width, 16, CONFIG.horizon)
    nn.init.normal_(head.out.weight, std=0.3)
    manifest = ForecasterManifest(
        universe="controls",
        backbone="statistical",
        backbone_config={},
        backbone_identity=backbone.identity,
        head={},
        symbols=("AAA", "BBB"),
        config={},
        inputs_hash="inputs",
        data_hash="data",
        code_version="1",
        seed=0,
        knows_until=day(120),
        possibly_knows_until=day(150),
    )
    return Forecaster(Network(backbone, head), manifest)


SERIES = [bars_of("AAA", 240, seed=1), bars_of("BBB", 220, seed=2)]


def returns_foretold(forecaster: Forecaster, x: torch.Tensor, horizons: tuple[int, ...]) -> torch.Tensor:
    """Quantiles of the log returns at every bar of whole series."""
    return CausalScale.of(x).returns(forecaster.head(forecaster.backbone.states(x)), horizons)


def ask(forecaster: Forecaster, series=tuple(SERIES), specialists=None, span: Span = SPAN):
    return span_forecasts(forecaster, specialists or forecaster, series, part="test", span=span, fit=FIT, config=CONFIG)


def test_realised_returns_are_those_of_the_next_bars():
    realised = realised_returns(np.array([0.0, 0.1, 0.3, 0.6]), (1, 3))
    assert realised[:, 0] == pytest.approx([0.1, 0.2, 0.3, np.nan], nan_ok=True)
    assert realised[:, 1] == pytest.approx([0.6, np.nan, np.nan, np.nan], nan_ok=True)
    assert np.isnan(realised_returns(np.zeros(2), (5,))).all()


def test_the_seasonal_scale_is_the_mean_change_across_a_season():
    assert seasonal_scale(np.array([0.0, 1.0, 4.0, 2.0]), 2) == pytest.approx((4.0 + 1.0) / 2)
    assert np.isnan(seasonal_scale(np.zeros(9), 2))
    assert np.isnan(seasonal_scale(np.array([0.0, 1.0]), 2))


def test_every_bar_of_the_span_and_no_other_is_asked_at(forecaster):
    asked = ask(forecaster)
    assert (asked.contestants, asked.horizons) == (CONTESTANTS, (1, 3))
    assert [one.symbol for one in asked.symbols] == ["AAA", "BBB"]
    for one in asked.symbols:
        assert one.close_time.tolist() == SERIES[0].close_time[160:200].tolist()
        assert one.quantiles.shape == (4, 40, 2, 9)
        assert np.isfinite(one.quantiles).all()


def test_what_the_forecaster_and_the_baselines_say_is_what_they_say_of_the_whole_series(forecaster):
    asked = ask(forecaster)
    for one, series in zip(asked.symbols, SERIES, strict=True):
        x = stacked([series])
        with torch.no_grad():
            own = returns_foretold(forecaster, x, CONFIG.horizons)
        assert one.quantiles[0] == pytest.approx(own[0, 160:200].numpy(), rel=1e-4, abs=1e-6)
        for row, name in enumerate(CONTESTANTS[1:], start=1):
            said = baseline_quantiles(name, x, CONFIG.horizons, CONFIG.statistical)
            assert one.quantiles[row] == pytest.approx(said[0, 160:200].numpy(), rel=1e-4, abs=1e-6)


def test_outcomes_count_only_once_they_are_known_by_the_end_of_the_span(forecaster):
    one = ask(forecaster).symbols[0]
    assert np.flatnonzero(np.isnan(one.realised[:, 0])).tolist() == [39]
    assert np.flatnonzero(np.isnan(one.realised[:, 1])).tolist() == [37, 38, 39]
    close = SERIES[0].values[:, CLOSE]
    assert one.realised[0, 1] == pytest.approx(close[163] - close[160])


def test_nothing_after_the_span_is_read(forecaster):
    def wild(series: BarSeries) -> BarSeries:
        values = series.values.copy()
        values[200:] = 99.0
        return replace(series, values=values)

    one, other = ask(forecaster), ask(forecaster, [wild(series) for series in SERIES])
    for before, after in zip(one.symbols, other.symbols, strict=True):
        assert np.array_equal(before.quantiles, after.quantiles)
        assert np.array_equal(before.realised, after.realised, equal_nan=True)


def test_the_scale_comes_from_the_span_of_the_fit(forecaster):
    assert ask(forecaster).symbols[0].scale == pytest.approx(seasonal_scale(SERIES[0].values[:100, CLOSE], 5))
    young = bars_of("NEW", 240, seed=3)
    listed_later = replace(young, close_time=young.close_time[150:], values=young.values[150:])
    assert np.isnan(ask(forecaster, [SERIES[0], listed_later]).symbols[1].scale)


def test_a_symbol_too_young_for_a_state_is_asked_in_vain_and_not_left_out(forecaster):
    young = bars_of("NEW", 240, seed=3).take(slice(180, 240))
    asked = ask(forecaster, [SERIES[0], young])
    assert np.isnan(asked.symbols[1].quantiles[0]).all()
    found = evaluate_forecasts(asked, BootstrapConfig(samples=100))
    assert [(one.symbol, one.horizons[0].outcomes) for one in found.symbols] == [("AAA", 39), ("NEW", 0)]


def test_specialists_speak_for_their_symbols(forecaster):
    class Bullish:
        """Foretells the highest returns for one symbol, and what the head says for the other."""

        def quantiles(self, states, symbols):
            return forecaster.head(states) + (5.0 if tuple(symbols) == ("BBB",) else 0.0)

    generic, special = ask(forecaster), ask(forecaster, specialists=Bullish())
    assert np.array_equal(special.symbols[0].quantiles, generic.symbols[0].quantiles)
    assert (special.symbols[1].quantiles[0] > generic.symbols[1].quantiles[0]).all()
    assert np.array_equal(special.symbols[1].quantiles[1:], generic.symbols[1].quantiles[1:])


def test_how_many_symbols_go_through_the_backbone_together_changes_nothing(forecaster, monkeypatch):
    together = ask(forecaster)
    monkeypatch.setattr(asking, "STATES_AT_ONCE", 1)
    for one, other in zip(together.symbols, ask(forecaster).symbols, strict=True):
        assert one.quantiles == pytest.approx(other.quantiles, rel=1e-4, abs=1e-6)


def test_it_says_whose_forecasts_they_are(forecaster):
    asked = ask(forecaster)
    assert (asked.universe, asked.part, asked.backbone, asked.season) == ("controls", "test", "statistical", 5)
    assert (asked.forecaster, asked.knows_until, asked.possibly_knows_until) == (forecaster.identity, day(120), day(150))


def test_a_span_without_bars_is_refused(forecaster):
    with pytest.raises(InsufficientDataError, match="no symbol has a bar from 2021-01-01"):
        ask(forecaster, span=Span(after=datetime(2021, 1, 1, tzinfo=UTC), until=datetime(2021, 6, 1, tzinfo=UTC)))


class TestFans:
    def test_they_are_the_forecasts_of_their_bars_as_prices(self, forecaster):
        fans = forecast_fans(forecaster, forecaster, SERIES[0], SPAN, count=3)
        assert fans.origins.tolist() == [0, 18, 35]
        assert fans.quantiles.shape == (3, CONFIG.horizon, 9)
        x = stacked([SERIES[0]])
        with torch.no_grad():
            returns = returns_foretold(forecaster, x, (1, 2, 3, 4))[0, 160:200].numpy()
        expected = fans.close[fans.origins][:, None, None] * np.exp(returns[fans.origins])
        assert fans.quantiles == pytest.approx(expected, rel=1e-5)
        assert fans.close == pytest.approx(np.exp(SERIES[0].values[160:200, CLOSE]))

    def test_the_whole_horizon_of_each_has_happened(self, forecaster):
        fans = forecast_fans(forecaster, forecaster, SERIES[0], SPAN, count=100)
        assert fans.origins.tolist() == list(range(36))
        assert (fans.quantiles[..., MEDIAN] > 0).all()

    @pytest.mark.parametrize(
        "series", [SERIES[0].take(slice(0, 150)), SERIES[0].take(slice(170, 200)), SERIES[0].take(slice(0, 163))]
    )
    def test_a_symbol_that_shows_none_is_refused_by_name(self, forecaster, series):
        with pytest.raises(InsufficientDataError, match=r"AAA.*none of its \d+ bars"):
            forecast_fans(forecaster, forecaster, series, SPAN, count=3)
