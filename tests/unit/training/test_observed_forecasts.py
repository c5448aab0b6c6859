"""Policies that observe a forecaster learn from bars it was not fitted on, and folds observe none that knows their blocks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.training.forecast_lessons import FOLLOWER, fitted_forecasts, refit, with_prices
from tests.unit.training.lessons import RULES, make_inputs
from toto_ops.configuration import Settings
from toto_ops.errors import LookAheadError
from toto_ops.evaluation.backtests.proving import FoldPolicy, Proving, prove
from toto_ops.evaluation.statistics.bootstrap import BootstrapConfig
from toto_ops.features.moments import to_aware, to_utc64
from toto_ops.features.panel import Panel
from toto_ops.forecasting.spans import forecasting_spans
from toto_ops.learning.splits import SplitConfig
from toto_ops.simulation.backtest import run_backtests
from toto_ops.simulation.entrants import Entrant
from toto_ops.training.cross_validation import CombinatorialPurged, Fold, Ground, Scheme, WalkForward
from toto_ops.training.line import LineConfig, TrainedPolicy, TrainingInputs
from toto_ops.training.observed_forecasts import (
    ObservedForecasts,
    observing,
    observing_fold_inputs,
    refuse_forgotten_parents,
)
from toto_ops.universes import load_universes

APART = SplitConfig(horizon_bars=2, embargo_bars=5)
SCHEMES: dict[str, Scheme] = {"walk-forward": WalkForward(folds=3), "combinatorial": CombinatorialPurged(folds=3, test_folds=2)}
EVERY_SCHEME = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


@pytest.fixture
def inputs(tmp_path: Path) -> TrainingInputs:
    return make_inputs(tmp_path, rows=420)


def forecasts_of(inputs: TrainingInputs) -> ObservedForecasts:
    return fitted_forecasts(inputs.panel, forecasting_spans(inputs.panel.close_time, inputs.splits.train, 0.25))


def folds_of(inputs: TrainingInputs, scheme: Scheme) -> tuple[Fold, ...]:
    return scheme.split(Ground(inputs.panel.close_time, inputs.splits, APART))


def trained(inputs: TrainingInputs, folder: Path) -> TrainedPolicy:
    return FOLLOWER.train(inputs, LineConfig(), folder)


def rows_between(panel: Panel, after, until) -> np.ndarray:
    return (panel.close_time > to_utc64(after)) & (panel.close_time <= to_utc64(until))


class TestOneTraining:
    def test_the_trainer_learns_from_the_second_half_of_train_and_sees_the_forecasts(self, inputs: TrainingInputs) -> None:
        forecasts = forecasts_of(inputs)
        given = observing(inputs, forecasts)
        assert given.panel is forecasts.panel
        assert given.panel.embedding.any()
        train = rows_between(inputs.panel, inputs.splits.train.after, inputs.splits.train.until)
        learnt = rows_between(inputs.panel, given.splits.train.after, given.splits.train.until)
        assert given.splits.train.until == inputs.splits.train.until
        assert 0 <= learnt.sum() - train.sum() / 2 <= 1
        assert given.splits.validation == inputs.splits.validation
        assert given.splits.test == inputs.splits.test

    def test_what_the_forecaster_knows_is_known_to_the_policy(self, inputs: TrainingInputs, tmp_path: Path) -> None:
        released = inputs.splits.test.until + timedelta(days=30)
        forecasts = replace(forecasts_of(inputs), possibly_knows_until=released)
        given = observing(inputs, forecasts)
        assert given.parents_know_until == forecasts.knows_until
        manifest = trained(given, tmp_path).manifest
        assert manifest.possibly_knows_until == released
        assert manifest.forecaster == forecasts.forecaster
        teacher = replace(inputs, parents_know_until=inputs.splits.validation.until)
        assert observing(teacher, forecasts).parents_know_until == inputs.splits.validation.until

    @pytest.mark.parametrize("later", [timedelta(days=1), timedelta(days=1000)], ids=["by a bar", "by far"])
    def test_a_forecaster_that_knows_what_policies_learn_from_is_refused(self, inputs: TrainingInputs, later: timedelta) -> None:
        forecasts = forecasts_of(inputs)
        knowing = replace(forecasts, knows_until=forecasts.policies.after + later)
        with pytest.raises(LookAheadError, match=r"the forecaster knows bars up to .* would learn from bars after"):
            observing(inputs, knowing)

    def test_bars_outside_of_train_are_not_learnt_from(self, inputs: TrainingInputs) -> None:
        forecasts = forecasts_of(inputs)
        beyond = forecasts.policies.model_copy(update={"until": inputs.splits.validation.until})
        with pytest.raises(LookAheadError, match="outside of train"):
            observing(inputs, replace(forecasts, policies=beyond))

    def test_a_trainer_that_forgets_its_parents_is_refused(self, inputs: TrainingInputs, tmp_path: Path) -> None:
        given = observing(inputs, replace(forecasts_of(inputs), possibly_knows_until=inputs.splits.test.until))
        manifest = trained(given, tmp_path).manifest
        refuse_forgotten_parents(given, manifest)
        for name in ("knows_until", "possibly_knows_until", "forecaster"):
            with pytest.raises(LookAheadError, match=f"the manifest of follower leaves out what its parents know: {name}"):
                refuse_forgotten_parents(given, manifest.model_copy(update={name: None}))


class TestFolds:
    @EVERY_SCHEME
    def test_the_trainer_of_a_fold_sees_forecasts_of_what_it_is_given_and_of_nothing_else(
        self, inputs: TrainingInputs, scheme: Scheme
    ) -> None:
        for fold in folds_of(inputs, scheme):
            given = observing_fold_inputs(inputs, fold, refit(inputs.panel, fold))
            left_out = np.any([rows_between(given.panel, span.after, span.until) for span in fold.left_out] or [False], axis=0)
            assert given.panel.mask.any()
            assert not (given.panel.mask & np.reshape(left_out, (-1, 1))).any()
            assert given.panel.embedding[given.panel.mask].all()
            assert not given.panel.embedding[~given.panel.mask].any()
            assert not given.panel.forecast[~given.panel.mask].any()
            assert to_aware(given.panel.close_time[-1:])[0] == fold.splits.validation.until
            assert fold.splits.train.after < given.splits.train.after < given.splits.train.until == fold.splits.train.until

    def test_every_fold_has_a_forecaster_of_its_own(self, inputs: TrainingInputs) -> None:
        given = [
            observing_fold_inputs(inputs, fold, refit(inputs.panel, fold)) for fold in folds_of(inputs, WalkForward(folds=3))
        ]
        assert len({one.forecaster for one in given}) == len({one.inputs_hash for one in given}) == 3

    def test_the_forecaster_of_the_universe_is_refused_where_it_knows_too_much(self, inputs: TrainingInputs) -> None:
        first, *_ = folds_of(inputs, WalkForward(folds=3, initial_share=0.3))
        of_all_of_train = forecasts_of(inputs)
        assert of_all_of_train.knows_until > first.splits.train.after
        with pytest.raises(LookAheadError):
            observing_fold_inputs(inputs, first, of_all_of_train)

    def test_one_fitted_up_to_the_end_of_the_fold_s_train_is_refused(self, inputs: TrainingInputs) -> None:
        (fold,) = folds_of(inputs, WalkForward(folds=1))
        fitted = refit(inputs.panel, fold)
        with pytest.raises(LookAheadError, match="the forecaster knows bars"):
            observing_fold_inputs(inputs, fold, replace(fitted, knows_until=fold.splits.train.until + timedelta(days=1)))

    @EVERY_SCHEME
    def test_bars_kept_from_a_fold_change_neither_its_forecaster_nor_its_policy(
        self, inputs: TrainingInputs, scheme: Scheme, tmp_path: Path
    ) -> None:
        fold = folds_of(inputs, scheme)[1]
        kept = ~rows_between(inputs.panel, fold.splits.train.after, fold.splits.validation.until)
        for span in fold.left_out:
            kept |= rows_between(inputs.panel, span.after, span.until)
        assert kept.any()
        spoilt = replace(inputs, panel=with_prices(inputs.panel, kept, 3.0))
        clean, dirty = (trained(observing_fold_inputs(one, fold, refit(one.panel, fold)), tmp_path) for one in (inputs, spoilt))
        assert clean.manifest.forecaster == dirty.manifest.forecaster
        if not fold.left_out:  # a forecaster may look back on bars left out before those it is asked about, as features do
            assert torch.equal(clean.policy.slope, dirty.policy.slope)  # type: ignore[arg-type]

    def test_bars_a_fold_is_given_do_change_both(self, inputs: TrainingInputs, tmp_path: Path) -> None:
        """Otherwise the test above could not fail."""
        fold = folds_of(inputs, WalkForward(folds=3))[1]
        first = np.arange(inputs.panel.rows) == 20
        spoilt = replace(inputs, panel=with_prices(inputs.panel, first, 3.0))
        clean, dirty = (trained(observing_fold_inputs(one, fold, refit(one.panel, fold)), tmp_path) for one in (inputs, spoilt))
        assert clean.manifest.forecaster != dirty.manifest.forecaster
        assert not torch.equal(clean.policy.slope, dirty.policy.slope)  # type: ignore[arg-type]

    @EVERY_SCHEME
    def test_every_policy_is_proven_on_the_forecasts_of_its_own_fold(
        self, inputs: TrainingInputs, scheme: Scheme, tmp_path: Path
    ) -> None:
        policies, folds = [], folds_of(inputs, scheme)
        for fold in folds:
            forecasts = refit(inputs.panel, fold)
            made = trained(observing_fold_inputs(inputs, fold, forecasts), tmp_path)
            policies.append(FoldPolicy(fold, made.policy, made.manifest, forecasts.panel))
        universe = load_universes(Settings()).universe("crypto")
        proving = Proving(universe, inputs.panel, RULES, BootstrapConfig(samples=100, block_length=5))
        blocks, _ = prove(proving, policies, scheme)
        assert len(blocks) == sum(len(fold.blocks) for fold in folds)
        by_fold = {proven.fold.number: proven for proven in policies}
        for block in blocks:
            proven = by_fold[block.fold]
            bars = proven.panel.between(block.span.after, block.span.until)
            (alone,) = run_backtests(bars, [Entrant("alone", proven.policy, RULES, proven.policy.inputs)])
            assert block.performance.total_return.value == pytest.approx(alone.total_return, abs=1e-12)
