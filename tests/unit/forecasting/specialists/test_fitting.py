"""Fitting: who gets a specialist, who keeps it, and why not."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
import torch

from tests.unit.forecasting.specialists.specialist_samples import (
    CONFIG,
    SPANS,
    forecaster_of,
    trending,
    wandering,
)
from toto_ops.forecasting.backbones.statistical import StatisticalBackbone
from toto_ops.forecasting.config import ForecastingConfig
from toto_ops.forecasting.forecaster import Forecaster, Network
from toto_ops.forecasting.series import BarSeries, stacked
from toto_ops.forecasting.specialists import fitting
from toto_ops.forecasting.specialists.adapters import CloseHead
from toto_ops.forecasting.specialists.fitting import fit_specialists
from toto_ops.forecasting.specialists.lessons import lesson_of
from toto_ops.forecasting.specialists.specialists import Specialists

FORECASTER = forecaster_of()
RISES, FALLS, WALKS = trending("RISES", seed=1), trending("FALLS", 300, seed=2, drift=-0.03), wandering("WALKS", seed=3)
SHORT, LATE, ENDED = trending("SHORT", 20), trending("LATE", 90, first=210), trending("ENDED", 150)


def fitted(*series: BarSeries, config: ForecastingConfig = CONFIG, seed: int = 0) -> Specialists:
    return fit_specialists(FORECASTER, series, SPANS, config, seed)


@pytest.fixture(scope="module")
def universe() -> Specialists:
    return fitted(RISES, SHORT, FALLS, WALKS, LATE, ENDED)


def test_every_symbol_has_a_row_in_the_order_given(universe: Specialists) -> None:
    assert [row.symbol for row in universe.table] == ["RISES", "SHORT", "FALLS", "WALKS", "LATE", "ENDED"]


def test_a_specialist_is_kept_where_it_beats_the_generic_forecaster_on_validation(universe: Specialists) -> None:
    assert universe.manifest.kept == ("RISES", "FALLS")
    for row in universe.table:
        better = row.specialist_loss is not None and row.generic_loss is not None and row.specialist_loss < row.generic_loss
        assert row.kept == better
        if row.improvement is not None:
            assert (row.improvement > 0) == better
    assert universe.table[0].improvement > 0.2
    assert universe.table[3].reason == "does not beat the generic forecaster on validation"


def test_who_cannot_be_taught_or_judged_is_left_to_the_generic_forecaster_and_says_why(universe: Specialists) -> None:
    rows = {row.symbol: row for row in universe.table}
    short, late, ended = rows["SHORT"], rows["LATE"], rows["ENDED"]
    assert (short.fit_bars, short.generic_loss, short.specialist_loss) == (0, None, None)
    assert short.reason.startswith("no bars to fit on")
    assert late.reason.startswith("no bars to fit on")
    assert late.generic_loss is not None
    assert late.specialist_loss is None
    assert ended.fit_bars > 0
    assert ended.reason.startswith("no bars to be judged by")
    assert not any(row.kept for row in (short, late, ended))


def test_the_losses_are_quantile_losses_of_the_close_in_the_scale_of_each_bar(universe: Specialists) -> None:
    lesson = lesson_of(RISES, FORECASTER.backbone, SPANS, CONFIG.horizons)
    said = CloseHead(FORECASTER.head, CONFIG.horizons).quantiles(lesson.validation.states).detach().numpy()
    came = lesson.validation.outcomes.numpy()[..., None]
    level = np.arange(1, 10) / 10
    loss = np.where(came >= said, level * (came - said), (1 - level) * (said - came)).mean()
    assert universe.table[0].generic_loss == pytest.approx(loss, rel=1e-5)


def test_a_margin_must_be_exceeded() -> None:
    strict = CONFIG.model_copy(update={"specialists": CONFIG.specialists.model_copy(update={"margin": 0.9})})
    table = fitted(RISES, config=strict).table
    assert not table[0].kept
    assert table[0].reason == "does not beat the generic forecaster on validation by more than 90.00%"


def test_the_same_seed_gives_the_same_specialists_bit_for_bit(universe: Specialists) -> None:
    again = fitted(RISES, SHORT, FALLS, WALKS, LATE, ENDED)
    assert again.manifest == universe.manifest
    assert again.identity == universe.identity
    assert fitted(RISES, seed=1).identity != fitted(RISES).identity


def test_bars_after_validation_change_nothing(universe: Specialists) -> None:
    cut = [one.until(SPANS.validation.until) for one in (RISES, SHORT, FALLS, WALKS, LATE, ENDED)]
    assert fitted(*cut).identity == universe.identity


def test_they_know_what_their_selection_and_their_forecaster_know(universe: Specialists) -> None:
    assert universe.manifest.knows_until == SPANS.validation.until
    released = SPANS.knows_until + timedelta(days=900)
    later = FORECASTER.manifest.model_copy(
        update={"knows_until": SPANS.knows_until + timedelta(days=9), "possibly_knows_until": released}
    )
    taught = fit_specialists(type(FORECASTER)(FORECASTER.network, later), [RISES], SPANS, CONFIG, 0)
    assert taught.manifest.knows_until == later.knows_until
    assert taught.manifest.possibly_knows_until == released


@pytest.mark.parametrize(("name", "limit"), [("TOGETHER", 1), ("NUMBERS", 1)])
def test_taking_fewer_symbols_at_a_time_gives_the_same(
    name: str, limit: int, universe: Specialists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, name, limit)
    single = fitted(RISES, SHORT, FALLS, WALKS, LATE, ENDED)
    assert single.manifest.kept == universe.manifest.kept
    for one, other in zip(single.adapters.parameters(), universe.adapters.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_universe_without_symbols_has_no_specialists() -> None:
    none = fitted()
    assert (none.table, len(none.adapters)) == ((), 0)


def test_two_series_of_one_symbol_are_refused() -> None:
    with pytest.raises(ValueError, match="more than one series"):
        fitted(RISES, RISES)


def test_a_price_that_stands_still_is_no_reason_to_fail() -> None:
    still = BarSeries("STILL", RISES.close_time, np.tile([4.6, 0.0, 9.2], (len(RISES), 1)))
    row = fitted(still).table[0]
    assert row.generic_loss is not None
    assert np.isfinite([row.generic_loss, row.specialist_loss]).all()


def test_specialists_stand_on_a_backbone_without_weights_too() -> None:
    network = Network.untrained(StatisticalBackbone(CONFIG.statistical), CONFIG.horizon, 16).eval()
    made = fit_specialists(Forecaster(network, FORECASTER.manifest), (RISES, SHORT, WALKS), SPANS, CONFIG, 0)
    assert made.manifest.kept == ("RISES",)
    said = made.quantiles(network.backbone.states(stacked([RISES, WALKS])), ["RISES", "WALKS"])
    assert torch.isfinite(said[:, 250]).all()


def test_random_numbers_and_threads_of_the_process_are_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    fitted(RISES)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
