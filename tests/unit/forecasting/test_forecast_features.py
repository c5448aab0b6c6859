"""What policies observe of a forecast, and under which names."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from toto_ops.forecasting.forecast_features import OBSERVED_LEVELS, forecast_features, forecast_names
from toto_ops.forecasting.quantiles import LEVELS, probability_above


def test_names_go_horizon_by_horizon() -> None:
    assert forecast_names((1, 20)) == (
        *("forecast_1_q10", "forecast_1_q30", "forecast_1_q50", "forecast_1_q70", "forecast_1_q90"),
        *("forecast_1_spread", "forecast_1_up"),
        *("forecast_20_q10", "forecast_20_q30", "forecast_20_q50", "forecast_20_q70", "forecast_20_q90"),
        *("forecast_20_spread", "forecast_20_up"),
    )


@given(start=st.floats(-0.2, 0.2), steps=st.lists(st.floats(0, 0.05), min_size=8, max_size=8))
def test_each_name_is_what_it_says(start: float, steps: list[float]) -> None:
    one = torch.tensor([start, *steps], dtype=torch.float64).cumsum(0)
    quantiles = torch.stack([one, 2.0 * one])
    found = dict(zip(forecast_names((1, 5)), forecast_features(quantiles).tolist(), strict=True))
    for place, horizon in enumerate((1, 5)):
        for level in OBSERVED_LEVELS:
            assert found[f"forecast_{horizon}_q{round(100 * level)}"] == float(quantiles[place, LEVELS.index(level)])
        assert found[f"forecast_{horizon}_spread"] == pytest.approx(float(quantiles[place, 8] - quantiles[place, 0]))
        assert found[f"forecast_{horizon}_up"] == pytest.approx(float(probability_above(quantiles[place])))


def test_a_forecast_that_is_not_known_stays_unknown() -> None:
    quantiles = torch.linspace(-1, 1, 9).expand(2, 3, 2, 9).clone()
    quantiles[0, 1, 1] = torch.nan
    features = forecast_features(quantiles)
    assert features.shape == (2, 3, 14)
    assert torch.isnan(features[0, 1, 7:]).all()
    assert torch.isfinite(features[0, 1, :7]).all()
    assert int(torch.isnan(features).sum()) == 7
