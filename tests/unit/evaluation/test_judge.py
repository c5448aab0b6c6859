from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from toto_ops.errors import InsufficientDataError, LookAheadError
from toto_ops.evaluation.evidence import Evidence


def verdicts(evidence: Evidence) -> dict[str, str]:
    return {criterion.name: criterion.verdict for criterion in evidence.criteria}


def test_a_planted_signal_passes_every_gate(judged, candidate):
    evidence = judged(challenger=candidate("bc", accuracy="imitation"))
    assert evidence.verdict == "passed"
    assert set(verdicts(evidence).values()) == {"pass"}
    assert evidence.imitation.accuracy.value == 1.0
    assert evidence.challenger.performance.sharpe.low > 1.0


def test_a_contrary_policy_is_refused_by_return_sharpe_and_imitation(judged, candidate):
    evidence = judged(challenger=candidate("bc", accuracy="imitation", contrary=True))
    assert evidence.verdict == "refused"
    failed = {criterion.name for criterion in evidence.failures}
    assert {"Sharpe ratio", "total return", "imitation accuracy", "imitation macro-F1"} <= failed


def test_a_policy_that_never_trades_fails_for_want_of_a_sharpe_ratio_not_by_a_crash(judged, candidate):
    evidence = judged(challenger=candidate("bc", idle=True))
    sharpe = next(criterion for criterion in evidence.criteria if criterion.name == "Sharpe ratio")
    assert sharpe.verdict == "fail"
    assert sharpe.measured is None
    assert "not defined" in sharpe.note
    assert evidence.volatility_matching.scale == 0.0
    assert evidence.challenger.actions.hold == 1.0


def test_the_same_judgement_twice_gives_the_same_document(judged):
    assert judged().model_dump_json() == judged().model_dump_json()


def test_bars_at_or_before_knows_until_are_refused(judged, panel, splits, candidate):
    test = panel.between(splits.test.after, splits.test.until)
    first_close = splits.test.after + timedelta(days=1)
    assert np.datetime64(first_close.replace(tzinfo=None)) == test.close_time[0]
    judged(challenger=candidate("bc", knows_until=splits.test.after))
    with pytest.raises(LookAheadError, match="bc knows bars up to"):
        judged(challenger=candidate("bc", knows_until=first_close))


def test_a_fallback_or_an_ineligible_candidate_must_not_know_the_test_span_either(judged, splits, candidate):
    with pytest.raises(LookAheadError, match="fallback knows"):
        judged(fallback=candidate("fallback", knows_until=splits.test.until))
    with pytest.raises(LookAheadError, match="ppo knows"):
        judged(ineligible=[candidate("ppo", knows_until=splits.test.until)])


def test_everyone_is_shown_in_the_order_of_their_roles(judged, candidate):
    evidence = judged(ineligible=[candidate("ppo", contrary=True)])
    assert [(shown.name, shown.role) for shown in evidence.candidates] == [
        ("bc", "challenger"),
        ("fallback", "fallback"),
        ("equal weight", "benchmark"),
        ("volatility-matched equal weight", "benchmark"),
        ("cash", "benchmark"),
        ("ppo", "ineligible"),
    ]
    assert all(shown.actions is None for shown in evidence.candidates if shown.role == "benchmark")


def test_imitation_is_gated_on_the_test_span_and_its_gap_taken_from_the_others(judged, candidate, panel, splits):
    features = panel.features.copy()
    features[panel.close_time > np.datetime64(splits.train.until.replace(tzinfo=None))] = 0.0
    imitated = judged(
        bars=replace(panel, features=features), challenger=candidate("bc", accuracy="imitation", contrary=True)
    ).imitation
    assert imitated.train_accuracy < 0.5
    assert (imitated.validation_accuracy, imitated.accuracy.value, imitated.majority_share) == (1.0, 1.0, 1.0)
    assert imitated.gap.value == imitated.train_accuracy - 1.0


def test_an_ineligible_candidate_is_never_gated(judged, candidate):
    alone = judged()
    beside_a_better_one = judged(ineligible=[candidate("ppo")])
    assert beside_a_better_one.criteria == alone.criteria


def test_double_costs_and_a_longer_lag_hurt_a_signal_that_lives_for_one_bar(judged):
    evidence = judged()
    main = evidence.challenger.performance
    assert evidence.stress("costs x2").fees.value == pytest.approx(2 * main.fees.value, rel=0.05)
    assert evidence.stress("costs x2").total_return.value < main.total_return.value
    assert evidence.stress("decision lag 2").sharpe.value < main.sharpe.value / 2


def test_the_drawdown_gate_looks_behind_the_breaker(judged, universe, candidate):
    limits = universe.limits.model_copy(update={"max_drawdown": 0.05, "breaker_cooldown": 1000})
    evidence = judged(rules=universe.model_copy(update={"limits": limits}), challenger=candidate("bc", contrary=True))
    gate = next(criterion for criterion in evidence.criteria if criterion.name == "maximum drawdown")
    assert gate.verdict == "fail"
    assert gate.measured > 0.20 > evidence.challenger.performance.max_drawdown.value


def test_the_accounts_start_flat(judged):
    for shown in judged().candidates:
        assert shown.curve.equity[0] == 1.0
        assert shown.curve.exposure[0] == 0.0


def test_the_evidence_says_whom_and_what_it_judged(judged):
    evidence = judged()
    assert (evidence.inputs_hash, evidence.data_hash, evidence.line) == ("inputs-of-bc", "data", "bc")
    assert (evidence.openings, evidence.trials, evidence.retrain_id) == (1, 3, "retrain-1")
    assert evidence.test_bars == len(evidence.challenger.curve.equity) - 1
    assert any("hindsight" in caveat for caveat in evidence.caveats)
    assert any("adjust" in caveat for caveat in evidence.caveats)


def test_the_drawdown_of_a_dead_feed_is_still_judged(judged, panel):
    mask, opens = panel.mask.copy(), panel.open.copy()
    mask[-20:, 1] = False
    opens[-20:, 1] = np.nan
    evidence = judged(bars=replace(panel, mask=mask, open=opens, ended=np.array([False, True])))
    assert np.isfinite(evidence.challenger.curve.equity).all()


def test_a_span_without_bars_is_an_error_not_a_refusal(judged, panel, splits):
    with pytest.raises(InsufficientDataError, match="no bar"):
        judged(bars=panel.take(np.arange(panel.rows) < 100))
