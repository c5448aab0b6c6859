from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta

import numpy as np
import pytest

from toto_ops.errors import InsufficientDataError
from toto_ops.evaluation.judgement.candidates import choose_challenger
from toto_ops.evaluation.judgement.champion import against_champion
from toto_ops.evaluation.judgement.criteria import champion_criterion


@pytest.fixture
def compared(panel, universe, gates):
    def run(challenger, champion):
        return against_champion(panel, universe, gates, challenger=challenger, champion=champion)

    return run


def test_only_bars_after_both_were_made_are_compared(compared, candidate, panel, splits):
    newest = panel.close_time[-101].astype(object)

    known = newest.replace(tzinfo=UTC)
    comparison = compared(candidate("bc", knows_until=known - timedelta(days=50)), candidate("champion", knows_until=known))
    assert comparison.bars == 99


def test_bars_that_decided_the_champions_own_promotion_do_not_count(compared, candidate, splits):
    champion = candidate("champion", knows_until=splits.validation.until, selected_until=splits.test.until)
    comparison = compared(candidate("bc", knows_until=splits.validation.until), champion)
    assert comparison.bars == 0
    assert comparison.difference is None


def test_bars_that_either_may_know_through_weights_from_elsewhere_do_not_count(compared, candidate, panel):
    released = panel.close_time[-101].astype(object).replace(tzinfo=UTC)
    known = released - timedelta(days=50)
    assert compared(candidate("bc", knows_until=known), candidate("champion", knows_until=known)).bars > 99
    for contaminated in ("bc", "champion"):
        pair = [
            candidate(line, knows_until=known, possibly_knows_until=released if line == contaminated else None)
            for line in ("bc", "champion")
        ]
        assert compared(*pair).bars == 99


def test_a_twin_of_the_champion_is_not_inferior(compared, candidate, splits, gates):
    comparison = compared(
        candidate("bc", knows_until=splits.validation.until), candidate("champion", knows_until=splits.train.until)
    )
    assert (comparison.difference.low, comparison.difference.high) == (0.0, 0.0)
    assert champion_criterion(comparison, gates.champion).verdict == "pass"


def test_the_pair_at_the_level_of_the_report_is_wider_than_at_that_of_the_gate(compared, candidate, splits):
    comparison = compared(candidate("bc", knows_until=splits.validation.until), candidate("champion", contrary=True))
    wide, narrow = comparison.paired.sharpe, comparison.difference
    assert comparison.paired.against == "champion champion"
    assert (comparison.paired.bars, wide.value) == (comparison.bars, pytest.approx(narrow.value))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert comparison.paired.mean_log_return.low > 0


def test_a_contrary_challenger_is_inferior_and_a_better_one_is_not(compared, candidate, splits, gates):
    worse = compared(candidate("bc", knows_until=splits.validation.until, contrary=True), candidate("champion"))
    better = compared(candidate("bc", knows_until=splits.validation.until), candidate("champion", contrary=True))
    assert champion_criterion(worse, gates.champion).verdict == "fail"
    assert champion_criterion(better, gates.champion).verdict == "pass"
    assert worse.challenger_sharpe.value < worse.champion_sharpe.value
    assert better.difference.low > 0


def test_a_champion_that_stands_still_can_be_replaced_by_one_that_earns_and_by_no_other(compared, candidate, gates):
    idle = candidate("champion", idle=True)
    assert champion_criterion(compared(candidate("bc"), idle), gates.champion).verdict == "pass"
    loser = compared(candidate("bc", contrary=True), idle)
    assert champion_criterion(loser, gates.champion).verdict == "fail"
    assert loser.champion_sharpe.value == 0.0


def test_bars_the_challenger_knows_do_not_count_either(compared, candidate, panel):
    known = panel.close_time[-101].astype(object).replace(tzinfo=UTC)
    assert compared(candidate("bc", knows_until=known), candidate("champion")).bars == 99


def test_models_that_were_fitted_to_nothing_are_compared_on_everything(compared, candidate, panel):
    assert compared(candidate("bc"), candidate("champion")).bars == panel.rows - 1


def test_the_challenger_is_the_best_on_validation_whatever_the_test_span_says(candidate, panel, universe, splits):
    good, bad, idle = candidate("good"), candidate("bad", contrary=True), candidate("idle", idle=True)
    assert choose_challenger([idle, bad, good], panel, universe, splits) is good
    validation_ends = np.datetime64(splits.validation.until.replace(tzinfo=None))
    features = panel.features.copy()
    features[panel.close_time > validation_ends] *= -1

    assert choose_challenger([idle, bad, good], replace(panel, features=features), universe, splits) is good


def test_a_candidate_that_never_trades_loses_to_one_that_loses_money(candidate, panel, universe, splits):
    loser = candidate("zzz", contrary=True)
    assert choose_challenger([candidate("idle", idle=True), loser], panel, universe, splits) is loser


def test_nobody_cannot_be_chosen(panel, universe, splits):
    with pytest.raises(InsufficientDataError, match="no candidate"):
        choose_challenger([], panel, universe, splits)
