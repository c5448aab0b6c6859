"""Folds keep apart what is trained on and what is tested on, and never come near the test span."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import combinations, pairwise
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skfolio.model_selection import WalkForward as SkfolioWalkForward

from tests.unit.training.lessons import QUICK, make_inputs, make_panel
from toto_ops.configuration import parse_config
from toto_ops.errors import ConfigError, InsufficientDataError
from toto_ops.features.moments import to_aware, to_utc64
from toto_ops.learning.splits import Span, SplitConfig, make_splits
from toto_ops.training.bc import train_behaviour_cloning
from toto_ops.training.cross_validation import CombinatorialPurged, CrossValidationConfig, Fold, Ground, WalkForward, fold_inputs

CLOSES = make_panel(700).close_time
APART = SplitConfig(horizon_bars=2, embargo_bars=5)


def ground(*, horizon: int = 2, embargo: int = 5, known_until=None) -> Ground:
    config = SplitConfig(horizon_bars=horizon, embargo_bars=embargo)
    # The universe's own spans stay the same, so that only the folds differ.
    return Ground(CLOSES, make_splits(CLOSES, APART), config, known_until)


def rows(span: Span) -> set[int]:
    return set(np.flatnonzero((to_utc64(span.after) < CLOSES) & (to_utc64(span.until) >= CLOSES)).tolist())


def given_rows(fold: Fold) -> set[int]:
    """Rows the trainer sees, to fit or to validate."""
    return (rows(fold.splits.train) | rows(fold.splits.validation)) - set().union(*(rows(span) for span in fold.left_out))


def bars_tested_by(fold: Fold) -> list[list[int]]:
    return [sorted(rows(block.span)) for block in fold.blocks]


@pytest.mark.parametrize("scheme", [WalkForward(), CombinatorialPurged()], ids=["walk-forward", "combinatorial"])
def test_no_fold_reaches_the_test_span(scheme):
    on = ground()
    last = max(rows(on.splits.validation))
    for fold in scheme.split(on):
        assert max(given_rows(fold)) <= last
        assert max(max(block) for block in bars_tested_by(fold)) <= last


@pytest.mark.parametrize("scheme", [WalkForward(), CombinatorialPurged()], ids=["walk-forward", "combinatorial"])
def test_nothing_is_both_trained_on_and_tested_on_nor_both_fitted_and_validated_on(scheme):
    for fold in scheme.split(ground()):
        assert not given_rows(fold) & {row for block in bars_tested_by(fold) for row in block}
        assert not rows(fold.splits.train) & rows(fold.splits.validation)
        assert max(rows(fold.splits.train)) < min(rows(fold.splits.validation))


def test_a_walk_forward_policy_is_older_than_its_block_and_blocks_follow_each_other():
    folds = WalkForward(folds=4).split(ground())
    assert len(folds) == 4
    blocks = [block for fold in folds for block in bars_tested_by(fold)]
    assert all(max(given_rows(fold)) < min(block) for fold, block in zip(folds, blocks, strict=True))
    assert all(max(earlier) < min(later) for earlier, later in pairwise(blocks))


@pytest.mark.parametrize("horizon", [0, 1, 7])
def test_purge_alone_leaves_out_the_last_bars_before_each_boundary(horizon):
    for fold in WalkForward(folds=3).split(ground(horizon=horizon, embargo=0)):
        fitted, judged, (tested,) = sorted(rows(fold.splits.train)), sorted(rows(fold.splits.validation)), bars_tested_by(fold)
        assert judged[0] - fitted[-1] == horizon + 1
        assert tested[0] - judged[-1] == horizon + 1


@pytest.mark.parametrize("embargo", [0, 1, 7])
def test_embargo_alone_leaves_out_the_first_bars_after_each_boundary(embargo):
    with_it = WalkForward(folds=3).split(ground(horizon=0, embargo=embargo))
    without = WalkForward(folds=3).split(ground(horizon=0, embargo=0))
    for fold, plain in zip(with_it, without, strict=True):
        assert sorted(rows(fold.splits.train)) == sorted(rows(plain.splits.train))
        assert sorted(rows(fold.splits.validation)) == sorted(rows(plain.splits.validation))[embargo:]
        assert bars_tested_by(fold)[0] == bars_tested_by(plain)[0][embargo:]


@pytest.mark.parametrize("horizon", [0, 3])
def test_walk_forward_cuts_where_skfolio_does(horizon):
    on = ground(horizon=horizon, embargo=0)
    for fold in WalkForward(folds=4).split(on):
        ((first, *_, last),) = bars_tested_by(fold)
        theirs = SkfolioWalkForward(
            test_size=last - first + 1, train_size=first - horizon, expand_train=True, purged_size=horizon
        )
        train, test = next(theirs.split(np.zeros((len(on.closes), 1))))
        assert max(given_rows(fold)) == train[-1]
        assert (test[0], test[-1]) == (first, last)


def test_blocks_begin_after_everything_the_teacher_knows():
    (known_until,) = to_aware(CLOSES[450:451])
    folds = WalkForward(folds=2).split(ground(known_until=known_until))
    assert min(bars_tested_by(folds[0])[0]) > 450
    assert min(bars_tested_by(WalkForward(folds=2).split(ground())[0])[0]) < 450


def test_every_choice_of_blocks_is_tested_and_every_path_covers_all_bars_once():
    scheme = CombinatorialPurged(folds=6, test_folds=2)
    folds = scheme.split(ground())
    assert len(folds) == comb(6, 2)
    paths: dict[int, list[int]] = {}
    for fold in folds:
        for block, tested in zip(fold.blocks, bars_tested_by(fold), strict=True):
            paths.setdefault(block.path, []).extend(tested)
    assert len(paths) == comb(5, 1)
    assert all(sorted(path) == list(range(len(ground().closes))) for path in paths.values())


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 6), st.integers(0, 12), st.sampled_from([(4, 2), (5, 2), (5, 3)]))
def test_around_every_tested_block_bars_are_purged_on_both_sides_and_embargoed_after(horizon, embargo, sizes):
    on, (count, left_out) = ground(horizon=horizon, embargo=embargo), sizes
    folds = CombinatorialPurged(folds=count, test_folds=left_out).split(on)
    bars = len(on.closes)
    edges = np.minimum(np.arange(bars) // (bars // count), count - 1)
    for fold, chosen in zip(folds, combinations(range(count), left_out), strict=True):
        tested = np.isin(edges, chosen)
        near = [row for row in range(bars) if tested[max(row - horizon - embargo, 0) : row + horizon + 1].any()]
        allowed = set(range(bars)) - set(near)
        # Between train and validation of the fold itself as many bars are left out as at the universe's own boundary.
        border = set(range(max(rows(fold.splits.train)) + 1, min(rows(fold.splits.validation))))
        assert given_rows(fold) == allowed - border
        assert len(border & allowed) <= horizon + embargo


def test_too_few_bars_for_so_many_folds_are_refused():
    with pytest.raises(InsufficientDataError, match="folds"):
        WalkForward(folds=400).split(ground())
    with pytest.raises(InsufficientDataError, match="ask for fewer folds"):
        CombinatorialPurged(folds=80).split(ground())
    with pytest.raises(InsufficientDataError, match="nobody knows"):
        WalkForward().split(ground(known_until=to_aware(CLOSES[-1:])[0]))


def asked(**scheme: object):
    return parse_config({"scheme": {"scheme": "combinatorial", **scheme}}, CrossValidationConfig, Path("command line")).scheme


@pytest.mark.parametrize(("left_out", "most"), [(2, 14), (3, 9)])
def test_more_combinations_than_anybody_waits_for_are_refused_with_what_is_run(left_out: int, most: int):
    assert asked(folds=most, test_folds=left_out).combinations <= 100
    with pytest.raises(ConfigError, match=f"make {comb(most + 1, left_out)} folds to train.* `folds` of up to {most}"):
        asked(folds=most + 1, test_folds=left_out)


def test_the_trainer_of_a_fold_is_given_nothing_that_was_left_out(tmp_path: Path):
    inputs = make_inputs(tmp_path, rows=700)
    on = Ground(inputs.panel.close_time, inputs.splits, APART)
    for fold in CombinatorialPurged(folds=4, test_folds=2).split(on):
        given = fold_inputs(inputs, fold)
        inside = np.isin(np.arange(len(CLOSES)), sorted(given_rows(fold)))[: given.panel.rows]
        assert (given.panel.mask == inside[:, None]).all()
        assert (given.panel.tradable == inside[:, None]).all()
        assert np.isnan(given.panel.open[~inside]).all()
        assert not given.panel.features[~inside].any()
        for dataset in given.datasets.values():
            assert set(np.searchsorted(CLOSES, dataset.close_time)) == given_rows(fold)


def garbage_outside(inputs, fold):
    """The same inputs with nonsense in every bar and decision that the fold leaves out."""
    gone = np.ones(inputs.panel.rows, dtype=bool)
    gone[sorted(given_rows(fold))] = False
    features = np.where(gone[:, None, None], np.float32(1e9), inputs.panel.features)
    prices = {name: np.where(gone[:, None], 1e-9, getattr(inputs.panel, name)) for name in ("open", "close")}
    datasets = {
        symbol: replace(dataset, states=np.where(gone[:, None], np.float32(-1e9), dataset.states))
        for symbol, dataset in inputs.datasets.items()
    }
    return replace(inputs, panel=replace(inputs.panel, features=features, **prices), datasets=datasets)


def test_what_is_left_out_changes_no_weight(tmp_path: Path):
    inputs = make_inputs(tmp_path, rows=700)
    fold = CombinatorialPurged(folds=4, test_folds=2).split(Ground(inputs.panel.close_time, inputs.splits, APART))[1]
    config = QUICK.model_copy(update={"seeds": (0,), "epochs": 2})
    clean = train_behaviour_cloning(fold_inputs(inputs, fold), config, tmp_path / "clean")
    dirty = train_behaviour_cloning(fold_inputs(garbage_outside(inputs, fold), fold), config, tmp_path / "dirty")
    weights = clean.policy.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in dirty.policy.state_dict().items())
    assert clean.manifest.metrics == dirty.manifest.metrics


def test_every_fold_is_work_of_its_own_and_knows_its_own_bars(tmp_path: Path):
    inputs = make_inputs(tmp_path, rows=700)
    folds = WalkForward(folds=2).split(Ground(inputs.panel.close_time, inputs.splits, APART))
    config = QUICK.model_copy(update={"seeds": (0,), "epochs": 1})
    manifests = [
        train_behaviour_cloning(fold_inputs(inputs, fold), config, tmp_path / f"fold-{fold.number}").manifest for fold in folds
    ]
    assert len({manifest.inputs_hash for manifest in manifests}) == 2
    assert [manifest.knows_until for manifest in manifests] == [fold.splits.validation.until for fold in folds]
    assert len(list(inputs.ledger.trials())) == 2
    for fold, manifest in zip(folds, manifests, strict=True):
        assert not manifest.knows(fold.blocks[0].span.after + timedelta(days=1))


@pytest.mark.parametrize("teacher_knows", [None, 400, 480], ids=["no teacher", "an old teacher", "a teacher of later bars"])
@pytest.mark.parametrize("apart", [SplitConfig(horizon_bars=0, embargo_bars=0), APART], ids=["nothing left out", "kept apart"])
def test_no_policy_of_a_walk_forward_fold_is_tested_on_a_bar_it_knows(tmp_path: Path, apart: SplitConfig, teacher_knows):
    inputs = make_inputs(tmp_path, rows=700)
    known_until = None if teacher_knows is None else to_aware(CLOSES[teacher_knows : teacher_knows + 1])[0]
    inputs = replace(inputs, parents_know_until=known_until)
    config = QUICK.model_copy(update={"seeds": (0,), "epochs": 1})
    for fold in WalkForward(folds=2).split(Ground(inputs.panel.close_time, inputs.splits, apart, known_until)):
        manifest = train_behaviour_cloning(fold_inputs(inputs, fold), config, tmp_path / f"fold-{fold.number}").manifest
        ((first, *_),) = bars_tested_by(fold)
        assert manifest.knows_until == max(moment for moment in (fold.splits.validation.until, known_until) if moment)
        assert manifest.knows(to_aware(CLOSES[first - 1 : first])[0]) == (apart.embargo_bars + apart.horizon_bars == 0)
        assert not any(manifest.knows(moment) for moment in to_aware(CLOSES[sorted(bars_tested_by(fold)[0])]))
