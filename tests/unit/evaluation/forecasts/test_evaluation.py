from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from tests.unit.evaluation.forecasts.forecast_samples import CONTESTANTS, START, made_up, moments, span_of
from toto_ops.evaluation.forecasts import evaluation
from toto_ops.evaluation.forecasts.documents import ForecastEvaluation, HorizonEvaluation
from toto_ops.evaluation.forecasts.evaluation import evaluate_forecasts
from toto_ops.evaluation.forecasts.span_forecasts import SpanForecasts, SymbolForecasts
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig, resample_indices
from toto_ops.forecasting.quantiles import LEVELS
from toto_ops.forecasting.skill import information_coefficient

FEW = BootstrapConfig(samples=100, block_length=10)
MIDDLE = 4


def point(values: list[float]) -> np.ndarray:
    """Forecasts `[N, 1, Q]` of one horizon that are sure of themselves."""
    return np.repeat(np.array(values)[:, None, None], len(LEVELS), axis=2)


def at(found: ForecastEvaluation, horizon: int) -> HorizonEvaluation:
    """The pooled figures of a horizon."""
    return next(one for one in found.pooled if one.horizon == horizon)


def of_points(forecaster: list[float], baseline: list[float], realised: list[float], scale: float) -> SpanForecasts:
    """One symbol at one horizon of one bar, one baseline."""
    quantiles = np.stack([point(forecaster), point(baseline)]).astype(np.float32)
    symbol = SymbolForecasts("AAA", moments(len(realised)), quantiles, np.array(realised)[:, None], scale)
    return span_of([symbol], horizons=(1,), contestants=("forecaster", "drift"))


@pytest.fixture(scope="module")
def three() -> SpanForecasts:
    """Three symbols of different length and skill, with holes."""
    symbols = [
        made_up(name, skill=skill, seed=seed, bars=bars)
        for seed, (name, skill, bars) in enumerate((("AAA", 0.5, 120), ("BBB", 0.0, 90), ("CCC", 0.2, 120)))
    ]
    holes = symbols[0].quantiles.copy()
    holes[2, 10:14] = np.nan
    symbols[0] = replace(symbols[0], quantiles=holes)
    symbols[2] = replace(symbols[2], scale=float("nan"))
    return span_of(symbols)


def test_every_figure_of_four_outcomes_computed_by_hand():
    found = evaluate_forecasts(of_points([0.01, 0.03, -0.01, 0.03], [0.0] * 4, [0.02, 0.02, 0.01, -0.01], scale=0.02), FEW)
    own = at(found, 1).forecaster
    # Errors 0.01, 0.01, 0.02 and 0.04; the loss of a sure forecast is half its error, the CRPS all of it.
    assert own.mase == pytest.approx(0.02 / 0.02)
    assert own.crps == pytest.approx(0.02)
    assert own.weighted_quantile_loss == pytest.approx(0.08 / 0.06)
    assert (own.direction.calls, own.direction.accuracy, own.direction.base_rate) == (4, 0.5, 0.75)
    assert own.direction.edge.value == pytest.approx(-0.25)
    # At least 2 of 4 with a chance of 3/4 each.
    assert own.direction.p_value == pytest.approx(1 - 0.25**4 - 4 * 0.75 * 0.25**3)
    # The second and the last outcome came to lie below what was said, the others above.
    assert own.calibration.below == pytest.approx([0.5] * 9)
    assert own.calibration.error == pytest.approx(2.0 / 9)
    (against,) = at(found, 1).comparisons
    assert against.skill.value == pytest.approx(1 - 0.08 / 0.06)
    baseline = at(found, 1).scores[1]
    assert (baseline.direction.calls, baseline.direction.accuracy, baseline.direction.p_value) == (0, None, None)
    assert baseline.information_coefficient.value == 0.0


@pytest.mark.parametrize("column", [0, 1])
def test_pooled_figures_are_those_of_a_loop_over_all_outcomes(three, column):
    horizon = three.horizons[column]
    found = at(evaluate_forecasts(three, FEW), horizon)
    for row, scores in enumerate(found.scores):
        losses, errors, sizes, below, hits, rises, falls, medians, ended = [], [], [], [], [], 0, 0, [], []
        spaced: list[bool] = []
        for symbol in three.symbols:
            ranked = []
            for bar, outcome in enumerate(symbol.realised[:, column]):
                if np.isnan(outcome) or np.isnan(symbol.quantiles[:, bar, column]).any():
                    continue
                said = symbol.quantiles[row, bar, column].astype(np.float64)
                losses.append(
                    np.mean([max(q * (outcome - f), (q - 1) * (outcome - f)) for q, f in zip(LEVELS, said, strict=True)])
                )
                sizes.append(abs(outcome))
                below.append([outcome <= f for f in said])
                ranked.append((said[MIDDLE], outcome))
                if not np.isnan(symbol.scale):
                    errors.append(abs(outcome - said[MIDDLE]) / symbol.scale)
                if said[MIDDLE] != 0 and outcome != 0:
                    hits.append((said[MIDDLE] > 0) == (outcome > 0))
                    rises, falls = rises + (outcome > 0), falls + (outcome < 0)
                    if bar % horizon == 0:
                        spaced.append(hits[-1])
            medians.append(information_coefficient(*np.array(ranked).T))
            ended.append(len(ranked))
        assert found.outcomes == len(losses) == sum(ended)
        assert scores.crps == pytest.approx(2 * np.mean(losses))
        assert scores.weighted_quantile_loss == pytest.approx(2 * np.sum(losses) / np.sum(sizes))
        assert scores.mase == pytest.approx(np.mean(errors))
        assert scores.calibration.below == pytest.approx(np.mean(below, axis=0))
        assert scores.calibration.error == pytest.approx(np.abs(np.mean(below, axis=0) - LEVELS).mean())
        assert scores.information_coefficient.value == pytest.approx(np.mean(medians), abs=1e-12)
        assert scores.direction.calls == len(hits)
        if hits:
            base_rate = max(rises, falls) / len(hits)
            assert scores.direction.accuracy == pytest.approx(np.mean(hits))
            assert scores.direction.base_rate == pytest.approx(base_rate)
            assert scores.direction.edge.value == pytest.approx(np.mean(hits) - base_rate)
            exact = binomtest(sum(spaced), len(spaced), base_rate, alternative="greater").pvalue
            assert scores.direction.p_value == pytest.approx(exact)


def test_a_symbols_figures_are_those_of_the_symbol_evaluated_alone(three):
    alone = replace(three, symbols=three.symbols[1:2])
    together, apart = evaluate_forecasts(three, FEW).symbols[1], evaluate_forecasts(alone, FEW)
    for one, other in zip(together.horizons, apart.pooled, strict=True):
        assert one.model_dump(exclude={"scores": {0: {"information_coefficient", "direction"}}, "comparisons": True}) == (
            other.model_dump(exclude={"scores": {0: {"information_coefficient", "direction"}}, "comparisons": True})
        )
        assert [one.skill.value for one in one.comparisons] == [one.skill.value for one in other.comparisons]


@pytest.mark.parametrize(("column", "block_length"), [(0, 10.0), (1, 10.0), (1, 2.0)])
def test_intervals_are_those_of_resampled_moments_whose_symbols_stay_together(three, column, block_length):
    """Each resample gathers the outcomes of the drawn moments one by one; blocks are never shorter than the horizon."""
    horizon = three.horizons[column]
    config = BootstrapConfig(samples=100, block_length=block_length)
    times = moments(120 - horizon)
    losses = np.zeros((len(times), len(CONTESTANTS)))
    called, right, rose = np.zeros((3, len(times)))
    for symbol in three.symbols:
        for bar, outcome in enumerate(symbol.realised[:, column]):
            said = symbol.quantiles[:, bar, column].astype(np.float64)
            if np.isnan(outcome) or np.isnan(said).any():
                continue
            missed = outcome - said
            losses[bar] += np.maximum(np.array(LEVELS) * missed, (np.array(LEVELS) - 1) * missed).mean(axis=1)
            called[bar] += 1
            right[bar] += np.sign(said[0, MIDDLE]) == np.sign(outcome)
            rose[bar] += outcome > 0
    drawn = resample_indices(len(times), config.model_copy(update={"block_length": max(block_length, float(horizon))}))
    skills = np.array([1 - losses[bars, 0].sum() / losses[bars].sum(axis=0)[1:] for bars in drawn])
    rates = np.array([max(rose[bars].sum(), (called - rose)[bars].sum()) / called[bars].sum() for bars in drawn])
    edges = np.array([right[bars].sum() / called[bars].sum() for bars in drawn]) - rates
    found = at(evaluate_forecasts(three, config), horizon)
    for position, comparison in enumerate(found.comparisons):
        low, high = np.quantile(skills[:, position], [0.05, 0.95])
        assert (comparison.skill.low, comparison.skill.high) == (pytest.approx(low), pytest.approx(high))
    edge = found.forecaster.direction.edge
    assert (edge.low, edge.high) == (pytest.approx(np.quantile(edges, 0.05)), pytest.approx(np.quantile(edges, 0.95)))


def test_a_symbol_counted_twice_makes_nothing_more_certain():
    symbol = made_up("AAA", skill=0.1)
    once = evaluate_forecasts(span_of([symbol]), FEW)
    twice = evaluate_forecasts(span_of([symbol, replace(symbol, symbol="BBB")]), FEW)
    for one, other in zip(once.pooled, twice.pooled, strict=True):
        for single, double in zip(one.comparisons, other.comparisons, strict=True):
            assert double.skill.low == pytest.approx(single.skill.low)
            assert double.skill.high == pytest.approx(single.skill.high)


def test_a_forecaster_that_knows_something_beats_all_that_cost_nothing():
    found = evaluate_forecasts(span_of([made_up(f"S{seed}", skill=0.5, seed=seed) for seed in range(4)]), FEW)
    for at in found.pooled:
        assert at.beats_all
        assert at.forecaster.direction.edge.low > 0.1
        assert at.forecaster.direction.p_value < 1e-6
        assert at.forecaster.information_coefficient.low > 0.3


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_not_found_to_beat_a_random_walk_of_the_right_volatility(seed):
    found = evaluate_forecasts(span_of([made_up("AAA", skill=0.0, seed=seed)]), FEW)
    for at in found.pooled:
        assert "ewma" in at.unbeaten
        assert not at.beats_all


def test_loud_noise_is_found_to_be_worse():
    found = evaluate_forecasts(span_of([made_up("AAA", skill=-1.0)]), FEW)
    assert {one.against: one.standing for one in at(found, 1).comparisons}["ewma"] == "worse"


def test_a_baseline_that_says_the_same_is_not_beaten():
    forecasts = made_up("AAA", skill=0.5)
    same = forecasts.quantiles.copy()
    same[1:] = same[0] * np.float32(1 + 1e-7)
    for at in evaluate_forecasts(span_of([replace(forecasts, quantiles=same)]), FEW).pooled:
        assert {one.standing for one in at.comparisons} == {"no different"}
        assert {one.skill.value for one in at.comparisons} == {0.0}


def test_only_the_random_walk_of_the_right_volatility_is_calibrated():
    found = evaluate_forecasts(span_of([made_up(f"S{seed}", skill=-1.0, seed=seed, bars=800) for seed in range(3)]), FEW)
    off = {one.contestant: one.calibration.error for one in at(found, 1).scores}
    assert off["ewma"] < 0.02
    assert off["forecaster"] > 0.1


@given(factor=st.floats(0.01, 100.0), seed=st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_scores_without_unit_do_not_change_with_the_size_of_returns(factor, seed):
    forecasts = made_up("AAA", skill=0.3, seed=seed, bars=60)
    larger = SymbolForecasts(
        "AAA",
        forecasts.close_time,
        forecasts.quantiles * np.float32(factor),
        forecasts.realised * factor,
        forecasts.scale * factor,
    )
    one, other = (at(evaluate_forecasts(span_of([symbol]), FEW), 5) for symbol in (forecasts, larger))
    assert other.forecaster.mase == pytest.approx(one.forecaster.mase, rel=1e-5)
    assert other.forecaster.weighted_quantile_loss == pytest.approx(one.forecaster.weighted_quantile_loss, rel=1e-5)
    assert other.forecaster.crps == pytest.approx(one.forecaster.crps * factor, rel=1e-5)
    assert other.comparisons[2].skill.low == pytest.approx(one.comparisons[2].skill.low, rel=1e-4, abs=1e-6)


def test_long_spans_are_resampled_in_groups_of_neighbours_with_much_the_same_intervals(monkeypatch):
    span = span_of([made_up(f"S{seed}", skill=0.2, seed=seed, bars=900) for seed in range(3)])
    config = BootstrapConfig(samples=400, block_length=20)
    one_by_one = at(evaluate_forecasts(span, config), 5)
    monkeypatch.setattr(evaluation, "MOST_MOMENTS", 300)
    grouped = at(evaluate_forecasts(span, config), 5)
    assert grouped.forecaster.mase == one_by_one.forecaster.mase
    for one, other in zip(grouped.comparisons, one_by_one.comparisons, strict=True):
        assert one.skill.value == pytest.approx(other.skill.value)
        assert one.skill.high - one.skill.low == pytest.approx(other.skill.high - other.skill.low, rel=0.3)


def test_a_symbol_without_an_outcome_has_no_figures_and_changes_nobody_elses():
    known = made_up("AAA", skill=0.5)
    young = replace(made_up("NEW", skill=0.5, bars=3), realised=np.full((3, 2), np.nan))
    found = evaluate_forecasts(span_of([known, young]), FEW)
    nothing = found.symbols[1].horizons[0]
    own = nothing.forecaster
    assert (nothing.outcomes, own.mase, own.crps, own.weighted_quantile_loss, own.calibration) == (0, None, None, None, None)
    assert (own.information_coefficient.value, own.direction.accuracy, own.direction.p_value) == (None, None, None)
    assert {one.standing for one in nothing.comparisons} == {"no different"}
    for with_it, without in zip(found.pooled, evaluate_forecasts(span_of([known]), FEW).pooled, strict=True):
        assert with_it.scores[1:] == without.scores[1:]
        assert with_it.forecaster.crps == without.forecaster.crps
        for one, other in zip(with_it.comparisons, without.comparisons, strict=True):
            assert one.skill.low == pytest.approx(other.skill.low)


def test_a_correlation_is_never_more_certain_than_one():
    sure = at(evaluate_forecasts(span_of([made_up("AAA", skill=0.99)]), FEW), 1)
    assert sure.forecaster.information_coefficient.high <= 1.0


def test_a_horizon_longer_than_the_span_has_no_figures_and_the_others_have_theirs():
    found = evaluate_forecasts(span_of([made_up("AAA", skill=0.5, bars=4)]), FEW)
    assert at(found, 1).outcomes > 0
    assert at(found, 1).forecaster.crps is not None
    longer = at(found, 5)
    assert (longer.outcomes, longer.forecaster.crps, longer.forecaster.calibration) == (0, None, None)
    assert not longer.beats_all
    assert {one.skill.value for one in longer.comparisons} == {None}


def test_constant_prices_have_no_score_that_divides_by_their_changes():
    found = at(evaluate_forecasts(of_points([0.0] * 6, [0.0] * 6, [0.0] * 6, scale=float("nan")), FEW), 1)
    own = found.forecaster
    assert (own.mase, own.weighted_quantile_loss, own.crps, own.direction.calls) == (None, None, 0.0, 0)
    assert found.comparisons[0].skill.value is None


def test_it_is_stored_without_not_a_numbers_and_read_back(three):
    found = evaluate_forecasts(three, FEW)
    text = found.model_dump_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the document"))
    assert ForecastEvaluation.stored(json.loads(text)) == found
    assert found.pooled_only().pooled == found.pooled
    assert found.pooled_only().symbols == ()


def test_it_says_whether_bars_of_the_span_made_the_forecaster(three):
    later = START + timedelta(days=1)
    honest = evaluate_forecasts(three, FEW)
    assert (honest.seen, honest.possibly_seen) == (False, False)
    assert evaluate_forecasts(replace(three, knows_until=later), FEW).seen
    assert evaluate_forecasts(replace(three, possibly_knows_until=later), FEW).possibly_seen
