"""What embeddings are taught: outcomes that are known by the end of a span, and no others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.unit.features.bar_histories import bars_of
from tests.unit.forecasting.embeddings.embedding_samples import bars_of_coins, panel_of_bars, series_of_bars
from toto_ops.features.moments import to_aware
from toto_ops.features.state import REGIME_FEATURES
from toto_ops.forecasting.embeddings.outlook import NO_REGIME, Outcomes, Outlook, outcomes
from toto_ops.forecasting.embeddings.placing import placed
from toto_ops.learning.splits import Span

HORIZONS = (1, 5)


def between(panel_closes: np.ndarray, first: int, last: int) -> Span:
    after, until = to_aware(panel_closes[[first, last]])
    return Span(after=after, until=until)


def test_outcomes_are_the_next_returns_volatility_and_regime() -> None:
    rng = np.random.default_rng(2)
    bars = bars_of("S0", 100.0 * np.exp(np.cumsum(rng.normal(0, 0.02, 200)))).with_columns()
    bars = bars.select("symbol", *(name for name in bars.columns if name != "symbol"))
    panel = panel_of_bars(bars)
    series = placed(panel, series_of_bars(bars))
    came = outcomes(panel, series, between(panel.close_time, 10, 60), HORIZONS)
    row = 30
    log_close = np.log(panel.close[:, 0])
    returns = np.diff(np.log(bars["close"].to_numpy()))
    bar = int(np.flatnonzero(series[0].rows == row)[0])
    scale = math.sqrt(np.square(returns[bar - 32 : bar]).mean())
    assert came.returns[row, 0].tolist() == pytest.approx(
        [(log_close[row + step] - log_close[row]) / (scale * math.sqrt(step)) for step in HORIZONS], rel=1e-5
    )
    following = math.sqrt(np.square(np.diff(log_close[row : row + 6])).mean())
    assert came.volatility[row, 0].item() == pytest.approx(math.log(following / scale), rel=1e-5)
    regime = panel.features[row + 5, 0, [panel.feature_names.index(name) for name in REGIME_FEATURES]]
    assert came.regime[row, 0].item() == regime.argmax()


def test_nothing_beyond_the_span_is_an_outcome() -> None:
    bars = bars_of_coins(200)
    panel = panel_of_bars(bars)
    came = outcomes(panel, placed(panel, series_of_bars(bars)), between(panel.close_time, 10, 60), HORIZONS)
    known = torch.isfinite(came.returns).all(dim=1)
    rows = torch.arange(panel.rows)
    assert torch.equal(known[:, 0], (rows > 10) & (rows < 60))
    assert torch.equal(known[:, 1], (rows > 10) & (rows <= 55))
    assert torch.equal(torch.isfinite(came.volatility).all(dim=1), known[:, 1])
    assert torch.equal((came.regime != NO_REGIME).all(dim=1), known[:, 1])


def test_untrained_it_foretells_a_random_walk() -> None:
    torch.manual_seed(0)
    embeddings, mask = torch.randn(400, 2, 8), torch.ones(400, 2, dtype=torch.bool)
    walk = Outcomes(torch.randn(400, 2, 1), torch.full((400, 2), torch.nan), torch.full((400, 2), NO_REGIME))
    losses = Outlook(8, 1).losses(embeddings, mask, walk)
    # Mean over the levels of the density of a standard normal at its quantile: the least a quantile loss can be.
    densities = [math.exp(-0.5 * quantile**2) / math.sqrt(2 * math.pi) for quantile in (0, 0.2533, 0.5244, 0.8416, 1.2816)]
    assert float(losses.returns.detach()) == pytest.approx((densities[0] + 2 * sum(densities[1:])) / 9, rel=0.05)


def test_losses_are_those_worked_out_by_hand() -> None:
    outlook = Outlook(2, 1)
    with torch.no_grad():
        for reading in (outlook.returns, outlook.volatility, outlook.regime):
            reading.weight.zero_()
            reading.bias.zero_()
        outlook.regime.bias[2] = math.log(2.0)
    came = Outcomes(
        # By every level: 1 is missed by 1, at 0.5 on the mean of the levels; -2 by 2 likewise.
        returns=torch.tensor([[[1.0], [-2.0], [torch.nan]]]),
        # Within 1 a half of the square, beyond it the distance less one half.
        volatility=torch.tensor([[0.5, -3.0, torch.nan]]),
        # Foretold with probabilities 1/4, 1/4 and 1/2.
        regime=torch.tensor([[2, 0, NO_REGIME]]),
    )
    losses = outlook.losses(torch.ones(1, 3, 2), torch.ones(1, 3, dtype=torch.bool), came)
    assert float(losses.returns.detach()) == pytest.approx((0.5 + 1.0) / 2)
    assert float(losses.volatility.detach()) == pytest.approx((0.125 + 2.5) / 2)
    assert float(losses.regime.detach()) == pytest.approx((math.log(2.0) + math.log(4.0)) / 2)
    assert float(losses.regime_accuracy) == 0.5
    assert float(losses.total.detach()) == pytest.approx(0.75 + 0.3 * 1.3125 + 0.2 * 1.5 * math.log(2.0))


def test_an_outcome_that_is_not_known_teaches_nothing() -> None:
    torch.manual_seed(0)
    outlook, mask = Outlook(8, 2), torch.ones(4, 3, dtype=torch.bool)
    embeddings = torch.randn(4, 3, 8, requires_grad=True)
    came = Outcomes(torch.randn(4, 3, 2), torch.randn(4, 3), torch.randint(0, 3, (4, 3)))
    came.returns[0, 0], came.volatility[0, 0], came.regime[0, 0] = torch.nan, torch.nan, NO_REGIME
    outlook.losses(embeddings, mask, came).total.backward()  # type: ignore[no-untyped-call]
    assert embeddings.grad is not None
    assert torch.isfinite(embeddings.grad).all()
    assert not embeddings.grad[0, 0].any()
    assert embeddings.grad[1:].any(dim=-1).all()
