from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta

import numpy as np
import pytest

from toto_ops.errors import ConfigError, InsufficientDataError, LookAheadError
from toto_ops.evaluation.judgement.criteria import (
    BENCHMARK_FLOOR,
    CONFIRMATION,
    CONTAMINATION,
    DEFLATED_SHARPE,
    EXCESS_SHARPE,
    HELD_BARS,
    ORACLE_SHARE,
    OVERFITTING,
)
from toto_ops.evaluation.judgement.evidence import Evidence
from toto_ops.evaluation.statistics.metrics import sharpe_ratio
from toto_ops.features.moments import to_aware


def verdicts(evidence: Evidence) -> dict[str, str]:
    return {criterion.name: criterion.verdict for criterion in evidence.criteria}


def test_a_planted_signal_passes_every_gate(judged, candidate):
    evidence = judged(challenger=candidate("bc", accuracy="imitation"))
    assert evidence.verdict == "passed"
    assert set(verdicts(evidence).values()) == {"pass", "insufficient", "shown"}
    assert evidence.imitation.accuracy.value == 1.0
    assert evidence.challenger.performance.sharpe.low > 1.0


def test_a_contrary_policy_is_refused_by_return_sharpe_imitation_luck_and_benchmark(judged, candidate):
    evidence = judged(challenger=candidate("bc", accuracy="imitation", contrary=True))
    assert evidence.verdict == "refused"
    failed = {criterion.name for criterion in evidence.failures}
    assert {"Sharpe ratio", "total return", "imitation accuracy", "imitation macro-F1"} <= failed
    assert {DEFLATED_SHARPE, BENCHMARK_FLOOR} <= failed


def test_a_policy_that_knows_the_future_is_quarantined_though_it_passes_every_gate(judged, candidate):
    evidence = judged(challenger=candidate("bc", clairvoyant=True))
    assert evidence.verdict == "quarantined"
    assert not evidence.passed
    assert {criterion.name for criterion in evidence.failures} == {ORACLE_SHARE, EXCESS_SHARPE}
    assert evidence.plausibility.oracle_share > 0.8


def test_an_honest_policy_stays_far_below_perfect_foresight(judged):
    plausibility = judged().plausibility
    assert 0.0 < plausibility.oracle_share < 0.5
    assert plausibility.oracle_sharpe > 10


def test_a_policy_that_never_trades_fails_for_want_of_a_sharpe_ratio_not_by_a_crash(judged, candidate):
    evidence = judged(challenger=candidate("bc", idle=True))
    sharpe = evidence.criterion("Sharpe ratio")
    assert sharpe.verdict == "fail"
    assert sharpe.measured is None
    assert "not defined" in sharpe.note
    assert evidence.volatility_matching.scale == 0.0
    assert evidence.challenger.actions.hold == 1.0
    assert evidence.verdict == "refused"
    assert evidence.trades == ()


def test_one_lucky_bar_while_the_market_falls_is_not_promoted(judged, panel_of, splits):
    falling = panel_of(drift=-0.003)
    lucky = int(np.searchsorted(falling.close_time, np.datetime64(splits.test.after.replace(tzinfo=None)))) + 60
    features, opens = np.full_like(falling.features, -1.0), falling.open.copy()
    features[lucky, 0, 0] = 1.0
    opens[lucky + 2 :, 0] *= 1.16
    evidence = judged(bars=replace(falling, features=features, open=opens, close=opens))
    assert evidence.challenger.performance.trades.value == 2
    assert evidence.significance.deflated_sharpe > 0.95, "the figures of the whole span do not see through it"
    assert {criterion.name for criterion in evidence.failures} == {HELD_BARS, CONFIRMATION}
    assert evidence.verdict == "refused"


def test_the_same_judgement_twice_gives_the_same_document(judged):
    assert judged().model_dump_json() == judged().model_dump_json()


def test_bars_at_or_before_knows_until_are_refused(judged, panel, splits, candidate):
    test = panel.between(splits.test.after, splits.test.until)
    first_close = test.close_time[0].astype(object).replace(tzinfo=UTC)
    judged(challenger=candidate("bc", knows_until=first_close - timedelta(microseconds=1)))
    with pytest.raises(LookAheadError, match="bc knows bars up to"):
        judged(challenger=candidate("bc", knows_until=first_close))


def first_test_close(panel, splits):
    return to_aware(panel.between(splits.test.after, None).close_time[:1])[0]


@pytest.mark.parametrize("days", [0, 40, 10_000], ids=["first bar", "some", "all"])
def test_weights_from_elsewhere_that_may_know_test_bars_are_shown_and_never_promoted(judged, splits, panel, candidate, days):
    first = first_test_close(panel, splits)
    clean = judged(challenger=candidate("bc"))
    shown = judged(challenger=candidate("bc", possibly_knows_until=first + timedelta(days=days)))
    assert clean.verdict == "passed"
    assert CONTAMINATION not in verdicts(clean)
    (row,) = (criterion for criterion in shown.criteria if criterion.name == CONTAMINATION)
    assert (row.kind, row.verdict, row.required) == ("gate", "fail", 0)
    assert row.measured == min(days, shown.test_bars) + 1
    assert shown.verdict == "refused"
    assert [row.name for row in shown.failures] == [CONTAMINATION]
    assert any("may have been trained on bars up to then" in caveat for caveat in shown.caveats)
    assert shown.challenger == clean.challenger, "the figures themselves are what they are"


def test_weights_released_before_the_test_span_contaminate_nothing(judged, splits, panel, candidate):
    first = first_test_close(panel, splits)
    evidence = judged(challenger=candidate("bc", possibly_knows_until=first - timedelta(microseconds=1)))
    assert verdicts(evidence)[CONTAMINATION] == "pass"
    assert evidence.verdict == "passed"
    assert not any("released" in caveat for caveat in evidence.caveats)


def test_trials_of_a_line_that_learnt_from_half_of_train_were_chosen_among_too(judged, trials_of, splits):
    half = splits.train.model_copy(update={"after": splits.train.until - (splits.train.until - splits.train.after) / 2})
    others = [trial.model_copy(update={"split": splits.model_copy(update={"train": half})}) for trial in trials_of(6)]
    assert judged(trials=others).overfitting == judged(trials=trials_of(6)).overfitting


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
        ("cash", "benchmark"),
        ("equal weight", "benchmark"),
        ("equal weight rebalanced", "benchmark"),
        ("momentum", "benchmark"),
        ("inverse volatility", "benchmark"),
        ("risk parity", "benchmark"),
        ("volatility-matched equal weight", "benchmark"),
        ("ppo", "ineligible"),
    ]
    assert all(shown.actions is None for shown in evidence.candidates if shown.role == "benchmark")
    assert [pair.against for pair in evidence.paired] == [shown.name for shown in evidence.others]


def test_a_policy_named_like_a_benchmark_is_refused(judged, candidate):
    with pytest.raises(ConfigError, match="cash is the name of a benchmark"):
        judged(ineligible=[candidate("cash")])


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
    beside_a_better_one = judged(ineligible=[candidate("ppo", clairvoyant=True)])
    assert verdicts(beside_a_better_one) == verdicts(alone)
    assert [row.measured for row in beside_a_better_one.criteria] == pytest.approx([row.measured for row in alone.criteria])


def test_double_costs_and_a_longer_lag_hurt_a_signal_that_lives_for_one_bar(judged):
    evidence = judged()
    main = evidence.challenger.performance
    assert evidence.stress("costs x2").fees.value == pytest.approx(2 * main.fees.value, rel=0.05)
    assert evidence.stress("costs x2").total_return.value < main.total_return.value
    assert evidence.stress("decision lag 2").sharpe.value < main.sharpe.value / 2
    assert evidence.criterion("Sharpe ratio at costs x2").measured == evidence.stress("costs x2").sharpe.value


def test_the_drawdown_gate_looks_behind_the_breaker(judged, universe, candidate):
    limits = universe.limits.model_copy(update={"max_drawdown": 0.05, "breaker_cooldown": 1000})
    evidence = judged(rules=universe.model_copy(update={"limits": limits}), challenger=candidate("bc", contrary=True))
    gate = evidence.criterion("maximum drawdown")
    assert gate.verdict == "fail"
    assert gate.measured > 0.20 > evidence.challenger.performance.max_drawdown.value


def test_the_benchmark_floor_is_the_lower_bound_of_the_pair_at_the_level_of_its_gate(judged):
    evidence = judged()
    pair = next(one for one in evidence.paired if one.against == "volatility-matched equal weight")
    floor = evidence.criterion(BENCHMARK_FLOOR)
    assert (floor.measured, floor.low, floor.compared) == (pair.mean_log_return.value, pair.mean_log_return.low, "lower bound")
    matching = evidence.volatility_matching
    assert matching.matched
    assert matching.realised == pytest.approx(evidence.challenger.performance.volatility.value)


def test_trials_and_earlier_looks_raise_what_a_sharpe_ratio_must_exceed(judged, trials_of):
    alone = judged()
    after_many = judged(trials=trials_of(6), openings=4)
    assert alone.significance.expected_maximum_sharpe == 0.0
    assert after_many.significance.effective_trials == 6
    assert after_many.significance.earlier_openings == 3
    assert after_many.significance.deflated_sharpe < alone.significance.deflated_sharpe
    assert (after_many.openings, after_many.trials) == (4, 6)


def test_overfitting_is_asked_of_the_trials_of_this_split_alone(judged, trials_of, splits):
    elsewhere = splits.model_copy(update={"validation": splits.test})
    others = [trial.model_copy(update={"split": elsewhere}) for trial in trials_of(6)]
    assert verdicts(judged(trials=others))[OVERFITTING] == "insufficient"
    asked = judged(trials=trials_of(6))
    assert asked.overfitting.effective_trials == 6
    assert verdicts(asked)[OVERFITTING] in {"pass", "fail"}


def test_trials_of_some_symbols_are_tries_but_were_never_up_for_choice(judged, trials_of):
    *whole, some = trials_of(7)
    asked, alone = judged(trials=[*whole, some.model_copy(update={"symbols": ("AAA",)})]), judged(trials=whole)
    assert asked.overfitting == alone.overfitting
    assert asked.significance.effective_trials == alone.significance.effective_trials + 1


def test_a_trial_on_a_few_of_the_bars_does_not_silence_the_question_of_overfitting(judged, trials_of):
    *whole, short = trials_of(7)
    short = short.model_copy(update={"returns": short.returns[:10], "timestamps": short.timestamps[:10]})
    asked, alone = judged(trials=[*whole, short]), judged(trials=whole)
    assert verdicts(asked)[OVERFITTING] == verdicts(alone)[OVERFITTING] != "insufficient"
    assert asked.overfitting == alone.overfitting
    assert asked.significance.effective_trials == alone.significance.effective_trials + 1


def test_stress_spans_and_targets_are_about_the_challenger(judged):
    evidence = judged()
    names = [span.name for span in evidence.stress_spans]
    assert names[:2] == ["3 worst months of the market", "most volatile quarter of the bars"]
    assert {"low volatility", "normal volatility", "high volatility"} <= set(names)
    assert [target.name for target in evidence.targets] == ["win rate", "profit factor", "maximum drawdown", "Sharpe ratio"]
    assert evidence.targets[3].measured == evidence.challenger.performance.sharpe


def test_round_trips_add_up_symbol_by_symbol(judged):
    evidence = judged()
    assert {one.symbol for one in evidence.trades} == {"AAA", "BBB"}
    total = evidence.challenger.curve.equity[-1] - 1.0
    assert sum(one.net_profit for one in evidence.trades) == pytest.approx(total, abs=0.01)


@pytest.mark.parametrize("stated", [365.0, 252.0])
def test_figures_are_annualised_by_the_rows_of_a_year_of_the_universe(judged, universe, stated):
    evidence = judged(rules=universe.model_copy(update={"periods_per_year": stated}))
    equity = np.asarray(evidence.challenger.curve.equity)
    assert evidence.periods_per_year == stated
    shown = evidence.challenger.performance.sharpe.value
    assert shown == pytest.approx(float(sharpe_ratio(equity[1:] / equity[:-1] - 1.0, stated)))


def test_the_accounts_start_flat(judged):
    for shown in judged().candidates:
        assert shown.curve.equity[0] == 1.0
        assert shown.curve.exposure[0] == 0.0


def test_the_evidence_says_whom_and_what_it_judged(judged, trials_of):
    evidence = judged(trials=trials_of(3))
    assert (evidence.inputs_hash, evidence.data_hash, evidence.line) == ("inputs-of-bc", "data", "bc")
    assert (evidence.openings, evidence.trials, evidence.retrain_id) == (1, 3, "retrain-1")
    assert evidence.test_bars == len(evidence.challenger.curve.equity) - 1
    assert any("hindsight" in caveat for caveat in evidence.caveats)
    assert any("adjust" in caveat for caveat in evidence.caveats)


def test_the_drawdown_of_a_dead_feed_is_still_judged(judged, panel):
    mask, opens = panel.mask.copy(), panel.open.copy()
    mask[-20:, 1] = False
    opens[-20:, 1] = np.nan
    evidence = judged(bars=replace(panel, mask=mask, tradable=mask, open=opens, ended=np.array([False, True])))
    assert np.isfinite(evidence.challenger.curve.equity).all()


def test_a_span_without_bars_is_an_error_not_a_refusal(judged, panel):
    with pytest.raises(InsufficientDataError, match="no bar"):
        judged(bars=panel.take(np.arange(panel.rows) < 100))
