from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.evaluation.return_samples import panel_of_returns
from toto_ops.evaluation.baselines.market_index import market_returns
from toto_ops.evaluation.findings.stress_spans import VOLATILITY_WINDOW, measure_stress_spans, stress_spans
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig, block_estimate
from toto_ops.evaluation.statistics.metrics import max_drawdown, sharpe_ratio, total_return
from toto_ops.features.state import MARKET_FEATURES
from toto_ops.features.trends import TREND_FEATURES

GENERATOR = np.random.default_rng(8)
CONFIG = BootstrapConfig(samples=200, block_length=5)


def spans_of(panel):
    return {span.name: span for span in stress_spans(panel)}


def with_regime(returns: np.ndarray, rows_high: np.ndarray) -> np.ndarray:
    """Features in which every symbol is in high volatility at the given rows and in normal volatility elsewhere."""
    features = np.zeros((len(returns) + 1, returns.shape[1], len(MARKET_FEATURES)), dtype=np.float32)
    features[:, :, MARKET_FEATURES.index("regime_normal")] = 1.0
    features[rows_high, :, MARKET_FEATURES.index("regime_normal")] = 0.0
    features[rows_high, :, MARKET_FEATURES.index("regime_high")] = 1.0
    return features


def test_a_regime_holds_for_the_return_after_the_next_open():
    returns = GENERATOR.normal(0, 0.01, (30, 2))
    panel = panel_of_returns(returns, features=with_regime(returns, np.array([4, 5])))
    # known at the close of row 4, so tradable at the open of row 5: the return from open 5 to open 6
    span = spans_of(panel)["high volatility"]
    assert np.flatnonzero(span.chosen).tolist() == [5, 6]
    assert span.labelled == "known at the time"


def test_a_regime_is_never_read_before_its_close():
    returns = GENERATOR.normal(0, 0.01, (40, 2))
    features = with_regime(returns, np.array([7, 20, 21]))
    full = spans_of(panel_of_returns(returns, features=features))
    cut = spans_of(panel_of_returns(returns[:20], features=features[:21]))
    for name, span in cut.items():
        if span.labelled == "known at the time":
            np.testing.assert_array_equal(span.chosen, full[name].chosen[:20])


def test_the_market_is_in_the_regime_of_most_symbols():
    returns = GENERATOR.normal(0, 0.01, (20, 3))
    bull = np.zeros((21, 3))
    bull[:, :2] = 1.0
    trends = {name: bull if name == "trend_bull" else (1.0 - bull) * (name == "trend_bear") for name in TREND_FEATURES}
    spans = spans_of(panel_of_returns(returns, **trends))
    assert spans["bull market"].chosen[1:].all()
    assert not spans["bear market"].chosen.any()


def test_a_regime_goes_on_over_rows_in_which_no_bar_closes():
    returns = GENERATOR.normal(0, 0.01, (30, 2))
    panel = panel_of_returns(returns, features=with_regime(returns, np.array([5])))
    mask = panel.mask.copy()
    mask[6] = False
    paused = replace(panel, mask=mask, features=np.where(mask[..., None], panel.features, 0.0).astype(np.float32))
    assert np.flatnonzero(spans_of(paused)["high volatility"].chosen).tolist() == [6, 7]


def test_regimes_are_disjoint_and_the_first_return_has_none():
    returns = GENERATOR.normal(0, 0.01, (50, 2))
    spans = spans_of(panel_of_returns(returns, features=with_regime(returns, np.arange(0, 51, 3))))
    together = sum(spans[name].chosen.astype(int) for name in ("low volatility", "normal volatility", "high volatility"))
    assert together[0] == 0
    assert (together[1:] == 1).all()


def test_a_panel_without_trends_has_no_trend_spans():
    assert "bull market" not in spans_of(panel_of_returns(GENERATOR.normal(0, 0.01, (40, 2))))


def test_the_worst_months_are_those_in_which_the_market_fell_furthest():
    returns = np.full((150, 2), 0.001)
    returns[40:44] = -0.05  # 10 to 13 February 2020
    returns[100:102] = -0.04  # April
    returns[5] = -0.001  # January, the third; March never falls
    span = spans_of(panel_of_returns(returns))["3 worst months of the market"]
    days = np.datetime64("2020-01-01") + np.flatnonzero(span.chosen)
    assert sorted(set(days.astype("datetime64[M]").astype(str))) == ["2020-01", "2020-02", "2020-04"]
    assert span.labelled == "with hindsight"


def test_a_market_that_never_falls_has_no_worst_month():
    assert not spans_of(panel_of_returns(np.full((70, 2), 0.001)))["3 worst months of the market"].chosen.any()


def test_the_most_volatile_quarter_ends_windows_of_wild_returns():
    returns = GENERATOR.normal(0, 0.001, (400, 1))
    returns[200:260] *= 30
    chosen = spans_of(panel_of_returns(returns))["most volatile quarter of the bars"].chosen
    assert chosen.sum() == pytest.approx(0.25 * (400 - VOLATILITY_WINDOW + 1), abs=1)
    assert chosen[210:260].all()
    assert not chosen[: VOLATILITY_WINDOW - 1].any()


def test_figures_are_those_of_the_bars_of_the_span():
    returns = GENERATOR.normal(0.001, 0.01, (120, 2))
    spans = stress_spans(panel_of_returns(returns, features=with_regime(returns, np.arange(30, 90))))
    series = GENERATOR.normal(0, 0.02, 120)
    (measured,) = measure_stress_spans(spans, [series], periods_per_year=365, config=CONFIG)
    for span, result in zip(spans, measured, strict=True):
        inside = series[span.chosen]
        assert (result.name, result.bars) == (span.name, len(inside))
        if len(inside) > 1:
            assert result.total_return.value == pytest.approx(float(total_return(inside)))
            assert result.sharpe.value == pytest.approx(float(sharpe_ratio(inside, 365)))
            assert result.max_drawdown == pytest.approx(float(max_drawdown(inside)))
            assert result.market_return == pytest.approx(float(total_return(span.market[span.chosen])))


def test_a_span_of_all_bars_has_the_interval_of_the_whole():
    returns = GENERATOR.normal(0.001, 0.01, (60, 2))
    (span,) = [span for span in stress_spans(panel_of_returns(returns)) if span.name.startswith("most")]
    whole = type(span)("whole", span.labelled, np.ones(60, dtype=bool), span.market)
    series = GENERATOR.normal(0, 0.02, 60)
    ((result,),) = measure_stress_spans([whole], [series], periods_per_year=365, config=CONFIG)
    expected = block_estimate(lambda values: sharpe_ratio(values, 365), (series,), CONFIG)
    assert [result.sharpe.low, result.sharpe.high] == pytest.approx([expected.low, expected.high], rel=1e-9)


def test_a_regime_that_never_came_has_no_figures():
    spans = stress_spans(panel_of_returns(GENERATOR.normal(0, 0.01, (40, 2))))
    (measured,) = measure_stress_spans(spans, [np.zeros(40)], periods_per_year=365, config=CONFIG)
    absent = next(result for result in measured if result.name == "high volatility")
    assert (absent.bars, absent.share, absent.total_return.value, absent.max_drawdown) == (0, 0.0, None, None)


def test_the_market_is_the_mean_of_its_symbols():
    returns = GENERATOR.normal(0, 0.01, (30, 3))
    np.testing.assert_allclose(market_returns(panel_of_returns(returns)), returns.mean(axis=1))


def test_a_gap_falls_into_the_return_that_ends_it_and_an_ended_symbol_no_longer_counts():
    panel = panel_of_returns(np.array([[0.1, 0.0], [0.1, 0.1], [0.1, 0.1], [0.1, 0.1]]))
    opens, tradable = panel.open.copy(), panel.tradable.copy()
    opens[2, 0], tradable[2, 0] = np.nan, False
    opens[4, 1], tradable[4, 1] = np.nan, False
    gapped = replace(panel, open=opens, tradable=tradable)
    np.testing.assert_allclose(market_returns(gapped), [0.05, 0.05, (0.21 + 0.1) / 2, 0.1])
