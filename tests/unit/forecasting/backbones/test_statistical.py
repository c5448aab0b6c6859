"""The backbone without weights: the general checks, and every statistic against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.unit.forecasting.backbones.backbone_checks import BackboneChecks, assert_same
from tests.unit.forecasting.series_samples import ended_after, share_bars, standing_bars, wandering_bars
from toto_ops.forecasting.backbones import statistical
from toto_ops.forecasting.backbones.statistical import StatisticalBackbone
from toto_ops.forecasting.backbones.statistical_features import STATISTICS, reach, statistics
from toto_ops.forecasting.config import StatisticalConfig
from toto_ops.forecasting.quantiles import LEVELS, MEDIAN, NORMAL_QUANTILES
from toto_ops.forecasting.scaling import LEVEL_FLOOR, RETURN_FLOOR
from toto_ops.forecasting.series import CLOSE

CONFIG = StatisticalConfig(season=4, span=12, look_back=33)


class TestStatisticalBackbone(BackboneChecks):
    @pytest.fixture
    def backbone(self) -> StatisticalBackbone:
        return StatisticalBackbone(StatisticalConfig())


def weighted(values: NDArray[np.float64], span: float, window: int) -> float:
    weights = (1 - 2 / (span + 1)) ** np.arange(window)[::-1]
    return float(np.average(values[-window:], weights=weights))


def correlation(one: NDArray[np.float64], other: NDArray[np.float64], floor_of_other: float = RETURN_FLOOR) -> float:
    first, second = one - one.mean(), other - other.mean()
    sizes = max(np.sqrt((first**2).mean()), RETURN_FLOOR) * max(np.sqrt((second**2).mean()), floor_of_other)
    return float((first * second).mean() / sizes)


def scores(values: NDArray[np.float64], config: StatisticalConfig) -> tuple[float, float]:
    recent = values[-config.look_back :]
    deviation = max(recent.std(), LEVEL_FLOOR)
    return (values[-1] - recent.mean()) / deviation, (weighted(values, config.span, config.look_back) - recent.mean()) / deviation


def by_definition(x: NDArray[np.float64], config: StatisticalConfig) -> dict[str, float]:
    """The statistics of the last bar of one series `[V, T]`, one after the other."""
    close, spread, volume = x
    season, span, look_back = config.season, config.span, config.look_back
    returns = np.diff(close)
    recent = returns[-look_back:]
    scale = max(math.sqrt(weighted(returns**2, span, look_back)), RETURN_FLOOR)
    fast = max(math.sqrt(weighted(returns**2, span / 4 + 1, look_back)), RETURN_FLOOR)
    deviation = max(recent.std(), RETURN_FLOOR)
    highest, lowest = close[-look_back:].max(), close[-look_back:].min()
    shape = (recent - recent.mean()) / deviation
    momentum = {bars: (close[-1] - close[-1 - bars]) / (scale * math.sqrt(bars)) for bars in (1, 2, season, span, look_back)}
    range_score, range_trend = scores(spread, config)
    volume_score, volume_trend = scores(volume, config)
    return {
        "return": momentum[1],
        "momentum_2": momentum[2],
        "momentum_season": momentum[season],
        "momentum_span": momentum[span],
        "momentum_look_back": momentum[look_back],
        "drift_t": recent.mean() / deviation * math.sqrt(look_back),
        "distance_to_mean": (close[-1] - weighted(close, span, look_back)) / (scale * math.sqrt(span)),
        "place_in_range": (2 * close[-1] - lowest - highest) / max(highest - lowest, RETURN_FLOOR),
        "drawdown": (close[-1] - highest) / (scale * math.sqrt(look_back)),
        "volatility_level": math.log(scale / 0.02),
        "volatility_fast_to_slow": math.log(fast / scale),
        "volatility_slow_to_long": math.log(scale / max(math.sqrt((recent**2).mean()), RETURN_FLOOR)),
        "skewness": (shape**3).mean(),
        "tail_weight": ((shape**4).mean() - 3) / 3,
        "downside_share": (recent[recent < 0] ** 2).sum() / max((recent**2).sum(), RETURN_FLOOR**2) - 0.5,
        "autocorrelation": correlation(returns[-look_back + 1 :], returns[-look_back:-1]),
        "season_autocorrelation": correlation(recent, returns[-look_back - season : -season]),
        "season_next_return": returns[-season] / scale,
        "range_score": range_score,
        "range_trend": range_trend,
        "range_to_volatility": math.log(max(weighted(spread, span, look_back), RETURN_FLOOR) / scale) - math.log(1.6),
        "volume_score": volume_score,
        "volume_trend": volume_trend,
        "volume_with_moves": correlation(np.abs(recent), volume[-look_back:], LEVEL_FLOOR),
    }


@settings(max_examples=20)
@given(seed=st.integers(0, 999), season=st.integers(1, 9), span=st.integers(2, 30), length=st.integers(50, 80))
def test_each_statistic_is_what_it_says(seed: int, season: int, span: int, length: int) -> None:
    config = StatisticalConfig(season=season, span=span, look_back=33)
    x = wandering_bars(length, seed)
    found = statistics(x, config)
    for row in range(len(x)):
        expected = by_definition(x[row].numpy(), config)
        assert tuple(expected) == STATISTICS
        clipped = torch.tensor([max(-10.0, min(10.0, expected[name])) for name in STATISTICS], dtype=torch.float32)
        torch.testing.assert_close(found[row, -1], clipped, rtol=1e-4, atol=1e-5)


def test_a_volume_that_hardly_moves_is_measured_by_its_own_floor() -> None:
    x = wandering_bars(200, 0, series=1)
    x[:, 2] = 10.0 + 0.3 * LEVEL_FLOOR * torch.sin(torch.arange(200, dtype=x.dtype))
    found = statistics(x, CONFIG)[0, -1, STATISTICS.index("volume_with_moves")]
    expected = by_definition(x[0].numpy(), CONFIG)["volume_with_moves"]
    assert abs(expected) > 1e-3
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_statistics_of_real_bars_have_a_size_around_one() -> None:
    states = StatisticalBackbone(StatisticalConfig()).states(share_bars(2000))
    sizes = states[torch.isfinite(states).all(-1)].square().mean(dim=0).sqrt()
    assert ((sizes > 0.1) & (sizes < 4.0)).all()


def test_the_first_state_is_that_of_the_last_bar_it_reaches_back_from() -> None:
    backbone = StatisticalBackbone(CONFIG)
    assert backbone.minimum_bars == reach(CONFIG) == 38
    assert_same(backbone.latest_states(share_bars(300), 1)[:, 0], backbone.states(share_bars(38))[:, -1])


def test_neither_the_unit_of_the_price_nor_that_of_the_volume_matters() -> None:
    backbone, x = StatisticalBackbone(CONFIG), share_bars(120)
    other = x.clone()
    other[:, CLOSE] += math.log(1e-6)
    other[:, 2] += math.log(1000.0)
    assert_same(backbone.states(other), backbone.states(x))


def test_a_standing_price_has_no_momentum_and_the_least_volatility() -> None:
    state = dict(zip(STATISTICS, StatisticalBackbone(CONFIG).latest_states(standing_bars(60), 1)[0, 0].tolist(), strict=True))
    for name in ("return", "momentum_span", "drift_t", "place_in_range", "drawdown", "skewness", "volume_score"):
        assert state[name] == pytest.approx(0.0, abs=1e-6), name
    assert state["volatility_level"] == pytest.approx(math.log(RETURN_FLOOR / 0.02))
    spread = StatisticalBackbone(CONFIG).forecast(standing_bars(60), 4)[:, 0, CLOSE]
    normal = torch.tensor(NORMAL_QUANTILES, dtype=torch.float64)
    torch.testing.assert_close(spread[:, 3] - 4.6, 2.0 * RETURN_FLOOR * normal, rtol=1e-6, atol=1e-9)


def test_many_and_long_series_in_pieces_are_those_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = StatisticalBackbone(CONFIG)
    x = ended_after(share_bars(500), 500, 320, 20)
    expected = backbone.states(x)
    monkeypatch.setattr(statistical, "AT_ONCE", 32)
    assert_same(backbone.states(x), expected, 1e-6)


def test_drift_within_chance_is_no_drift() -> None:
    x = wandering_bars(200, seed=3)
    returns = x[1, CLOSE].diff()
    recent = returns[-CONFIG.look_back :]
    error_of_the_mean = recent.std() / math.sqrt(CONFIG.look_back)
    returns[-CONFIG.look_back :] = recent - recent.mean() + 0.95 * error_of_the_mean
    x[0, CLOSE, 1:] = x[0, CLOSE, 0] + returns.cumsum(0)
    x[1, CLOSE] = 3.0 + 0.01 * torch.arange(200, dtype=torch.float64)
    medians = StatisticalBackbone(CONFIG).forecast(x, 5)[MEDIAN, :, CLOSE] - x[:, CLOSE, -1:]
    torch.testing.assert_close(medians[0], torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(medians[1], 0.01 * torch.arange(1, 6, dtype=torch.float64), rtol=1e-6, atol=1e-9)


def test_range_and_volume_are_foretold_by_their_latest_values() -> None:
    x = ended_after(share_bars(120), 120, 70, 40)
    quantiles = StatisticalBackbone(CONFIG).forecast(x, 3)
    for row, end in enumerate((120, 70, 40)):
        for variate in (1, 2):
            recent = x[row, variate, end - CONFIG.look_back : end].numpy()
            for ahead in range(3):
                np.testing.assert_allclose(quantiles[:, row, variate, ahead].numpy(), np.quantile(recent, LEVELS), rtol=1e-9)


def test_nothing_in_it_is_trained() -> None:
    backbone = StatisticalBackbone(CONFIG)
    assert list(backbone.parameters()) == []
    assert backbone.head is None
    assert not backbone.capabilities.can_fine_tune
    assert backbone.identity == StatisticalBackbone(CONFIG).identity
    assert backbone.identity != StatisticalBackbone(StatisticalConfig()).identity
