"""Every fold has a forecaster of its own, which learnt from an unbroken stretch of bars that the fold is not tested on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.unit.pipeline.small_market import HORIZONS, SmallMarket, small_market, with_other_prices
from toto_ops.errors import InsufficientDataError
from toto_ops.features.moments import to_aware, to_utc64
from toto_ops.features.panel import Panel
from toto_ops.forecasting.config import ForecastingConfig
from toto_ops.forecasting.spans import ForecastingSpans, forecasting_spans
from toto_ops.learning.splits import Span, Splits
from toto_ops.pipeline.forecasting_folds import _longest_run, refit_on, spans_of_fold
from toto_ops.pipeline.spans import splits_of
from toto_ops.training.cross_validation import CombinatorialPurged, Fold, Ground, WalkForward
from toto_ops.training.observed_forecasts import ObservedForecasts

CLOSES = np.datetime64("2020-01-01", "us") + np.arange(1, 201) * np.timedelta64(1, "D")
CONFIG = ForecastingConfig(validation=0.25)

Folds = dict[str, tuple[Fold, ...]]
Ask = Callable[[Fold], ObservedForecasts]


def rows(first: int, last: int) -> Span:
    """The span of rows `first` to `last`, both included."""
    after, until = to_aware(CLOSES[[first, last]])
    return Span(after=after - timedelta(days=1), until=until)


def fold_without(*left_out: Span) -> Fold:
    """Train is rows 0 to 159, validation begins at row 170."""
    splits = Splits(train=rows(0, 159), validation=rows(170, 189), test=rows(195, 199))
    return Fold(number=3, splits=splits, blocks=(), left_out=left_out)


def rows_in(span: Span) -> tuple[int, int]:
    """First and last row of a span."""
    inside = np.flatnonzero((to_utc64(span.after) < CLOSES) & (to_utc64(span.until) >= CLOSES))
    return int(inside[0]), int(inside[-1])


def shared(*left_out: Span) -> tuple[tuple[int, int], ...]:
    """Rows of a fold that forecaster, its validation, and policies have."""
    spans = spans_of_fold(CLOSES, fold_without(*left_out), CONFIG)
    return rows_in(spans.fit), rows_in(spans.validation), rows_in(spans.policies)


class TestSpans:
    def test_a_fold_without_gap_is_shared_like_the_whole(self) -> None:
        expected = forecasting_spans(CLOSES, rows(0, 159), CONFIG.validation)
        assert spans_of_fold(CLOSES, fold_without(), CONFIG) == expected
        assert shared() == ((0, 59), (60, 79), (80, 159))

    def test_a_gap_in_the_policies_half_moves_the_halves_alone(self) -> None:
        assert shared(rows(120, 139)) == ((0, 51), (52, 69), (70, 159))

    def test_behind_a_gap_at_the_beginning_the_forecaster_begins(self) -> None:
        assert shared(rows(0, 39)) == ((40, 84), (85, 99), (100, 159))

    @pytest.mark.parametrize(
        ("gap", "fit", "validation"),
        [((20, 59), (60, 89), (90, 99)), ((44, 83), (0, 32), (33, 43))],
        ids=["early", "late"],
    )
    def test_of_a_half_with_a_gap_it_has_the_longer_side(
        self, gap: tuple[int, int], fit: tuple[int, int], validation: tuple[int, int]
    ) -> None:
        assert shared(rows(*gap)) == (fit, validation, (100, 159))

    def test_a_stretch_that_cannot_be_shared_is_refused(self) -> None:
        gaps = [rows(row, row) for row in range(1, 160, 2)]
        with pytest.raises(InsufficientDataError, match="fold 3 leaves 1 bars in a row to fit a forecaster on"):
            spans_of_fold(CLOSES, fold_without(*gaps), CONFIG)

    @pytest.mark.parametrize(
        ("chosen", "run"),
        [("", (0, 0)), ("000", (0, 0)), ("111", (0, 3)), ("0110111", (4, 7)), ("1110110", (0, 3)), ("0110110", (1, 3))],
    )
    def test_the_longest_run_is_the_first_of_equals(self, chosen: str, run: tuple[int, int]) -> None:
        assert _longest_run(np.array([one == "1" for one in chosen], dtype=bool)) == slice(*run)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> SmallMarket:
    return small_market(tmp_path_factory.mktemp("folds"))


@pytest.fixture(scope="module")
def folds(market: SmallMarket) -> Folds:
    ground = Ground(
        market.panel.close_time,
        splits_of(market.project, market.retraining, market.universe),
        market.project.split_settings(market.universe),
    )
    return {scheme.scheme: scheme.split(ground) for scheme in (WalkForward(folds=2), CombinatorialPurged())}


@pytest.fixture(scope="module")
def ask(market: SmallMarket) -> Ask:
    """The forecaster of a fold, asked about train and validation of the universe."""
    return lambda fold: refitted(market, shown(market), fold)


def shown(market: SmallMarket) -> Panel:
    return market.panel.between(None, splits_of(market.project, market.retraining, market.universe).validation.until)


def spans_of(market: SmallMarket, fold: Fold) -> ForecastingSpans:
    return spans_of_fold(market.panel.close_time, fold, market.project.forecasting)


def refitted(market: SmallMarket, panel: Panel, fold: Fold) -> ObservedForecasts:
    return refit_on(market.project, market.retraining, market.universe)(panel, fold)


# Combinatorial folds by what is tested: 0 the first two blocks, so that the forecaster learns from what follows; 1 the first
# and the third, so that it has the bars between.
CASES = [("walk-forward", 1), ("combinatorial", 0), ("combinatorial", 1)]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def fold(request: pytest.FixtureRequest, folds: Folds) -> Fold:
    scheme, number = request.param
    return folds[scheme][number]


class TestFittedFold:
    def test_it_says_what_it_knows_and_leaves_policies_what_follows(self, market: SmallMarket, fold: Fold, ask: Ask) -> None:
        observed = ask(fold)
        spans = spans_of(market, fold)
        assert observed.knows_until == spans.knows_until <= observed.policies.after
        assert observed.policies == spans.policies
        assert observed.policies.until == fold.splits.train.until
        assert observed.possibly_knows_until is None

    def test_every_row_that_is_decided_on_has_forecasts_and_an_embedding(self, market: SmallMarket, fold: Fold, ask: Ask) -> None:
        given, panel = shown(market), ask(fold).panel
        np.testing.assert_array_equal(panel.close_time, given.close_time)
        np.testing.assert_array_equal(panel.mask, given.mask)
        assert panel.forecast.shape[-1] == 7 * len(HORIZONS)
        assert np.isfinite(panel.forecast[panel.mask]).all()
        assert np.abs(panel.embedding[panel.mask]).max(axis=-1).min() > 0

    def test_prices_it_is_tested_on_change_nothing(self, market: SmallMarket, fold: Fold, ask: Ask, tmp_path: Path) -> None:
        tested = [block.span for block in fold.blocks]
        other = small_market(tmp_path, lambda bars: with_other_prices(bars, *tested))
        rewritten, as_they_were = shown(other), shown(market)
        changed = within(rewritten.close_time, tested)
        assert (rewritten.close != as_they_were.close)[changed].all()
        if fold.left_out:
            # What features of later rows carry over the end of a block reaches policies as well: embargo is for that.
            rewritten = rows_of(rewritten, as_they_were, changed)
        assert refitted(other, rewritten, fold).forecaster == ask(fold).forecaster


def test_prices_it_learns_from_do_change_it(market: SmallMarket, folds: Folds, ask: Ask, tmp_path: Path) -> None:
    fold = folds["combinatorial"][0]
    until = spans_of(market, fold).fit.until
    learnt = Span(after=until - timedelta(days=10), until=until)
    other = small_market(tmp_path, lambda bars: with_other_prices(bars, learnt))
    assert refitted(other, shown(other), fold).forecaster != ask(fold).forecaster


def test_folds_that_learn_from_other_bars_have_other_forecasters(folds: Folds, ask: Ask) -> None:
    chosen = [folds[scheme][number] for scheme, number in CASES]
    assert len({ask(fold).forecaster for fold in chosen}) == len(chosen)


def within(close_time: np.ndarray, spans: Sequence[Span]) -> np.ndarray:
    """`[T]`: closes that lie in one of the spans."""
    return np.any([(close_time > to_utc64(span.after)) & (close_time <= to_utc64(span.until)) for span in spans], axis=0)


def rows_of(one: Panel, other: Panel, chosen: np.ndarray) -> Panel:
    """The chosen rows of one panel, and the rest of another of the same grid."""
    names = ("features", "mask", "tradable", "open", "close", "context", "volatility", "traded_value")

    def joined(name: str) -> np.ndarray:
        mine, others = getattr(one, name), getattr(other, name)
        return np.where(chosen.reshape(-1, *(1,) * (mine.ndim - 1)), mine, others)

    return replace(other, **{name: joined(name) for name in names})
